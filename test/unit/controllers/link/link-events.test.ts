import { expect } from 'chai';
import { parseLink } from '../../../../src/api/link/link-schema.ts';
import { LinkEvents } from '../../../../src/controllers/link/link-events.ts';
import type { Outcome } from '../../../../src/controllers/reconcile/reconciler.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { MirrorWorld } from '../../../support/mirror-world.ts';

/**
 * cloudnative-pg#1028: what a quota refused stood in the log and in the status, and whoever looked at Events
 * saw nothing; only verdicts had one.
 */
describe('Events of a Link about a write that failed', () => {
  const error: Outcome = { reason: 'Error', message: 'exceeded quota: few', local: 'web-west', since: 0 };

  function told(...outcomes: readonly Outcome[]): string[] {
    const parsed = parseLink({
      metadata: { name: 'west', namespace: 'links' },
      spec: { targetClusterName: 'west', clusterCredentialsSecret: 'x' },
    });
    if (!parsed.ok) throw new Error('the Link is fine');
    const events: string[] = [];
    const linkEvents = new LinkEvents({
      link: parsed.link,
      log: createLogger({ name: 'test', level: 'silent' }),
      events: {
        record: ({ reason, message }: { reason: string; message: string }) =>
          events.push(`${reason} ${message}`),
      } as never,
    });
    let before: Outcome | undefined;
    for (const outcome of outcomes) {
      linkEvents.outcome('demo/web', outcome, before);
      before = outcome;
    }
    return events;
  }

  it('come once for what the API server refuses, and not while it is away', () => {
    expect(told({ ...error, message: 'connect ECONNREFUSED' })).to.deep.equal([]);
    const refused = { ...error, refused: true };
    expect(told(refused, refused)).to.deep.equal([
      'Error demo/web of cluster west is not mirrored: Error: exceeded quota: few',
    ]);
  });

  it('come also where it was away before it refused', () => {
    expect(told(error, { ...error, refused: true })).to.have.length(1);
  });

  it('know a refusal from a broken connection', async () => {
    for (const [kind, refused] of [
      ['refuse', true],
      ['fail', undefined],
    ] as const) {
      const world = new MirrorWorld(() => 0);
      try {
        await world.happen({ kind: 'export', name: 'a', port: 80, ready: true });
        await world.clock.advance(1000);
        await world.happen({ kind });
        await world.happen({ kind: 'export', name: 'a', port: 81, ready: true });
        await world.clock.advance(1000);
        expect(world.outcomes.get('demo/a')?.reason, kind).to.equal('Error');
        expect(world.outcomes.get('demo/a')?.refused, kind).to.equal(refused);
      } finally {
        await world.rest();
        await world.close();
      }
    }
  });
});

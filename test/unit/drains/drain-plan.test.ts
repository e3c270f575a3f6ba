import { expect } from 'chai';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import { readDrain, writeDrain } from '../../../src/api/failover/failover-drain.ts';
import { FAILOVER_DRAIN } from '../../../src/api/failover/failover-names.ts';
import {
  type DrainPlace,
  drainPatch,
  planDrain,
  planUndrain,
  standingDrain,
} from '../../../src/drains/drain-plan.ts';
import { DEFAULT_POLICY } from '../../../src/policy/failover/failover-policy.ts';
import { federated, link, NOW, objects } from './drain-objects.ts';

const MINUTE = 60_000;
const WISH = { to: 0, rampMs: 5 * MINUTE, lastsMs: 120 * MINUTE, drill: false };
const plan = (where: DrainPlace, given = objects()) => planDrain(given, where, WISH, NOW);
const DRAIN = { to: 0, start: NOW, rampMs: 5 * MINUTE, until: NOW + 120 * MINUTE, drill: false };
const TEXT = writeDrain(DRAIN);
const codeOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return error instanceof LinkspanError ? error.code : error;
  }
  return undefined;
};

// Drains were read from Links, and nothing wrote them.
describe('the plan of a drain', () => {
  it('writes one annotation of the Link that was read', () => {
    const { write, drain, effects, findings } = plan({ cluster: 'west' });
    expect(drain).to.deep.equal(DRAIN);
    expect(drainPatch(write)).to.deep.equal({
      metadata: { uid: 'uid-west', resourceVersion: '7', annotations: { [FAILOVER_DRAIN]: TEXT } },
    });
    expect(write.kind).to.equal('links');
    expect(effects.map(({ service, share, shareThen }) => [service, share, shareThen])).to.deep.equal([
      ['shop/web-federated', 0.5, 0],
    ]);
    expect(findings.map(({ code }) => code)).to.deep.equal(['DRAIN_CAPACITY']);
  });

  it('of one Service writes on that, and looks at that alone', () => {
    for (const service of ['shop/web', 'shop/web-federated']) {
      const { write, effects } = plan({ cluster: 'north', service });
      expect(write.kind).to.equal('services');
      expect(write.annotation).to.equal('drain.linkspan.dev/north');
      expect(write.on.metadata?.name).to.equal('web-federated');
      expect(effects.map(({ service: name }) => name)).to.deep.equal(['shop/web-federated']);
    }
    expect(plan({ cluster: 'north' }).findings.map(({ code }) => code)).to.deep.equal([
      'DRAIN_SOLE_BACKEND',
      'DRAIN_CAPACITY',
    ]);
  });

  // A split to a mirror was no group: a drain of the only other cluster that could serve it was called safe.
  it('looks at Services without selector by the clusters of their mirrors', () => {
    const backend = (name: string, ready: number) => ({
      name,
      tier: 0,
      weight: 1,
      facts: {
        path: 'alive' as const,
        ready,
        known: ready,
        expected: 1,
        usableSince: ready > 0 ? 0 : null,
        flaps: 0,
        lastWord: NOW,
      },
    });
    const given = (ready: number) =>
      objects({
        services: [],
        slices: [],
        apexes: [
          {
            namespace: 'shop',
            service: 'checkout',
            group: {
              backends: [backend('web', ready), backend('web-west', 1)],
              policy: DEFAULT_POLICY,
              placement: { places: [], unknown: [], leftOut: [] },
              weighing: 'exact',
            },
            demand: 'unheard',
            clusters: new Map([['web-west', 'west']]),
          },
        ],
      });
    const codes = (ready: number) => plan({ cluster: 'west' }, given(ready)).findings.map(({ code }) => code);
    const [effect] = plan({ cluster: 'west' }, given(9)).effects;
    expect(effect).to.include({ service: 'shop/checkout', share: 0.5, shareThen: 0 });
    expect(codes(0)).to.deep.equal(['DRAIN_SOLE_BACKEND']);
  });

  it('goes on from the drain that is there, and says so', () => {
    const before = { ...DRAIN, start: NOW - MINUTE, by: 'ada' };
    const given = objects({ links: [link('west', { [FAILOVER_DRAIN]: writeDrain(before) }), link('north')] });
    expect(plan({ cluster: 'west' }, given)).to.deep.include({
      before,
      drain: { ...DRAIN, start: NOW - MINUTE },
    });
    const over = { ...DRAIN, start: NOW - 60 * MINUTE, until: NOW - 30 * MINUTE };
    const ended = objects({ links: [link('west', { [FAILOVER_DRAIN]: writeDrain(over) }), link('north')] });
    expect(plan({ cluster: 'west' }, ended)).to.deep.include({ before: undefined, drain: DRAIN });
  });

  it('counts the clusters that are drained, and this one', () => {
    const drained = { [FAILOVER_DRAIN]: TEXT };
    const codes = (where: DrainPlace, ...links: ReturnType<typeof link>[]) =>
      plan(where, objects({ links })).findings.map(({ code }) => code);
    expect(codes({ cluster: 'west' }, link('west'), link('north', drained))).to.include('DRAIN_TOO_MANY');
    expect(
      codes({ cluster: 'west' }, link('west'), link('north', drained), link('dr')),
      'two of four',
    ).not.to.include('DRAIN_TOO_MANY');
    expect(
      codes({ cluster: 'west', service: 'shop/web' }, link('west'), link('north', drained)),
      'one Service',
    ).not.to.include('DRAIN_TOO_MANY');
  });

  it('stands on the oldest of several Links of one cluster', () => {
    const [older, younger] = [link('west', {}, 1), link('west', {}, 2)];
    const given = objects({ links: [{ ...younger, metadata: { ...younger.metadata, name: 'b' } }, older] });
    expect(plan({ cluster: 'west' }, given).write.on.metadata?.name).to.equal('west');
  });

  // It stood on whichever had been listed first, and whoever reads them may take the other.
  it('stands on the one that everybody reads where Links are of one age', () => {
    const named = (name: string) => ({ ...link('west'), metadata: { ...link('west').metadata, name } });
    for (const names of [
      ['west', 'also-west'],
      ['also-west', 'west'],
    ])
      expect(
        plan({ cluster: 'west' }, objects({ links: names.map(named) })).write.on.metadata?.name,
      ).to.equal('also-west');
  });

  it('is refused where there is nothing to drain', () => {
    expect(codeOf(() => plan({ cluster: 'south' }))).to.equal('LINK_NOT_FOUND');
    expect(codeOf(() => plan({ cluster: 'local' }))).to.equal('USAGE');
    expect(codeOf(() => plan({ cluster: 'west', service: 'shop/none' }))).to.equal('DRAIN_NO_MEMBER');
    expect(codeOf(() => plan({ cluster: 'west', service: 'shop/api' }))).to.equal('DRAIN_NO_MEMBER');
  });

  it('ends what stands there, once', () => {
    const given = objects({ links: [link('west', { [FAILOVER_DRAIN]: TEXT })] });
    const at = NOW + 30 * MINUTE;
    const write = planUndrain(given, { cluster: 'west' }, at);
    expect(write?.drain).to.deep.equal({ ...DRAIN, until: at });
    const text = write === undefined ? undefined : writeDrain(write.drain);
    const after = objects({ links: [link('west', { [FAILOVER_DRAIN]: text ?? '' })] });
    expect(planUndrain(after, { cluster: 'west' }, at + 1000)).to.equal(undefined);
    expect(planUndrain(objects(), { cluster: 'west' }, at)).to.equal(undefined);
    const service = federated('web', ['west'], { 'drain.linkspan.dev/west': TEXT });
    const one = { cluster: 'west', service: 'shop/web' };
    expect(planUndrain(objects({ services: [service] }), one, at)?.kind).to.equal('services');
    expect(standingDrain(objects({ services: [service] }), one)).to.deep.equal(readDrain(TEXT));
  });
});

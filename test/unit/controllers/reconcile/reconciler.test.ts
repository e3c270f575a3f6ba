import { expect } from 'chai';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { WorkerPool } from '../../../../src/kube/queue/worker-pool.ts';
import type { LocalView } from '../../../../src/controllers/reconcile/local-view.ts';
import { Reconciler, type Decision } from '../../../../src/controllers/reconcile/reconciler.ts';
import type { Step } from '../../../../src/controllers/reconcile/steps.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

describe('what a reconciler remembers of a key', () => {
  function start() {
    const told: string[] = [];
    const { log, lines } = captureLog();
    const decision = {
      reason: 'Mirrored' as Decision['reason'],
      message: '',
      notes: undefined as Decision['notes'],
      local: 'web-west',
      mode: 'gateway',
      steps: [] as readonly Step[],
      gone: false,
      again: false,
      recheckMs: undefined,
    };
    const reconciler = new Reconciler({
      what: 'mirror',
      decide: () => ({ ...decision }),
      onOutcome: (key, outcome) => told.push(`${key} ${outcome?.reason ?? 'gone'}`),
      client: {
        create: (_: unknown, object: object) => Promise.resolve(object),
        patch: (_: unknown, __: unknown, object: object) => Promise.resolve(object),
        delete: () => Promise.resolve(undefined),
      } as unknown as KubeClient,
      view: { observe: () => undefined, observeDeleted: () => undefined } as unknown as LocalView,
      pool: new WorkerPool({ size: 1 }),
      concurrency: 1,
      signal: new AbortController().signal,
      clock: new VirtualClock(),
      random: () => 0,
      log,
    });
    const look = async (change: Partial<typeof decision> = {}) => {
      Object.assign(decision, change);
      reconciler.add('demo/web', 0);
      await settle();
      return told.splice(0);
    };
    const steps = (next: readonly Step[]) => void (decision.steps = next);
    return { reconciler, look, lines, steps };
  }

  // Of an outcome whose reason and message stood, what was left out stayed as it was told first.
  it('is told when anything of it has changed, and else not', async () => {
    const { reconciler, look } = start();
    const notes = (text: string) => [{ reason: 'ImportPartial', text }] as unknown as Decision['notes'];
    expect(await look()).to.deep.equal(['demo/web Mirrored']);
    expect(await look()).to.deep.equal([]);
    expect(await look({ notes: notes('a label') })).to.deep.equal(['demo/web Mirrored']);
    expect(await look({ notes: notes('a label') })).to.deep.equal([]);
    expect(await look({ notes: notes('two labels') })).to.deep.equal(['demo/web Mirrored']);
    expect(reconciler.outcomes.get('demo/web')?.notes).to.deep.equal(notes('two labels'));
    expect(await look({ notes: undefined })).to.deep.equal(['demo/web Mirrored']);
    expect(reconciler.outcomes.get('demo/web')).not.to.have.property('notes');
    expect(await look({ message: 'no pod is ready' })).to.deep.equal(['demo/web Mirrored']);
  });

  it('is a line of the log when a mirror was made, changed or removed, and none for its endpoints', async () => {
    const { look, lines, steps } = start();
    const target = { metadata: { name: 'web-west', namespace: 'demo', uid: 'u', resourceVersion: '1' } };
    const said = async (step: Step) => {
      steps([step]);
      await look();
      return lines.splice(0).map(({ level, msg, mirror, change }) => [level, msg, mirror, change]);
    };
    const line = (change: string) => [['info', 'mirror written', 'web-west', change]];
    expect(await said({ verb: 'create', kind: 'services', object: target })).to.deep.equal(line('made'));
    expect(await said({ verb: 'patch', kind: 'services', target, patch: {} })).to.deep.equal(line('changed'));
    expect(await said({ verb: 'delete', kind: 'services', target })).to.deep.equal(line('removed'));
    expect((await said({ verb: 'patch', kind: 'endpointSlices', target, patch: {} }))[0]?.[0]).to.equal(
      'debug',
    );
  });

  // That a key had gone was seen by a poll only.
  it('is told when it is gone, once', async () => {
    const { reconciler, look } = start();
    await look();
    expect(await look({ gone: true })).to.deep.equal(['demo/web gone']);
    expect(await look({ gone: true })).to.deep.equal([]);
    expect(reconciler.outcomes.size).to.equal(0);
  });
});

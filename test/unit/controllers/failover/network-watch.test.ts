import { expect } from 'chai';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import { NetworkWatch } from '../../../../src/controllers/failover/network-watch.ts';
import type { EventNote } from '../../../../src/kube/events/event-recorder.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });

// When a cluster lost its uplink, every endpoint of every mirror was withdrawn, as if all others had failed
// at the same second, and the cause stood nowhere.
describe('the watch over the own network', () => {
  let clock: VirtualClock;
  let links: IndexedStore<LinkObject>;
  let notes: EventNote[];
  let changes: boolean[];
  let version = 0;

  beforeEach(() => {
    clock = new VirtualClock();
    links = new IndexedStore();
    notes = [];
    changes = [];
    for (const cluster of ['north', 'west']) link(cluster);
  });

  const link = (cluster: string, status?: 'True' | 'False', reason = '') => {
    const lastTransitionTime = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const conditions =
      status === undefined ? [] : [{ type: 'GatewayAlive', status, reason, message: '', lastTransitionTime }];
    links.set({
      metadata: { name: cluster, namespace: 'links', uid: cluster, resourceVersion: String(++version) },
      spec: { targetClusterName: cluster },
      status: { conditions },
    } as LinkObject);
  };
  const begin = () => {
    const events = { record: (note: EventNote) => void notes.push(note) };
    const watch = new NetworkWatch({ links, events, clock, log });
    watch.follow(() => changes.push(watch.suspected));
    const see = (cluster: string, state: 'alive' | 'dead' | 'unknown') =>
      watch.see(`links/${cluster}`, { cluster, state });
    return { watch, see };
  };

  it('suspects it when all die in one moment, tells that once, and stops with the first that is back', async () => {
    const { watch, see } = begin();
    for (const cluster of ['north', 'west']) see(cluster, 'alive');
    await clock.advance(1000);
    see('west', 'dead');
    expect(watch.suspected).to.equal(false);
    await clock.advance(6000);
    see('north', 'dead');
    expect([watch.suspected, changes]).to.deep.equal([true, [true]]);
    expect(notes.map(({ regarding, reason }) => `${reason} ${regarding.name}`)).to.deep.equal([
      'OwnNetworkSuspected north',
    ]);
    await clock.advance(600_000);
    expect(watch.suspected).to.equal(true);
    see('west', 'alive');
    expect(changes).to.deep.equal([true, false]);
    expect(notes).to.have.length(1);
  });

  // By a clock that was set between two deaths they were hours apart, or two that were hours apart were one.
  it('goes by the time that has passed between deaths, whatever somebody does to the clock', async () => {
    for (const stepMs of [3_600_000, -3_600_000]) {
      const { watch, see } = begin();
      see('west', 'dead');
      await clock.advance(5000);
      clock.step(stepMs);
      see('north', 'dead');
      expect(watch.suspected, 'of one moment').to.equal(true);
      see('north', 'alive');
      await clock.advance(3_600_000 - 5000);
      clock.step(-stepMs);
      see('north', 'dead');
      expect(watch.suspected, 'an hour apart').to.equal(false);
      watch.stop();
    }
  });

  it('knows the Links of other replicas by their conditions, and leaves the telling to one', async () => {
    link('north', 'True', 'ProbesAnswered');
    const { watch, see } = begin();
    see('west', 'alive');
    await clock.advance(5000);
    see('west', 'dead');
    expect(watch.suspected).to.equal(false);
    await clock.advance(4000);
    link('north', 'False', 'ProbesFailed');
    expect(watch.suspected).to.equal(true);
    expect(notes).to.deep.equal([]);
    link('north', 'True', 'ProbesAnswered');
    expect(changes).to.deep.equal([true, false]);
  });

  it('does not tell again after a restart', () => {
    for (const cluster of ['north', 'west']) link(cluster, 'False', 'OwnNetworkSuspected');
    const { watch, see } = begin();
    for (const cluster of ['north', 'west']) see(cluster, 'dead');
    expect([watch.suspected, notes]).to.deep.equal([true, []]);
  });

  it('counts no Link that is given up', () => {
    const { watch, see } = begin();
    for (const cluster of ['north', 'west']) see(cluster, 'dead');
    watch.forget('links/west');
    expect(watch.suspected).to.equal(false);
  });
});

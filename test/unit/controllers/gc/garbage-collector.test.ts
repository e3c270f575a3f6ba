import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { collect, leftoversOf } from '../../../../src/controllers/gc/garbage-collector.ts';
import { serviceIndexes } from '../../../../src/controllers/reconcile/local-indexes.ts';
import { BY_SERVICE, sliceService } from '../../../../src/exports/slices-by-service.ts';
import { LocalView } from '../../../../src/controllers/reconcile/local-view.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { WorkerPool } from '../../../../src/kube/queue/worker-pool.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { LinkWorld } from '../../../support/link-world.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

describe('the removal of what a Link had made', () => {
  /** A mirror as the controller makes it. */
  async function mirror(): Promise<V1Service> {
    const world = new LinkWorld();
    world.export('web');
    world.secret();
    world.link();
    await world.clock.advance(10_000);
    await world.stop();
    return world.source.all<V1Service>('services').get('demo/web-west') ?? {};
  }

  /** A collector whose view hears nothing but what the test says. */
  async function collector() {
    const made = await mirror();
    const clock = new VirtualClock();
    const cluster = new FakeCluster();
    const services = new IndexedStore(serviceIndexes);
    const view = new LocalView(
      {
        services,
        endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
        endpoints: new IndexedStore(),
        namespaces: new IndexedStore(),
      },
      clock,
    );
    /** Makes the mirror, as the watch tells it. */
    const make = (metadata = {}) => {
      cluster.put('services', { ...made, metadata: { ...made.metadata, ...metadata } });
      services.set(cluster.all<V1Service>('services').get('demo/web-west') ?? {});
    };
    const owner = { link: 'ns/west', cluster: 'west' };
    const state = { ended: false };
    const begin = () =>
      collect({
        view,
        owner,
        client: cluster.client,
        signal: new AbortController().signal,
        pool: new WorkerPool({ size: 1 }),
        concurrency: 1,
        clock,
        random: () => 0,
        log: captureLog().log,
      }).then((removed) => {
        state.ended = true;
        return removed;
      });
    return { clock, cluster, services, view, owner, make, state, begin };
  }

  // Whether anything was left was asked ten times a second, for as long as it took.
  it('waits for the watch and asks nothing meanwhile, and ends when nothing is left', async () => {
    const { clock, cluster, services, view, owner, make, state, begin } = await collector();
    make();
    expect(leftoversOf(view, owner)).to.deep.equal(['demo/web-west']);
    const collected = begin();
    await clock.advance(60_000);
    expect(cluster.all('services').size, 'it is deleted').to.equal(0);
    expect([state.ended, clock.pending], 'the watch has not said so').to.deep.equal([false, 0]);
    services.delete('demo/web-west');
    await clock.advance(1000);
    expect(await collected).to.equal(1);
  });

  // What was made after the removal had begun (a backup that was restored, a late write of another replica)
  // was waited for, for ever, and removed by nobody.
  it('also removes what is made meanwhile', async () => {
    const { clock, cluster, services, make, begin } = await collector();
    make();
    const collected = begin();
    await clock.advance(1000);
    expect(cluster.all('services').size).to.equal(0);
    make({ uid: 'anew' });
    await clock.advance(1000);
    expect(cluster.all('services').size, 'the second one').to.equal(0);
    services.delete('demo/web-west');
    await clock.advance(1000);
    expect(await collected).to.equal(2);
  });
});

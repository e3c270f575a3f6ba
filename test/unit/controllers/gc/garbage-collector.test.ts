import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { collect, leftoversOf } from '../../../../src/controllers/gc/garbage-collector.ts';
import {
  BY_SERVICE,
  serviceIndexes,
  sliceService,
} from '../../../../src/controllers/reconcile/local-indexes.ts';
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

  // Whether anything was left was asked ten times a second, for as long as it took.
  it('waits for the watch and asks nothing meanwhile, and ends when nothing is left', async () => {
    const made = await mirror();
    const clock = new VirtualClock();
    const cluster = new FakeCluster();
    cluster.put('services', made);
    const stored = cluster.all<V1Service>('services').get('demo/web-west') ?? {};
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
    services.set(stored);
    const owner = { link: 'ns/west', cluster: 'west' };
    expect(leftoversOf(view, owner)).to.deep.equal(['demo/web-west']);
    let ended = false;
    const { signal } = new AbortController();
    const collected = collect({
      view,
      owner,
      client: cluster.client,
      signal,
      pool: new WorkerPool({ size: 1 }),
      concurrency: 1,
      clock,
      random: () => 0,
      log: captureLog().log,
    }).then((removed) => {
      ended = true;
      return removed;
    });
    await clock.advance(60_000);
    expect(cluster.all('services').size, 'it is deleted').to.equal(0);
    expect([ended, clock.pending], 'the watch has not said so').to.deep.equal([false, 0]);
    services.delete('demo/web-west');
    await clock.advance(1000);
    expect(await collected).to.equal(1);
  });
});

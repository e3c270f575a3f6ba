import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { services } from '../../../../src/api/kubernetes/resource.ts';
import { PATIENCE_MS } from '../../../../src/kube/informer/patience.ts';
import { WatchedNamespaces } from '../../../../src/kube/informer/watched-namespaces.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { eventually } from '../../../support/eventually.ts';
import { apiError, FakeCluster } from '../../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const service = (namespace: string, name: string, app = 'web'): V1Service => ({
  metadata: { namespace, name, uid: `${namespace}/${name}`, labels: { app } },
});

describe('the objects of namespaces that somebody asks for', () => {
  let cluster: FakeCluster;
  let clock: VirtualClock;
  let watched: WatchedNamespaces<V1Service>;
  /** What was told, in order. */
  let told: string[];

  beforeEach(() => {
    cluster = new FakeCluster();
    clock = new VirtualClock();
    told = [];
    watched = new WatchedNamespaces(
      {
        client: cluster.client,
        clock,
        random: () => 0.5,
        log: createLogger({ name: 'test', level: 'silent' }),
      },
      {
        resource: services,
        indexes: { app: ({ metadata }) => [metadata?.labels?.['app'] ?? ''] },
        transform: (object) => (object.metadata?.labels?.['app'] === 'noise' ? undefined : object),
        name: 'test',
        onChange: ({ type, key }, namespace) => told.push(`${namespace}: ${key} ${type}`),
        onNamespace: (namespace, { synced, error }) =>
          told.push(`${namespace}: ${synced ? 'synced' : (error?.message ?? 'answers')}`),
      },
    );
  });
  afterEach(() => watched.stop());

  const synced = (namespace: string) =>
    eventually(`${namespace} is synced`, () => watched.get(namespace)?.synced === true);
  const sawWatches = (count: number) =>
    eventually(`${count} watches are open`, () => cluster.watches.length === count);

  it('are watched there and nowhere else, once, and found by key and index', async () => {
    cluster.put('services', service('shop', 'web'));
    cluster.put('services', service('shop', 'noise', 'noise'));
    cluster.put('services', service('blog', 'web'));
    const shop = watched.watch('shop');
    expect(watched.watch('shop')).to.equal(shop);
    expect([watched.get('blog'), shop.synced, shop.settled]).to.deep.equal([undefined, false, false]);
    await synced('shop');
    expect(shop.store.get('shop/web')?.metadata?.name).to.equal('web');
    expect(shop.store.byIndex('app', 'web')).to.have.length(1);
    expect(shop.store.get('shop/noise')).to.equal(undefined);
    expect(shop.store.get('blog/web')).to.equal(undefined);
    expect([...watched.entries()].map(([namespace]) => namespace)).to.deep.equal(['shop']);
    await sawWatches(1);
    cluster.remove('services', 'shop', 'web');
    await eventually('it is gone', () => shop.store.get('shop/web') === undefined);
    expect(told).to.deep.equal(['shop: shop/web added', 'shop: synced', 'shop: shop/web deleted']);
  });

  it('are told of no more when a namespace is needed no longer, and begin anew when it is again', async () => {
    const former = watched.watch('shop');
    watched.watch('blog');
    await sawWatches(2);
    watched.end('shop');
    watched.end('nobody asked for this one');
    expect(watched.get('shop')).to.equal(undefined);
    await sawWatches(1);
    told = [];
    cluster.put('services', service('shop', 'web'));
    cluster.put('services', service('blog', 'web'));
    await eventually('the other one goes on', () => told.length > 0);
    expect(told).to.deep.equal(['blog: blog/web added']);
    expect(former.store.get('shop/web')).to.equal(undefined);
    expect(watched.watch('shop').synced).to.equal(false);
    await synced('shop');
    expect(watched.get('shop')?.store.get('shop/web')).not.to.equal(undefined);
  });

  it('that cannot be read are waited for, for a while, and each failure is told until they are known', async () => {
    cluster.listError = apiError(503, 'ServiceUnavailable');
    const shop = watched.watch('shop');
    await eventually('that is told', () => told.length === 1);
    expect(told).to.deep.equal(['shop: fake: ServiceUnavailable']);
    expect([shop.synced, shop.settled]).to.deep.equal([false, false]);
    await clock.advance(PATIENCE_MS);
    expect([shop.synced, shop.settled]).to.deep.equal([false, true]);
    cluster.listError = undefined;
    await clock.advance(PATIENCE_MS);
    await synced('shop');
    expect(told.at(-1)).to.equal('shop: synced');
    await sawWatches(1);
    const before = told.length;
    cluster.listError = apiError(503, 'ServiceUnavailable');
    cluster.cutWatches();
    await eventually('it cannot be read again', () => shop.error !== undefined);
    expect(shop.settled, 'what is known stays').to.equal(true);
    expect(told).to.have.length(before);
  });

  it('that may not be read are waited for no longer', async () => {
    cluster.listError = apiError(403, 'Forbidden');
    const shop = watched.watch('shop');
    await eventually('that is known', () => shop.settled);
    expect(shop.synced).to.equal(false);
  });

  // Whoever stops before the first list has come is rejected by its reflector: that is nobody's failure.
  it('are let go together, also those that were never listed, or were ended just before', async () => {
    for (const namespace of ['shop', 'blog']) watched.watch(namespace);
    watched.end('blog');
    await watched.stop();
    await settle();
    expect([[...watched.entries()], cluster.watches, told]).to.deep.equal([[], [], []]);
  });
});

import type { V1ConfigMap } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type EgressClaim, writeEntry } from '../../../../src/api/egress/egress-record.ts';
import { isApex, isGroup, type Route } from '../../../../src/egress/routes/route.ts';
import { RouteSource } from '../../../../src/egress/routes/route-source.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { settle } from '../../../support/virtual-clock.ts';
import { WorkingClock } from '../../../support/working-clock.ts';

function link(cluster: string, gatewayAddress = '10.0.0.1') {
  const spec = { targetClusterName: cluster, gatewayAddress, gatewayPort: '4143', gatewayIdentity: 'gw' };
  return { metadata: { name: cluster, namespace: 'links' }, spec };
}

const claim = (cluster: string): EgressClaim => ({
  mirror: 'demo/web-federated',
  member: cluster,
  port: 80,
  export: 'demo/web',
  link: `links/${cluster}`,
  cluster,
  target: 'web.demo.svc.cluster.local',
});

function shard(number: number, entries: Readonly<Record<number, EgressClaim>> = {}): V1ConfigMap {
  const values = Object.entries(entries).map(([port, entry]) => [port, writeEntry(entry) ?? '']);
  return {
    metadata: {
      name: `linkspan-egress-routes-${number}`,
      namespace: 'links',
      uid: `shard-${number}`,
      labels: { 'linkspan.dev/record': 'egress-routes' },
    },
    data: Object.fromEntries(values) as Record<string, string>,
  };
}

// An egress pod serves every Link: what the record and Links come to ask for must reach it while it runs.
describe('RouteSource', () => {
  let cluster: FakeCluster;
  let clock: WorkingClock;
  let source: RouteSource;
  let routes: ReadonlyMap<number, Route> | undefined;
  /** How often routes were made, and how long that takes each time. */
  let made: number;
  let priceMs: number;
  let apexesReady: boolean;

  const seen = (what: string, expected: readonly string[]) =>
    eventually(what, async () => {
      await settle();
      const now = [...(routes?.values() ?? [])].map(
        (route) =>
          `${route.label} ${isGroup(route) ? 'a group' : isApex(route) ? 'an apex' : route.gateway.addresses.join()}`,
      );
      return routes !== undefined && now.sort().join(' | ') === [...expected].sort().join(' | ');
    });

  beforeEach(() => {
    cluster = new FakeCluster();
    clock = new WorkingClock();
    routes = undefined;
    made = 0;
    priceMs = 0;
    apexesReady = true;
    source = new RouteSource({
      client: cluster.client,
      namespace: 'links',
      clock,
      random: () => 0.5,
      log: captureLog().log,
      apexes: {
        get ready() {
          return { ok: apexesReady, reason: '' };
        },
        follow: () => undefined,
        of: () => undefined,
      },
      onRoutes: (found) => {
        routes = found;
        made++;
        clock.work(priceMs);
      },
    });
    cluster.put('links', link('west'));
    source.start();
  });
  afterEach(() => source.stop());

  it('lets nobody else in where the mirror is gone for good, and with it what it and its Namespace have said', async () => {
    // A Namespace that was deleted took its rules with it, and left ports that everybody could use.
    const annotations = { 'linkspan.dev/allowed-namespaces': 'shop' };
    const labels = { 'mirror.linkerd.io/mirrored-service': 'true' };
    const mirror = { metadata: { name: 'web-federated', namespace: 'demo', labels, annotations } };
    const allowed = (expected: readonly string[]) =>
      eventually(expected.join(), async () => {
        await settle();
        return routes?.get(12_000)?.allowedNamespaces?.join() === expected.join();
      });
    cluster.put('services', mirror);
    cluster.put('configmaps', shard(0, { 12_000: claim('west') }));
    await allowed(['shop']);
    cluster.remove('services', 'demo', 'web-federated');
    await settle();
    await clock.advance(9000);
    await allowed(['shop']);
    await clock.advance(1001);
    await allowed([]);
    cluster.put('services', mirror);
    await allowed(['shop']);
  });

  it('follows members that join a federated Service and leave it', async () => {
    cluster.put('configmaps', shard(0));
    await seen('no route', []);
    cluster.put('configmaps', shard(0, { 12_000: claim('west') }));
    await seen('the first member', ['demo/web-federated@west:80 10.0.0.1']);
    cluster.put('configmaps', shard(1, { 12_001: claim('north') }));
    cluster.put('links', link('north', '10.1.0.1'));
    await seen('both members', [
      'demo/web-federated@north:80 10.1.0.1',
      'demo/web-federated@west:80 10.0.0.1',
    ]);
    cluster.remove('links', 'links', 'north');
    await seen('the first alone', ['demo/web-federated@west:80 10.0.0.1']);
    cluster.put('configmaps', shard(0));
    await seen('none again', []);
  });

  it('follows the gateway that the record names for an export', async () => {
    const gateway = { addresses: ['10.9.0.1'], port: 4143, identity: 'other' };
    cluster.put('configmaps', shard(0, { 12_000: claim('west') }));
    await seen("the Link's gateway", ['demo/web-federated@west:80 10.0.0.1']);
    cluster.put('configmaps', shard(0, { 12_000: { ...claim('west'), gateway } }));
    await seen('its own gateway', ['demo/web-federated@west:80 10.9.0.1']);
  });

  // Whoever may write ConfigMaps in a namespace of its own must not be able to add to the record, nor under
  // another name in that of the installation.
  it('reads the record of the namespace of the installation and no other', async () => {
    const elsewhere = shard(0, { 12_000: claim('west') });
    cluster.put('configmaps', { ...elsewhere, metadata: { ...elsewhere.metadata, namespace: 'tenant' } });
    cluster.put('configmaps', { ...elsewhere, metadata: { ...elsewhere.metadata, name: 'mine' } });
    cluster.put('configmaps', shard(1, { 12_001: claim('west') }));
    await seen('that of the installation', ['demo/web-federated@west:80 10.0.0.1']);
    expect([...(routes?.keys() ?? [])]).to.deep.equal([12_001]);
  });

  // A new egress pod that took connections before anybody had told it where they go would refuse them all: at
  // the first start after the upgrade.
  it('is ready once the record is there, and says what it waits for before', async () => {
    expect(source.ready.reason).to.contain('waiting for mirrors, Links and the record of egress ports');
    await seen('the lists', []);
    expect(source.ready.reason).to.contain('waiting for the controller');
    cluster.put('configmaps', shard(0));
    await eventually('it is ready', async () => {
      await settle();
      return source.ready.ok;
    });
  });

  // Whoever changed a split, a mirror or a Link without end had all routes worked out each time, and requests
  // of everybody waited.
  describe('in a storm of changes', () => {
    const storm = async (ms: number, change: (at: number) => void) => {
      for (let at = 0; at < ms; at += 10) {
        change(at);
        await clock.advance(10);
      }
    };
    const serving = async () => {
      cluster.put('configmaps', shard(0, { 12_000: claim('west') }));
      await seen('the route', ['demo/web-federated@west:80 10.0.0.1']);
      priceMs = 50;
      expect(source.ready.ok).to.equal(true);
      source.apexChanged();
      await settle();
    };

    for (const [what, change] of [
      ['apexes', () => source.apexChanged()],
      ['Links', (at: number) => cluster.put('links', link('west', `10.0.${at % 250}.1`))],
      [
        'mirrors',
        (at: number) =>
          cluster.put('services', {
            metadata: {
              name: `web-${at % 7}`,
              namespace: 'demo',
              labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
              annotations: { at: String(at) },
            },
          }),
      ],
    ] as [string, (at: number) => void][])
      it(`of ${what} takes a tenth of the time, and follows the last one`, async () => {
        await serving();
        await storm(3000, change);
        const before = clock.worked;
        await storm(10_000, change);
        expect((clock.worked - before) / 10_000).to.be.within(0.05, 0.11);
        cluster.put('links', link('west', '10.9.9.9'));
        await clock.advance(5000);
        await seen('the last', ['demo/web-federated@west:80 10.9.9.9']);
        await clock.advance(60_000);
        const rest = made;
        await clock.advance(60_000);
        expect(made).to.equal(rest);
      });

    it('takes in at once what the controller writes into the record', async () => {
      await serving();
      await storm(3000, () => source.apexChanged());
      cluster.put('configmaps', shard(1, { 12_001: { ...claim('west'), mirror: 'demo/api-federated' } }));
      for (let turn = 0; turn < 5; turn++) await settle();
      expect([...(routes?.keys() ?? [])]).to.deep.equal([12_000, 12_001]);
    });

    it('makes all routes before it is ready, as soon as anything is known', async () => {
      apexesReady = false;
      await serving();
      const before = made;
      await storm(1000, () => source.apexChanged());
      expect(made - before).to.equal(100);
      apexesReady = true;
      source.apexChanged();
      await settle();
      const then = made;
      expect(then - before).to.equal(101);
      await storm(10_000, () => source.apexChanged());
      expect(made - then).to.be.within(15, 35);
    });
  });

  // A slice of 100 pods for one text: there may be thousands of them, in each egress pod.
  it('keeps of slices of mirrors what they say of failover, and nothing of others', async () => {
    const labels = (service: string) => ({
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': 'west',
      'kubernetes.io/service-name': service,
    });
    const slice = (service: string, facts: object = { 'failover.linkspan.dev/facts': '{}' }) => ({
      metadata: {
        name: `${service}-1`,
        namespace: 'demo',
        labels: labels(service),
        annotations: { ...facts, other: 'text' },
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'] }],
      ports: [{ port: 80 }],
    });
    cluster.put('endpointslices', slice('api-west', {}));
    cluster.put('endpointslices', slice('web-west'));
    cluster.put('endpointslices', slice('web-federated'));
    await eventually('they are there', async () => {
      await settle();
      return source.slices.size === 2;
    });
    for (const service of ['web-west', 'web-federated']) {
      const [one] = source.slices.byIndex('service', `demo/${service}`);
      expect(one?.metadata?.annotations).to.deep.equal({ 'failover.linkspan.dev/facts': '{}' });
      expect(one?.metadata?.labels).to.deep.equal(labels(service));
      expect(one?.endpoints).to.deep.equal([]);
    }
  });

  // An egress of a new release whose rights are still those of the one before would be ready never.
  it('is ready without a right to read slices, and says what follows', async () => {
    await source.stop();
    const { client } = cluster;
    const list = (...[resource, options]: Parameters<KubeClient['list']>) =>
      resource.plural === 'endpointslices'
        ? Promise.reject(new Error('forbidden'))
        : client.list(resource, options);
    source = new RouteSource({
      client: Object.assign(cluster.client, { list }),
      namespace: 'links',
      clock,
      random: () => 0.5,
      log: captureLog().log,
      onRoutes: (found) => (routes = found),
    });
    source.start();
    cluster.put('configmaps', shard(0));
    await eventually('it is ready', async () => {
      await settle();
      return source.ready.ok;
    });
    expect(source.ready.reason).to.contain('all clusters of a group get the same');
  });
});

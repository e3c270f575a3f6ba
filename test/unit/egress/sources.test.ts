import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import type { Route } from '../../../src/egress/routes.ts';
import { RouteSource } from '../../../src/egress/sources.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const LABEL = { 'mirror.linkerd.io/mirrored-service': 'true' };

function link(cluster: string, gatewayAddress = '10.0.0.1') {
  const spec = { targetClusterName: cluster, gatewayAddress, gatewayPort: '4143', gatewayIdentity: 'gw' };
  return { metadata: { name: cluster, namespace: 'links' }, spec };
}

function service(name: string, annotations: Record<string, string>, cluster?: string): V1Service {
  const labels = cluster === undefined ? LABEL : { ...LABEL, 'mirror.linkerd.io/cluster-name': cluster };
  return { metadata: { name, namespace: 'demo', uid: name, labels, annotations }, spec: {} };
}

const federated = (clusters: readonly string[]) =>
  service('web-federated', {
    'multicluster.linkerd.io/remote-discovery': clusters.map((cluster) => `web@${cluster}`).join(','),
    ...Object.fromEntries(
      clusters.map((cluster, index) => [`egress-ports.linkspan.dev/${cluster}`, `{"80":${12_000 + index}}`]),
    ),
  });

// An egress pod serves every Link: what mirrors and Links come to ask for must reach it while it runs.
describe('RouteSource', () => {
  let cluster: FakeCluster;
  let source: RouteSource;
  let routes: Map<number, Route> | undefined;

  const seen = (what: string, expected: readonly string[]) =>
    eventually(what, async () => {
      await settle();
      const now = [...(routes?.values() ?? [])].map(
        ({ label, gateway }) => `${label} ${gateway.addresses.join()}`,
      );
      return routes !== undefined && now.sort().join(' | ') === [...expected].sort().join(' | ');
    });

  beforeEach(() => {
    cluster = new FakeCluster();
    routes = undefined;
    source = new RouteSource({
      client: cluster.client,
      namespace: 'links',
      clock: new VirtualClock(),
      random: () => 0.5,
      log: captureLog().log,
      onRoutes: (found) => (routes = found),
    });
    cluster.put('links', link('west'));
    source.start();
  });
  afterEach(() => source.stop());

  it('follows members that join a federated Service and leave it', async () => {
    await seen('no route', []);
    cluster.put('services', federated(['west']));
    await seen('the first member', ['demo/web-federated@west:80 10.0.0.1']);
    cluster.put('services', federated(['west', 'north']));
    cluster.put('links', link('north', '10.1.0.1'));
    await seen('both members', [
      'demo/web-federated@north:80 10.1.0.1',
      'demo/web-federated@west:80 10.0.0.1',
    ]);
    cluster.remove('links', 'links', 'north');
    await seen('the first alone', ['demo/web-federated@west:80 10.0.0.1']);
    cluster.remove('services', 'demo', 'web-federated');
    await seen('none again', []);
  });

  it('follows the gateway that a mirror names', async () => {
    const mirror = (own: Record<string, string>) =>
      service(
        'web-west',
        {
          'mirror.linkerd.io/remote-svc-fq-name': 'web.demo.svc.cluster.local',
          'linkspan.dev/data-path': 'relay',
          'linkspan.dev/egress-ports': '{"80":12000}',
          ...own,
        },
        'west',
      );
    cluster.put('services', mirror({}));
    await seen("the Link's gateway", ['demo/web-west:80 10.0.0.1']);
    const own = { addresses: ['10.9.0.1'], port: 4143, identity: 'other' };
    cluster.put('services', mirror({ 'linkspan.dev/gateway': JSON.stringify(own) }));
    await seen('its own gateway', ['demo/web-west:80 10.9.0.1']);
    cluster.put('services', mirror({}));
    await seen("the Link's again", ['demo/web-west:80 10.0.0.1']);
  });

  it('is ready once both lists are there, and says what it waits for before', async () => {
    expect(source.ready.ok).to.equal(false);
    expect(source.ready.reason).to.contain('waiting for mirrors and Links');
    await seen('the lists', []);
    expect(source.ready).to.deep.equal({ ok: true, reason: '' });
  });
});

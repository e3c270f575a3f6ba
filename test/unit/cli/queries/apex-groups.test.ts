import type { V1Deployment, V1EndpointSlice } from '@kubernetes/client-node';
import { expect } from 'chai';
import { APEX_MEMBER } from '../../../../src/api/egress/egress-record.ts';
import { readApexGroups } from '../../../../src/cli/queries/apex-groups.ts';
import { clusterDomainOf } from '../../../../src/cli/queries/cluster-domain.ts';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { withRoutingKinds } from '../../../support/apex-world.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';

/** An egress as the chart installs it, with these arguments. */
const egress = (...args: string[]): V1Deployment => ({
  metadata: {
    name: 'linkspan-egress',
    namespace: 'links',
    labels: { 'app.kubernetes.io/part-of': 'linkspan', component: 'egress' },
  },
  spec: {
    selector: {},
    template: { spec: { containers: [{ name: 'egress', args: ['egress', '--threads=2', ...args] }] } },
  },
});

describe('Services without selector as `linkspan` reads them', () => {
  const slice: V1EndpointSlice = {
    metadata: {
      name: 'checkout-egress',
      namespace: 'shop',
      labels: {
        'kubernetes.io/service-name': 'checkout',
        'mirror.linkerd.io/cluster-name': APEX_MEMBER,
      },
    },
    addressType: 'IPv4',
    endpoints: [],
  };
  /** The backends of the Service, whose profile is of this domain, as they are shown. */
  const shown = async (cluster: FakeCluster, domain: string, client = cluster.client) => {
    cluster.put('services', {
      metadata: { name: 'checkout', namespace: 'shop', uid: 'c' },
      spec: { ports: [{ port: 80 }] },
    } as object);
    cluster.put('serviceprofiles', {
      metadata: { name: `checkout.shop.svc.${domain}`, namespace: 'shop', uid: 'p' },
      spec: { dstOverrides: [{ authority: `web-west.shop.svc.${domain}:80`, weight: 1 }] },
    } as object);
    const found = { services: [], slices: [slice], said: new Map() };
    const { groups } = await readApexGroups(withRoutingKinds(client), found, 'links');
    return groups.flatMap(({ group }) => group.backends.map(({ name }) => name));
  };

  // Where the cluster's domain was another, `linkspan failover` did not show what the egress did.
  it('have the profiles of the domain that the egress has been told', async () => {
    for (const [domain, expected] of [
      ['corp.example', ['web-west']],
      ['cluster.local', []],
    ] as const) {
      const cluster = new FakeCluster();
      cluster.put('deployments', egress('--cluster-domain=corp.example'));
      expect(await shown(cluster, domain)).to.deep.equal(expected);
    }
  });

  it('have those of cluster.local where nobody says another domain, or it may not be read', async () => {
    expect(await shown(new FakeCluster(), 'cluster.local')).to.deep.equal(['web-west']);
    const cluster = new FakeCluster();
    const { client } = cluster;
    const list = (...[resource, options]: Parameters<KubeClient['list']>) =>
      resource.plural === 'deployments'
        ? Promise.reject(statusError(403, '{"reason":"Forbidden"}', 'fake', undefined))
        : client.list(resource, options);
    const limited = Object.assign(cluster.client, { list });
    expect(await shown(cluster, 'cluster.local', limited)).to.deep.equal(['web-west']);
  });

  // A drain was judged without the routes that could not be read, and nobody was told.
  it('are said to be incomplete where a kind, a question or a namespace is forbidden', async () => {
    const forbidden = statusError(403, '{"reason":"Forbidden","message":"no"}', 'fake', undefined);
    const unreadWith = async (fails: (what: string) => boolean) => {
      const cluster = new FakeCluster();
      cluster.put('services', {
        metadata: { name: 'checkout', namespace: 'shop', uid: 'c' },
        spec: { ports: [{ port: 80 }] },
      } as object);
      const client = withRoutingKinds(cluster.client, () => (fails('raw') ? forbidden : undefined));
      const { client: plain } = cluster;
      const list = (...[resource, options]: Parameters<KubeClient['list']>) =>
        fails(resource.plural) ? Promise.reject(forbidden) : plain.list(resource, options);
      const limited = Object.assign(client, { list });
      const { unread } = await readApexGroups(
        limited,
        { services: [], slices: [slice], said: new Map() },
        'links',
      );
      return unread.map((one) => one.split(':')[0]);
    };
    expect(await unreadWith(() => false)).to.deep.equal([]);
    expect(await unreadWith((what) => what === 'httproutes')).to.deep.equal([
      'httproutes.gateway.networking.k8s.io',
    ]);
    expect(await unreadWith((what) => what === 'raw')).to.have.length(6);
    expect(await unreadWith((what) => what === 'services')).to.deep.equal([
      'Services and EndpointSlices of the namespace shop',
    ]);
  });

  it('are of the domain in either form of the flag', () => {
    expect(clusterDomainOf([egress('--cluster-domain', 'a.b')])).to.equal('a.b');
    expect(clusterDomainOf([{}, egress(), egress('--cluster-domain=c.d')])).to.equal('c.d');
    for (const args of [['--cluster-domain'], ['--cluster-domain='], ['--cluster-domains=x']])
      expect(clusterDomainOf([egress(...args)])).to.equal('cluster.local');
  });
});

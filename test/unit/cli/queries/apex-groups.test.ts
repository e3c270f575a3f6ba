import type { V1Deployment, V1EndpointSlice } from '@kubernetes/client-node';
import { expect } from 'chai';
import { APEX_MEMBER } from '../../../../src/api/egress/egress-record.ts';
import { type FailoverFacts, writeFacts } from '../../../../src/api/failover/failover-facts.ts';
import { factsAnnotation } from '../../../../src/api/mirror/slice-facts.ts';
import { readApexGroups } from '../../../../src/cli/queries/apex-groups.ts';
import { clusterDomainOf } from '../../../../src/cli/queries/cluster-domain.ts';
import { readAllFailover } from '../../../../src/cli/queries/failover-rows.ts';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { withRoutingKinds } from '../../../support/apex-world.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';

const MIRRORED = { 'mirror.linkerd.io/mirrored-service': 'true' };

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

  // With `-n` the mirrors of other namespaces were not read, and whoever is no mirror is a Service of this
  // cluster: `linkspan failover -n shop` said `local` of a backend that is the cluster west.
  it('lead to the same clusters, whether their namespace is read alone or all are', async () => {
    const cluster = new FakeCluster();
    cluster.put('services', {
      metadata: { name: 'checkout', namespace: 'shop', uid: 'c' },
      spec: { ports: [{ port: 80 }] },
    } as object);
    cluster.put('endpointslices', {
      ...slice,
      metadata: { ...slice.metadata, labels: { ...slice.metadata?.labels, ...MIRRORED } },
    });
    const labels = { ...MIRRORED, 'mirror.linkerd.io/cluster-name': 'west' };
    cluster.put('services', {
      metadata: { name: 'pay-west', namespace: 'pay', uid: 'p', labels },
      spec: { ports: [{ port: 80 }] },
    } as object);
    const facts = { ready: 2, known: 2, expected: 4, path: 'alive', usableSince: 1, flaps: 0, lastWord: 1 };
    cluster.put('endpointslices', {
      metadata: {
        name: 'pay-west',
        namespace: 'pay',
        labels: { ...labels, 'kubernetes.io/service-name': 'pay-west' },
        annotations: factsAnnotation(writeFacts(facts as FailoverFacts)),
      },
      addressType: 'IPv4',
      endpoints: [],
    } as object);
    cluster.put('httproutes', {
      metadata: { name: 'checkout', namespace: 'shop', uid: 'r' },
      spec: {
        parentRefs: [{ group: '', kind: 'Service', name: 'checkout' }],
        rules: [{ backendRefs: [{ name: 'pay-west', namespace: 'pay', port: 80 }] }],
      },
    } as object);
    cluster.put('referencegrants', {
      metadata: { name: 'shop', namespace: 'pay', uid: 'g' },
      spec: {
        from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop' }],
        to: [{ group: '', kind: 'Service' }],
      },
    } as object);
    const client = withRoutingKinds(cluster.client);
    const read = async (namespace: string | undefined) =>
      (await readAllFailover(client, namespace, 'links')).apexes?.map(({ clusters, group }) => ({
        clusters: [...clusters],
        facts: group.backends.map((backend) => backend.facts),
      }));
    const [all] = (await read(undefined)) ?? [];
    expect(all?.clusters.map(([, name]) => name)).to.deep.equal(['west']);
    expect(all?.facts[0]?.ready).to.equal(2);
    expect(await read('shop')).to.deep.equal([all]);
    const { client: plain } = cluster;
    const list = (...[resource, options]: Parameters<KubeClient['list']>) =>
      options?.namespace === 'pay' && options.labelSelector !== undefined
        ? Promise.reject(statusError(403, '{"reason":"Forbidden","message":"no"}', 'fake', undefined))
        : plain.list(resource, options);
    const limited = Object.assign(withRoutingKinds(cluster.client), { list });
    const { apexes = [], unread = [] } = await readAllFailover(limited, 'shop', 'links');
    expect(apexes.map(({ clusters }) => [...clusters.values()])).to.deep.equal([[]]);
    expect(unread.map((one) => one.split(':')[0])).to.deep.equal(['mirrors of the namespace pay']);
  });

  it('are of the domain in either form of the flag', () => {
    expect(clusterDomainOf([egress('--cluster-domain', 'a.b')])).to.equal('a.b');
    expect(clusterDomainOf([{}, egress(), egress('--cluster-domain=c.d')])).to.equal('c.d');
    for (const args of [['--cluster-domain'], ['--cluster-domain='], ['--cluster-domains=x']])
      expect(clusterDomainOf([egress(...args)])).to.equal('cluster.local');
  });
});

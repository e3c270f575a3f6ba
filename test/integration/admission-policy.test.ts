import { expect } from 'chai';
import {
  MIRROR_ANNOTATION_GROUPS,
  MIRROR_ANNOTATIONS,
  MIRROR_LABELS,
} from '../../src/api/mirror/mirror-keys.ts';
import {
  configMaps,
  endpoints,
  endpointSlices,
  type KubeObject,
  namespaces,
  type Resource,
  services,
} from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { KNOWN_SLICE_MAKERS } from '../../src/exports/slice-makers.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { change, clientOf, ensureNamespace, find, findService, remove } from '../support/cluster-objects.ts';
import { chartAccounts, MULTICLUSTER, objectsOf, renderChart } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { ownClusters } from '../testbed/shared.ts';

const POLICY_KINDS = new Set(['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding']);
const CONTROLLER = `system:serviceaccount:${MULTICLUSTER}:linkspan-controller`;
const REFUSED = /are written by Linkspan's and Linkerd's controllers only/;
const MAKER = 'endpointslice.kubernetes.io/managed-by';

/** Labels or annotations of a patch; null takes one away. */
type Marks = Readonly<Record<string, string | null>>;

/** What a tenant may do in its namespace: all with Services and their endpoints, and nothing outside. */
const TENANT_RIGHTS = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'tenant' },
  rules: [
    { apiGroups: [''], resources: ['services', 'services/status', 'endpoints', 'configmaps'], verbs: ['*'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['*'] },
  ],
};
const bindingOf = (namespace: string, user: string) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'RoleBinding',
  metadata: { name: `tenant-${user}`, namespace },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'tenant' },
  subjects: [{ kind: 'User', name: user, apiGroup: 'rbac.authorization.k8s.io' }],
});

// The second line behind the record: labels and annotations that steer controllers are not the tenants' to
// write.
describe('the admission policy of the chart', () => {
  let cluster: Cluster;
  const closed = closedIn(after);

  /** A client that acts as somebody; one for each. */
  const acting = new Map<string, KubeClient>();
  const clientAs = (user: string): KubeClient => {
    const known = acting.get(user);
    if (known !== undefined) return known;
    const access = { ...loadAccess({ file: cluster.kubeconfigFile }), impersonate: { user, groups: [] } };
    const client = closed(new KubeClient(access, { clock: systemClock, random: Math.random }), (one) =>
      one.close(),
    );
    acting.set(user, client);
    return client;
  };
  /** What the API server says to a write: that it is done, or why not. */
  const said = (write: Promise<unknown>): Promise<string> => write.then(() => 'written', String);
  const create = <T extends KubeObject>(user: string, resource: Resource<T>, object: T) =>
    said(clientAs(user).create(resource, object));
  /** A merge patch of something in the tenant's namespace. */
  const patch = (
    user: string,
    resource: Resource<KubeObject>,
    name: string,
    body: object,
    options: { readonly dryRun?: boolean; readonly subresource?: 'status' } = {},
  ) => said(clientAs(user).patch(resource, { namespace: 'shop', name }, body, { type: 'merge', ...options }));
  const label = (user: string, resource: Resource<KubeObject>, name: string, labels: Marks, dryRun = false) =>
    patch(user, resource, name, { metadata: { labels } }, { dryRun });
  const annotate = (user: string, resource: Resource<KubeObject>, name: string, annotations: Marks) =>
    patch(user, resource, name, { metadata: { annotations } });
  const service = (name: string) => findService(cluster, 'shop', name);

  before(async () => {
    ({ east: cluster } = closed(await ownClusters(), (one) => one.giveBack()));
    await ensureNamespace(cluster, 'shop');
    await cluster.apply(await chartAccounts());
    const rendered = objectsOf(
      await renderChart(['--set=admissionPolicy.enabled=true,admissionPolicy.writers={backup}']),
    );
    await cluster.apply([
      ...rendered.filter(({ kind }) => POLICY_KINDS.has(kind ?? '')),
      TENANT_RIGHTS,
      bindingOf('shop', 'ann'),
      bindingOf('shop', 'backup'),
      bindingOf(MULTICLUSTER, 'ann'),
    ]);
    const own = { metadata: { name: 'own', namespace: 'shop' }, spec: { ports: [{ port: 80 }] } };
    expect(await create('ann', services, own)).to.equal('written');
    const mark = { 'mirror.linkerd.io/mirrored-service': 'true' };
    await eventually(
      'the policy holds',
      async () => REFUSED.test(await label('ann', services, 'own', mark, true)),
      { everyMs: 200 },
    );
    expect(await create(CONTROLLER, services, mirror())).to.equal('written');
  });

  const everyMark = {
    labels: Object.fromEntries(MIRROR_LABELS.map((key) => [key, 'true'])),
    annotations: Object.fromEntries(
      [...MIRROR_ANNOTATIONS, ...MIRROR_ANNOTATION_GROUPS.map((group) => `${group}/west`)].map((key) => [
        key,
        '{}',
      ]),
    ),
  };
  const mirror = (name = 'web-west') => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', ...everyMark },
    spec: { ports: [{ port: 80 }] },
  });
  const slice = (name: string, maker: string | undefined, ip = '10.0.0.1') => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name,
      namespace: 'shop',
      // Of no Service: kube's controller deletes what it is said to have made for one and does not want.
      labels: { 'kubernetes.io/service-name': 'nobody', ...(maker === undefined ? {} : { [MAKER]: maker }) },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: [ip] }],
    ports: [],
  });

  for (const [verb, where, marks] of [
    ['label', 'labels', Object.keys(everyMark.labels)],
    ['annotate', 'annotations', Object.keys(everyMark.annotations)],
  ] as const) {
    it(`lets no tenant ${verb} with any mark of controllers: put on, change or take away`, async () => {
      const write = (name: string, marks: Marks): Promise<string> =>
        patch('ann', services, name, { metadata: { [where]: marks } }, { dryRun: true });
      for (const key of marks) {
        expect(await write('own', { [key]: 'x' }), `on: ${key}`).to.match(REFUSED);
        expect(await write('web-west', { [key]: 'x' }), `change: ${key}`).to.match(REFUSED);
        expect(await write('web-west', { [key]: null }), `away: ${key}`).to.match(REFUSED);
      }
      expect(await write('own', { note: 'mine' }), 'what is theirs').to.equal('written');
    });
  }

  it('lets no tenant put marks on by way of the status, which may be written with them', async () => {
    const patchStatus = (metadata: object) =>
      patch('ann', services, 'own', { metadata }, { subresource: 'status' });
    for (const metadata of [{ labels: everyMark.labels }, { annotations: everyMark.annotations }])
      expect(await patchStatus(metadata)).to.match(REFUSED);
    expect(await patchStatus({ annotations: { note: 'mine' } })).to.equal('written');
  });

  it('lets no tenant make a Service, Endpoints or a slice with such marks', async () => {
    expect(await create('ann', services, mirror('forged-west'))).to.match(REFUSED);
    const { metadata } = mirror('forged-west');
    expect(await create('ann', endpoints, { metadata })).to.match(REFUSED);
    const marked = slice('forged', undefined);
    const labels = { ...marked.metadata.labels, 'mirror.linkerd.io/mirrored-service': 'true' };
    const forged = { ...marked, metadata: { ...marked.metadata, labels } };
    expect(await create('ann', endpointSlices, forged)).to.match(REFUSED);
  });

  it('lets tenants do with Services what is theirs: export them, change and delete mirrors', async () => {
    const exported = { 'mirror.linkerd.io/exported': 'true' };
    expect(await label('ann', services, 'own', exported)).to.equal('written');
    const clients = { 'linkspan.dev/allowed-clients': 'a.b' };
    expect(await annotate('ann', services, 'own', clients)).to.equal('written');
    const theirs = { note: 'mine', 'linkspan.dev/allowed-namespaces': 'shop' };
    expect(await annotate('ann', services, 'web-west', theirs)).to.equal('written');
    const ref = { namespace: 'shop', name: 'web-west' };
    expect(await said(clientAs('ann').delete(services, ref, { dryRun: true }))).to.equal('written');
  });

  it('lets our controller, a named writer and an administrator write them', async () => {
    const key = 'linkspan.dev/egress-ports';
    for (const [index, user] of [CONTROLLER, 'backup'].entries()) {
      const ports = { [key]: `{"80":${12_000 + index}}` };
      expect(await annotate(user, services, 'web-west', ports)).to.equal('written');
    }
    const ref = { namespace: 'shop', name: 'web-west' };
    await change(cluster, services, ref, { metadata: { annotations: { [key]: '{"80":13000}' } } });
    expect((await service('web-west'))?.metadata?.annotations?.[key]).to.equal('{"80":13000}');
  });

  it("lets nobody but kube's controllers say that a slice is theirs, or change what they say", async () => {
    for (const maker of [...KNOWN_SLICE_MAKERS, 'endpointslicemirroring-controller.k8s.io', 'linkspan.dev'])
      expect(await create('ann', endpointSlices, slice('forged', maker)), maker).to.match(
        /are written by these only/,
      );
    expect(await create('ann', endpointSlices, slice('mine', 'me'))).to.equal('written');
    const claim = { [MAKER]: KNOWN_SLICE_MAKERS[0] ?? '' };
    expect(await label('ann', endpointSlices, 'mine', claim)).to.match(/by these only/);
    const kubes = 'system:serviceaccount:kube-system:endpointslice-controller';
    await cluster.apply(bindingOf('shop', kubes));
    await eventually('kube has its rights', async () => {
      const made = await create(kubes, endpointSlices, slice('kubes', KNOWN_SLICE_MAKERS[0]));
      if (made !== 'written') throw new Error(made);
      return true;
    });
    const ports = { ports: [{ name: 'http', port: 8081, protocol: 'TCP' }] };
    expect(await patch(kubes, endpointSlices, 'kubes', ports)).to.equal('written');
    // Only addresses were looked at: kube's own slice could lead to any port of a pod, or stand for another
    // Service.
    for (const change of [
      { endpoints: [{ addresses: ['10.66.0.1'] }] },
      { endpoints: null },
      { ports: [{ name: 'http', port: 10250, protocol: 'TCP' }] },
      { ports: null },
      { metadata: { labels: { 'kubernetes.io/service-name': 'payments' } } },
      { metadata: { labels: { 'kubernetes.io/service-name': null } } },
      { metadata: { labels: { [MAKER]: null } } },
    ])
      expect(await patch('ann', endpointSlices, 'kubes', change), JSON.stringify(change)).to.match(
        /by these only/,
      );
    const note = { note: 'mine' };
    expect(await annotate('ann', endpointSlices, 'kubes', note)).to.equal('written');
    // Fields that are not there at all are no errors of the policy, which would refuse everybody.
    const { ports: _, ...portless } = slice('portless', KNOWN_SLICE_MAKERS[0]);
    expect(await create(kubes, endpointSlices, portless)).to.equal('written');
    expect(await annotate('ann', endpointSlices, 'portless', note)).to.equal('written');
    const { ports: _none, ...own } = { ...slice('own-portless', undefined), endpoints: [] };
    expect(await create('ann', endpointSlices, own)).to.equal('written');
    expect(await label('ann', endpointSlices, 'own-portless', note)).to.equal('written');
  });

  it('hinders no controller of kube: slices of Endpoints that carry our labels, and what goes with a namespace', async () => {
    const marked = {
      metadata: { name: 'web-west', namespace: 'shop', labels: everyMark.labels },
      subsets: [{ addresses: [{ ip: '10.1.2.3' }], ports: [{ port: 80 }] }],
    };
    expect(await create(CONTROLLER, endpoints, marked)).to.equal('written');
    const labelSelector = 'mirror.linkerd.io/mirrored-service=true';
    await eventually(
      'kube has made a slice of the Endpoints, with their labels',
      async () => {
        const { items } = await clientOf(cluster).list(endpointSlices, { namespace: 'shop', labelSelector });
        return items.some(({ metadata }) => metadata?.name?.includes('web-west'));
      },
      { everyMs: 200 },
    );
    await remove(cluster, namespaces, { name: 'shop' });
    await eventually(
      'the namespace is gone with all that was in it',
      async () => (await find(cluster, namespaces, { name: 'shop' })) === undefined,
      { everyMs: 200 },
    );
  });

  it('lets nobody but the controller write the record of egress ports', async () => {
    const record = {
      metadata: {
        name: 'linkspan-egress-routes-7',
        namespace: MULTICLUSTER,
        labels: { 'linkspan.dev/record': 'egress-routes' },
      },
    };
    expect(await create('ann', configMaps, record)).to.match(/written by Linkspan's controller only/);
    const renamed = { metadata: { ...record.metadata, name: 'other' } };
    expect(await create('ann', configMaps, renamed)).to.match(/written by Linkspan's controller only/);
    const other = { metadata: { name: 'mine', namespace: MULTICLUSTER } };
    expect(await create('ann', configMaps, other)).to.equal('written');
    expect(await create(CONTROLLER, configMaps, record)).to.equal('written');
  });
});

import { expect } from 'chai';
import {
  MIRROR_ANNOTATION_GROUPS,
  MIRROR_ANNOTATIONS,
  MIRROR_LABELS,
} from '../../src/api/mirror/mirror-keys.ts';
import { services } from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { KNOWN_SLICE_MAKERS } from '../../src/exports/slice-makers.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { ensureNamespace, findService } from '../support/cluster-objects.ts';
import { chartAccounts, MULTICLUSTER, objectsOf, renderChart } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';

const POLICY_KINDS = new Set(['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding']);
const CONTROLLER = `system:serviceaccount:${MULTICLUSTER}:linkspan-controller`;
const REFUSED = /are written by Linkspan's and Linkerd's controllers only/;
const MAKER = 'endpointslice.kubernetes.io/managed-by';

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

  /** What kubectl says as somebody; the error's text where it is refused. */
  const as = async (user: string, ...args: string[]): Promise<string> => {
    try {
      return await cluster.kubectl(`--as=${user}`, '-n', 'shop', ...args);
    } catch (error) {
      return String(error);
    }
  };
  const service = (name: string) => findService(cluster, 'shop', name);

  before(async () => {
    cluster = closed(await startCluster({ name: 'admission', controllerManager: true }), (one) => one.stop());
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
    await as('ann', 'create', 'service', 'clusterip', 'own', '--tcp=80');
    await eventually(
      'the policy holds',
      async () =>
        REFUSED.test(
          await as(
            'ann',
            'label',
            'service',
            'own',
            'mirror.linkerd.io/mirrored-service=true',
            '--dry-run=server',
          ),
        ),
      { timeoutMs: 30_000, everyMs: 200 },
    );
    expect(await as(CONTROLLER, 'create', '-f', await fileOf(mirror()))).to.contain('created');
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

  async function fileOf(object: object): Promise<string> {
    const { writeFileSync, mkdtempSync } = await import('node:fs');
    const { tmpdir } = await import('node:os');
    const file = `${mkdtempSync(`${tmpdir()}/linkspan-admission-`)}/object.json`;
    writeFileSync(file, JSON.stringify(object));
    return file;
  }

  for (const [verb, where, marks] of [
    ['label', 'labels', Object.keys(everyMark.labels)],
    ['annotate', 'annotations', Object.keys(everyMark.annotations)],
  ] as const) {
    it(`lets no tenant ${verb} with any mark of controllers: put on, change or take away`, async () => {
      const access = loadAccess({ file: cluster.kubeconfigFile });
      const ann = new KubeClient(
        { ...access, impersonate: { user: 'ann', groups: [] } },
        { clock: systemClock, random: Math.random },
      );
      closed(ann, (one) => one.close());
      const write = (name: string, marks: Readonly<Record<string, string | null>>): Promise<string> => {
        const options = { type: 'merge', dryRun: true } as const;
        return ann
          .patch(services, { namespace: 'shop', name }, { metadata: { [where]: marks } }, options)
          .then(() => 'written', String);
      };
      for (const key of marks) {
        expect(await write('own', { [key]: 'x' }), `on: ${key}`).to.match(REFUSED);
        expect(await write('web-west', { [key]: 'x' }), `change: ${key}`).to.match(REFUSED);
        expect(await write('web-west', { [key]: null }), `away: ${key}`).to.match(REFUSED);
      }
      expect(await write('own', { note: 'mine' }), 'what is theirs').to.equal('written');
    });
  }

  it('lets no tenant put marks on by way of the status, which may be written with them', async () => {
    for (const metadata of [{ labels: everyMark.labels }, { annotations: everyMark.annotations }]) {
      const patch = JSON.stringify({ metadata });
      expect(
        await as('ann', 'patch', 'service', 'own', '--subresource=status', '--type=merge', '-p', patch),
      ).to.match(REFUSED);
    }
    const note = JSON.stringify({ metadata: { annotations: { note: 'mine' } } });
    expect(
      await as('ann', 'patch', 'service', 'own', '--subresource=status', '--type=merge', '-p', note),
    ).to.contain('patched');
  });

  it('lets no tenant make a Service, Endpoints or a slice with such marks', async () => {
    expect(await as('ann', 'create', '-f', await fileOf(mirror('forged-west')))).to.match(REFUSED);
    const { metadata } = mirror('forged-west');
    const endpoints = { apiVersion: 'v1', kind: 'Endpoints', metadata };
    expect(await as('ann', 'create', '-f', await fileOf(endpoints))).to.match(REFUSED);
    const marked = slice('forged', undefined);
    const labels = { ...marked.metadata.labels, 'mirror.linkerd.io/mirrored-service': 'true' };
    expect(
      await as('ann', 'create', '-f', await fileOf({ ...marked, metadata: { ...marked.metadata, labels } })),
    ).to.match(REFUSED);
  });

  it('lets tenants do with Services what is theirs: export them, change and delete mirrors', async () => {
    expect(await as('ann', 'label', 'service', 'own', 'mirror.linkerd.io/exported=true')).to.contain(
      'labeled',
    );
    expect(await as('ann', 'annotate', 'service', 'own', 'linkspan.dev/allowed-clients=a.b')).to.contain(
      'annotated',
    );
    expect(
      await as('ann', 'annotate', 'service', 'web-west', 'note=mine', 'linkspan.dev/allowed-namespaces=shop'),
    ).to.contain('annotated');
    expect(await as('ann', 'delete', 'service', 'web-west', '--dry-run=server')).to.contain('deleted');
  });

  it('lets our controller, a named writer and an administrator write them', async () => {
    const key = 'linkspan.dev/egress-ports';
    for (const [index, user] of [CONTROLLER, 'backup'].entries())
      expect(
        await as(user, 'annotate', 'service', 'web-west', `${key}={"80":${12_000 + index}}`, '--overwrite'),
      ).to.contain('annotated');
    await cluster.kubectl(
      '-n',
      'shop',
      'annotate',
      'service',
      'web-west',
      `${key}={"80":13000}`,
      '--overwrite',
    );
    expect((await service('web-west'))?.metadata?.annotations?.[key]).to.equal('{"80":13000}');
  });

  it("lets nobody but kube's controllers say that a slice is theirs, or change what they say", async () => {
    for (const maker of [...KNOWN_SLICE_MAKERS, 'endpointslicemirroring-controller.k8s.io', 'linkspan.dev'])
      expect(await as('ann', 'create', '-f', await fileOf(slice('forged', maker))), maker).to.match(
        /are written by these only/,
      );
    expect(await as('ann', 'create', '-f', await fileOf(slice('mine', 'me')))).to.contain('created');
    expect(
      await as('ann', 'label', 'endpointslice', 'mine', `${MAKER}=${KNOWN_SLICE_MAKERS[0]}`, '--overwrite'),
    ).to.match(/by these only/);
    const kubes = 'system:serviceaccount:kube-system:endpointslice-controller';
    await cluster.kubectl(
      '-n',
      'shop',
      'create',
      'rolebinding',
      'kube',
      '--clusterrole=tenant',
      '--serviceaccount=kube-system:endpointslice-controller',
    );
    expect(await as(kubes, 'create', '-f', await fileOf(slice('kubes', KNOWN_SLICE_MAKERS[0])))).to.contain(
      'created',
    );
    const ports = JSON.stringify({ ports: [{ name: 'http', port: 8081, protocol: 'TCP' }] });
    expect(await as(kubes, 'patch', 'endpointslice', 'kubes', '--type=merge', '-p', ports)).to.contain(
      'patched',
    );
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
      expect(
        await as('ann', 'patch', 'endpointslice', 'kubes', '--type=merge', '-p', JSON.stringify(change)),
        JSON.stringify(change),
      ).to.match(/by these only/);
    expect(await as('ann', 'annotate', 'endpointslice', 'kubes', 'note=mine')).to.contain('annotated');
    // Fields that are not there at all are no errors of the policy, which would refuse everybody.
    const { ports: _, ...portless } = slice('portless', KNOWN_SLICE_MAKERS[0]);
    expect(await as(kubes, 'create', '-f', await fileOf(portless))).to.contain('created');
    expect(await as('ann', 'annotate', 'endpointslice', 'portless', 'note=mine')).to.contain('annotated');
    const own = { ...slice('own-portless', undefined), ports: undefined, endpoints: [] };
    expect(await as('ann', 'create', '-f', await fileOf(own))).to.contain('created');
    expect(await as('ann', 'label', 'endpointslice', 'own-portless', 'note=mine')).to.contain('labeled');
  });

  it('hinders no controller of kube: slices of Endpoints that carry our labels, and what goes with a namespace', async () => {
    const endpoints = {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'web-west', namespace: 'shop', labels: everyMark.labels },
      subsets: [{ addresses: [{ ip: '10.1.2.3' }], ports: [{ port: 80 }] }],
    };
    expect(await as(CONTROLLER, 'create', '-f', await fileOf(endpoints))).to.contain('created');
    await eventually(
      'kube has made a slice of the Endpoints, with their labels',
      async () => {
        const list = await cluster.kubectl(
          '-n',
          'shop',
          'get',
          'endpointslices',
          '-l',
          'mirror.linkerd.io/mirrored-service=true',
          '-o',
          'name',
        );
        return list.includes('web-west');
      },
      { timeoutMs: 30_000, everyMs: 200 },
    );
    await cluster.kubectl('delete', 'namespace', 'shop', '--wait=false');
    await eventually(
      'the namespace is gone with all that was in it',
      async () => (await cluster.kubectl('get', 'namespace', 'shop', '--ignore-not-found')).trim() === '',
      { timeoutMs: 60_000, everyMs: 200 },
    );
  });

  it('lets nobody but the controller write the record of egress ports', async () => {
    const record = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: 'linkspan-egress-routes-7',
        namespace: MULTICLUSTER,
        labels: { 'linkspan.dev/record': 'egress-routes' },
      },
    };
    const there = (user: string, file: string) =>
      cluster.kubectl(`--as=${user}`, '-n', MULTICLUSTER, 'create', '-f', file).catch(String);
    expect(await there('ann', await fileOf(record))).to.match(/written by Linkspan's controller only/);
    const renamed = { ...record, metadata: { ...record.metadata, name: 'other' } };
    expect(await there('ann', await fileOf(renamed))).to.match(/written by Linkspan's controller only/);
    const other = { ...record, metadata: { name: 'mine', namespace: MULTICLUSTER } };
    expect(await there('ann', await fileOf(other))).to.contain('created');
    expect(await there(CONTROLLER, await fileOf(record))).to.contain('created');
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { type KeptList, writeKeptWeights } from '../../src/api/failover/backend-weights.ts';
import { FAILOVER_BASE_WEIGHTS, FAILOVER_CONTROLLED_BY } from '../../src/api/failover/failover-names.ts';
import type { KubeObject, Resource } from '../../src/api/kubernetes/resource.ts';
import { kubeconfigAs } from '../support/account-client.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, createAccount, find } from '../support/cluster-objects.ts';
import { installCrd } from '../support/linked-clusters.ts';
import { installKinds, linkerdKind } from '../support/linkerd-objects.ts';
import { linkspan } from '../support/linkspan.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster, createNamespace } from '../testbed/shared.ts';

type Weighted = KubeObject & { readonly spec?: Readonly<Record<string, unknown>> };
const kind = (group: string, name: string, plural: string, version: string): Resource<Weighted> => ({
  group,
  version,
  kind: name,
  plural,
  namespaced: true,
});
const KINDS = {
  split: kind('split.smi-spec.io', 'TrafficSplit', 'trafficsplits', 'v1alpha2'),
  route: kind('gateway.networking.k8s.io', 'HTTPRoute', 'httproutes', 'v1'),
  profile: kind('linkerd.io', 'ServiceProfile', 'serviceprofiles', 'v1alpha2'),
} as const;

/** What an author wrote (3 and nothing), and what failover has made of it (0 and all). */
const kept = (local: string, mirror: string, rule = ''): KeptList => ({
  rule,
  weights: [
    { backend: local, base: 3, wrote: 0 },
    { backend: mirror, base: null, wrote: 10_000 },
  ],
});

// Weights of an outage stayed for ever when Linkspan was uninstalled: 0 for the Service that is well again.
// What their author wrote stood beside them, and nobody put it back.
describe('an uninstall of what has written weights', function () {
  this.timeout(60_000);
  const closed = closedIn(after);
  let cluster: Cluster;
  let ns: string;
  let dir: string;

  const managed = (resource: Resource<Weighted>, name: string, spec: object, list: KeptList) => ({
    apiVersion: `${resource.group}/${resource.version}`,
    kind: resource.kind,
    metadata: {
      namespace: ns,
      name,
      labels: { [FAILOVER_CONTROLLED_BY]: 'linkerd-failover' },
      annotations: {
        [FAILOVER_BASE_WEIGHTS]: writeKeptWeights(new Map([[0, list]])),
        'failover.linkspan.dev/effective-tiers': 'web; web-west',
        'example.com/mine': 'yes',
      },
    },
    spec,
  });
  const uninstall = (...flags: string[]) =>
    linkspan('uninstall', '--kubeconfig', cluster.kubeconfigFile, ...flags);
  const spec = async (resource: Resource<Weighted>, name = 'web') =>
    (await find(cluster, resource, { namespace: ns, name }))?.spec;

  before(async () => {
    cluster = closed(await bareCluster('weights'), (one) => one.stop());
    dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-test-')), (one) =>
      rmSync(one, { recursive: true, force: true }),
    );
    await installCrd(cluster);
    await installKinds(
      cluster,
      Object.values(KINDS).map((one) => linkerdKind(one.group, one.kind, one.plural, one.version)),
    );
    ns = await createNamespace(cluster, 'shop');
    const authority = (service: string) => `${service}.${ns}.svc.east.example:80`;
    await cluster.apply([
      managed(
        KINDS.split,
        'web',
        {
          service: 'web',
          backends: [
            { service: 'web', weight: 0 },
            { service: 'web-west', weight: 10_000 },
          ],
        },
        kept('web', 'web-west'),
      ),
      managed(
        KINDS.route,
        'web',
        {
          rules: [
            {
              matches: [{ path: { value: '/a' } }],
              backendRefs: [
                { name: 'web', port: 80, weight: 0 },
                { name: 'web-west', port: 80, weight: 10_000 },
              ],
            },
          ],
        },
        kept('web:80', 'web-west:80'),
      ),
      managed(
        KINDS.profile,
        'web',
        {
          dstOverrides: [
            { authority: authority('web'), weight: 0 },
            { authority: authority('web-west'), weight: 10_000 },
          ],
        },
        kept(authority('web'), authority('web-west')),
      ),
      managed(
        KINDS.split,
        'edited',
        {
          service: 'edited',
          backends: [
            { service: 'web', weight: 0 },
            { service: 'web-west', weight: 7 },
          ],
        },
        kept('web', 'web-west'),
      ),
    ]);
  });

  it('says before what it would put back, and what it cannot', async () => {
    const { code, stderr } = await uninstall();
    expect(code, stderr).to.equal(0);
    expect(stderr).to.contain('stay as they are now; `linkspan uninstall --apply` puts back');
    for (const name of [`TrafficSplit ${ns}/web`, `HTTPRoute ${ns}/web`, `ServiceProfile ${ns}/web`])
      expect(stderr).to.contain(name);
    expect(stderr).to.contain(
      `cannot be put back: TrafficSplit ${ns}/edited: somebody has written other weights since`,
    );
    const { backends } = (await spec(KINDS.split)) as { backends: unknown[] };
    expect(backends[0], 'nothing was written').to.deep.equal({ service: 'web', weight: 0 });
  });

  it('is not begun by somebody who may not put them back', async () => {
    await createAccount(cluster, ns, 'reader');
    await cluster.apply([
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRole',
        metadata: { name: `reader-${ns}` },
        rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['get', 'list', 'delete'] }],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: `reader-${ns}` },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: `reader-${ns}` },
        subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace: ns }],
      },
    ]);
    const file = path.join(dir, 'reader');
    await kubeconfigAs(cluster, { namespace: ns, name: 'reader' }, file);
    const { code, stderr } = await linkspan('uninstall', '--apply', '--kubeconfig', file);
    expect(code).to.equal(1);
    expect(stderr).to.contain('[WEIGHTS_STAY]').and.to.contain(`TrafficSplit ${ns}/web: `);
  });

  it('puts back what their author wrote, and leaves the rest of each object as it is', async () => {
    const { code, stdout, stderr } = await uninstall('--apply');
    expect(code, stderr).to.equal(0);
    for (const name of [`TrafficSplit ${ns}/web`, `HTTPRoute ${ns}/web`, `ServiceProfile ${ns}/web`])
      expect(stdout).to.contain(`${name} has the weights of its author again`);
    expect(await spec(KINDS.split)).to.deep.equal({
      service: 'web',
      backends: [{ service: 'web', weight: 3 }, { service: 'web-west' }],
    });
    expect(await spec(KINDS.route)).to.deep.equal({
      rules: [
        {
          matches: [{ path: { value: '/a' } }],
          backendRefs: [
            { name: 'web', port: 80, weight: 3 },
            { name: 'web-west', port: 80 },
          ],
        },
      ],
    });
    const { dstOverrides } = (await spec(KINDS.profile)) as { dstOverrides: { weight?: number }[] };
    expect(dstOverrides.map(({ weight }) => weight)).to.deep.equal([3, undefined]);
    expect(await spec(KINDS.split, 'edited')).to.deep.include({
      backends: [
        { service: 'web', weight: 3 },
        { service: 'web-west', weight: 7 },
      ],
    });
    const { metadata } = (await find(cluster, KINDS.split, { namespace: ns, name: 'web' })) ?? {};
    expect(metadata?.annotations).to.include({ 'example.com/mine': 'yes' });
    const ours = Object.keys(metadata?.annotations ?? {}).filter((key) => key.startsWith('failover.'));
    expect(ours).to.deep.equal([]);
    // It is the author's, too: linkerd-failover goes on with it.
    expect(metadata?.labels).to.deep.equal({ [FAILOVER_CONTROLLED_BY]: 'linkerd-failover' });
  });

  it('has nothing to do a second time, and does what was left over by another', async () => {
    const { code, stdout, stderr } = await uninstall('--apply');
    expect(code, stderr).to.equal(0);
    expect(stdout).to.equal('');
    expect(stderr).to.contain('nothing of Linkspan is installed').and.not.to.contain('Weights');
    await change(cluster, KINDS.split, { namespace: ns, name: 'web' }, {
      metadata: {
        annotations: { [FAILOVER_BASE_WEIGHTS]: writeKeptWeights(new Map([[0, kept('web', 'web-west')]])) },
      },
      spec: {
        backends: [
          { service: 'web', weight: 0 },
          { service: 'web-west', weight: 10_000 },
        ],
      },
    } as never);
    const again = await uninstall('--apply');
    expect(again.stdout).to.equal(`TrafficSplit ${ns}/web has the weights of its author again\n`);
  });
});

import type { V1ConfigMap } from '@kubernetes/client-node';
import { expect } from 'chai';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { createAccount, ensureNamespace } from '../support/cluster-objects.ts';
import { systemClock } from '../../src/base/clock.ts';
import { deniedRights } from '../../src/kube/client/access-review.ts';
import { isForbidden, type KubeClient } from '../../src/kube/client/kube-client.ts';
import {
  configMaps,
  endpointSlices,
  events,
  type KubeObject,
  certificateSigningRequests,
  leases,
  namespaces,
  pods,
  type Resource,
  roles,
  secrets,
  services,
} from '../../src/api/kubernetes/resource.ts';
import { links } from '../../src/api/link/link-schema.ts';
import { captureLog } from '../support/captured-log.ts';
import {
  chartAccounts,
  CHARTS,
  helm,
  MULTICLUSTER,
  objectsOf,
  RENDERS,
  renderChart,
} from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { expectGolden } from '../support/golden.ts';
import { installKinds, linkerdKind } from '../support/linkerd-objects.ts';
import { clientAs } from '../support/account-client.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster } from '../testbed/shared.ts';

describe('the chart', () => {
  const closed = closedIn(after);
  let cluster: Cluster;

  before(async () => {
    cluster = closed(await bareCluster('chart'), (one) => one.stop());
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: MULTICLUSTER, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    });
    // No controller manager, so nobody else makes it.
    await createAccount(cluster, MULTICLUSTER, 'default');
    for (const name of ['linkerd', 'shop', 'pay']) await ensureNamespace(cluster, name);
    await cluster.apply(await helm('template', path.join(CHARTS, 'linkspan-crds')));
    await installKinds(cluster, [
      linkerdKind('cert-manager.io', 'Certificate', 'certificates', 'v1'),
      linkerdKind('monitoring.coreos.com', 'PodMonitor', 'podmonitors', 'v1'),
      linkerdKind('monitoring.coreos.com', 'ServiceMonitor', 'servicemonitors', 'v1'),
      linkerdKind('monitoring.coreos.com', 'PrometheusRule', 'prometheusrules', 'v1'),
    ]);
  });

  it('passes helm lint --strict', async () => {
    await helm('lint', '--strict', path.join(CHARTS, 'linkspan'), path.join(CHARTS, 'linkspan-crds'));
  });

  for (const [name, flags] of Object.entries(RENDERS)) {
    it(`renders ${name} as it did`, async () => {
      expectGolden(`chart/${name}.yaml`, await renderChart(flags));
    });

    it(`${name} is taken by an API server without a warning, its pods by the restricted Pod Security Standard`, async () => {
      const objects = objectsOf(await renderChart(flags));
      const dry = [
        'apply',
        '--server-side',
        '--dry-run=server',
        '--validate=strict',
        '--warnings-as-errors',
        '-f',
      ];
      await applied([...objects, ...objects.flatMap(podOf)], dry);
    });
  }

  // A text of the chart that Helm, or a value, could change is one that nobody has looked at.
  it('gives rules and boards as they stand in it, but for the objective', async () => {
    const on = 'monitoring.rules.enabled=true,monitoring.dashboards.enabled=true,monitoring.slo=99.5';
    const file = (name: string) => readFileSync(path.join(CHARTS, 'linkspan', name), 'utf8');
    const rules = file('rules.yaml').replaceAll('99.9 / 100', '99.5 / 100');
    const boards = readdirSync(path.join(CHARTS, 'linkspan/dashboards'));
    const made = objectsOf(await renderChart([`--set=${on},monitoring.rules.kind=ConfigMap`]));
    const dataOf = (name: string) => made.find(({ metadata }) => metadata?.name === name) as V1ConfigMap;
    expect(dataOf('linkspan-rules').data).to.deep.equal({ 'linkspan.rules.yaml': rules });
    expect(boards).to.have.lengthOf(4);
    for (const board of boards) {
      const found = dataOf(board.replace('.json', ''));
      expect(found.data).to.deep.equal({ [board]: file(`dashboards/${board}`) });
      expect(found.metadata?.labels).to.include({ grafana_dashboard: '1' });
    }
    const operators = objectsOf(await renderChart([`--set=${on}`]));
    const rule = operators.find(({ kind }) => kind === 'PrometheusRule') as { spec?: unknown } | undefined;
    expect(rule?.spec).to.deep.equal(parse(rules));
    await applied([...made, ...operators], ['apply', '--server-side', '--dry-run=server', '-f']);
  });

  it('takes the values that the guide about monitoring has', async () => {
    const guide = readFileSync(path.join(CHARTS, '../docs/guides/monitoring.md'), 'utf8');
    const texts = [...guide.matchAll(/^```yaml\n((?:podMonitor|monitoring):\n[^`]*)```$/gm)].map(
      ([, text = '']) => text,
    );
    expect(texts).to.have.lengthOf(3);
    const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'linkspan-test-')), 'values.yaml');
    const kinds = new Set<string | undefined>();
    for (const text of texts) {
      writeFileSync(file, text);
      for (const { kind } of objectsOf(
        await helm('template', 'linkspan', path.join(CHARTS, 'linkspan'), '-f', file),
      ))
        kinds.add(kind);
    }
    rmSync(path.dirname(file), { recursive: true });
    expect([...kinds]).to.include.members(['PodMonitor', 'PrometheusRule', 'ConfigMap']);
  });

  // OpenShift's restricted-v2 refuses pods that name a user or group, and no value could leave them out.
  it('names no user and no group where the cluster is to choose them', async () => {
    const users = /^ *(?:runAsUser|runAsGroup|fsGroup): \d+\n/gm;
    const all = await renderChart();
    const left = await renderChart(['--set=runAs.UID=null,runAs.GID=null']);
    expect(all.match(users)).to.have.lengthOf.above(10);
    expect(left.match(users)).to.equal(null);
    expect(left).to.equal(all.replaceAll(users, ''));
    expect(await renderChart(['--set=runAs.UID=7,runAs.GID=8'])).to.equal(
      all.replaceAll('runAsUser: 2103', 'runAsUser: 7').replaceAll(/(runAsGroup|fsGroup): 2103/g, '$1: 8'),
    );
  });

  it('says which value is wrong', async () => {
    for (const [value, says] of [
      ['gateway.serviceTyp=NodePort', /at '\/gateway': additional properties 'serviceTyp' not allowed/],
      ['runAs.UID=0', /at '\/runAs\/UID'/],
      ['monitoring.slo=100', /at '\/monitoring\/slo'/],
      ['monitoring.slo=99 or vector(1)', /at '\/monitoring\/slo'/],
      ['monitoring.rules.kind=Rule', /at '\/monitoring\/rules\/kind'/],
      ['gateway.port=http', /at '\/gateway\/port': got string, want integer/],
      ['identity.source=vault', /at '\/identity\/source': value must be one of 'issuer'/],
      ['gateway.trustedRelays={*.linkerd.east}', /at '\/gateway\/trustedRelays\/0'/],
      ['egress.clients=false,egress.defaultRelayPolicy=namespace', /nobody would be let in/],
      ['scope.namespaces={shop},egress.defaultRelayPolicy=namespace', /nobody would be let in/],
      ['identity.issuer.tls.crtPEM=x', /identity.issuer.tls.keyPEM is missing/],
    ] as const) {
      const error: unknown = await renderChart(['--set', value]).catch((reason: unknown) => reason);
      expect(String(error)).to.match(says);
    }
  });

  describe('accounts', () => {
    const options = { clock: systemClock, random: Math.random, log: captureLog().log };
    const account = async (name: string) =>
      closed(await clientAs(cluster, { name }, options), (one: KubeClient) => one.close());

    before(async () => {
      // Helm's hook has an account of its own, too.
      await cluster.apply(await chartAccounts(MULTICLUSTER, ['--set', 'createNamespaceMetadataJob=true']));
    });

    const may = async (client: KubeClient, what: (one: KubeClient) => Promise<unknown>): Promise<boolean> => {
      try {
        await what(client);
        return true;
      } catch (error) {
        if (isForbidden(error)) return false;
        // Allowed, and refused for another reason: not there, nothing to change.
        return true;
      }
    };
    const list =
      <T extends KubeObject>(resource: Resource<T>, namespace?: string) =>
      (client: KubeClient) =>
        client.list(resource, namespace === undefined ? {} : { namespace });
    const write =
      <T extends KubeObject>(resource: Resource<T>, namespace: string, name = 'no-such') =>
      (client: KubeClient) =>
        client.patch(resource, { namespace, name }, { metadata: { labels: { a: 'b' } } }, { type: 'merge' });

    it('the controller reads and writes mirrors everywhere, Leases only at home, and Secrets not at all', async () => {
      const client = await account('linkspan-controller');
      for (const can of [
        list(services),
        write(services, 'shop'),
        write(endpointSlices, 'shop'),
        list(namespaces),
        list(links, MULTICLUSTER),
        write(leases, MULTICLUSTER),
        list(configMaps, MULTICLUSTER),
        write(configMaps, MULTICLUSTER, 'linkspan-egress-routes-39'),
      ])
        expect(await may(client, can), String(can)).to.equal(true);
      for (const cannot of [
        list(secrets),
        list(secrets, MULTICLUSTER),
        write(secrets, MULTICLUSTER),
        list(secrets, 'shop'),
        list(links, 'shop'),
        write(links, MULTICLUSTER),
        write(roles, MULTICLUSTER),
        list(certificateSigningRequests),
        write(certificateSigningRequests, ''),
        write(leases, 'shop'),
        write(namespaces, ''),
        write(configMaps, 'shop'),
        write(configMaps, MULTICLUSTER),
        list(configMaps),
      ])
        expect(await may(client, cannot), String(cannot)).to.equal(false);
    });

    it('the signer reads Links and Secrets at home and requests for certificates, and nothing of the mirrors', async () => {
      const client = await account('linkspan-signer');
      for (const can of [
        list(links, MULTICLUSTER),
        list(secrets, MULTICLUSTER),
        list(certificateSigningRequests),
      ])
        expect(await may(client, can), String(can)).to.equal(true);
      for (const cannot of [
        list(secrets),
        list(secrets, 'shop'),
        list(services),
        list(services, MULTICLUSTER),
        write(services, 'shop'),
        write(links, MULTICLUSTER),
        // One Role, by its name.
        list(roles, MULTICLUSTER),
        write(roles, MULTICLUSTER),
        write(configMaps, MULTICLUSTER),
        write(leases, MULTICLUSTER),
        // Approving takes the subresource, and the signer's name.
        write(certificateSigningRequests, ''),
      ])
        expect(await may(client, cannot), String(cannot)).to.equal(false);
    });

    it('gateway and egress read what they carry, and write no object that traffic follows', async () => {
      for (const [name, reads, mayNot] of [
        ['linkerd-gateway', [list(services), list(endpointSlices)], [list(configMaps, MULTICLUSTER)]],
        [
          'linkspan-egress',
          [
            list(services),
            list(links, MULTICLUSTER),
            list(configMaps, MULTICLUSTER),
            list(pods),
            list(namespaces),
          ],
          [write(configMaps, MULTICLUSTER, 'linkspan-egress-routes-0'), list(configMaps)],
        ],
      ] as const) {
        const client = await account(name);
        for (const can of reads) expect(await may(client, can), name).to.equal(true);
        for (const cannot of [
          list(secrets, MULTICLUSTER),
          list(secrets),
          write(pods, 'shop'),
          write(services, 'shop'),
          write(endpointSlices, 'shop'),
          write(links, MULTICLUSTER),
          write(configMaps, MULTICLUSTER),
          ...mayNot,
        ])
          expect(await may(client, cannot), name).to.equal(false);
      }
    });

    // It names who may not ask; whoever has it in this namespace may, and nowhere else.
    it('who has linkspan-view here may ask the pods of the installation, and no others', async () => {
      await createAccount(cluster, MULTICLUSTER, 'viewer');
      await cluster.apply({
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: 'viewer', namespace: MULTICLUSTER },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'linkspan-view' },
        subjects: [{ kind: 'ServiceAccount', name: 'viewer', namespace: MULTICLUSTER }],
      });
      const client = await account('viewer');
      const read = (resource: string, namespace: string, subresource?: string) => ({
        verb: subresource === undefined ? 'list' : 'get',
        resource,
        namespace,
        ...(subresource === undefined ? {} : { subresource }),
      });
      const mayAll = (namespace: string) => [
        read('pods', namespace),
        read('pods', namespace, 'proxy'),
        { ...read('leases', namespace), group: 'coordination.k8s.io' },
        { ...read('links', namespace), group: 'multicluster.linkerd.io' },
        read('services', namespace),
      ];
      expect(await deniedRights(client, mayAll(MULTICLUSTER))).to.deep.equal([]);
      expect(await deniedRights(client, mayAll('shop'))).to.deep.equal(mayAll('shop'));
      for (const cannot of [
        list(secrets, MULTICLUSTER),
        list(configMaps, MULTICLUSTER),
        write(pods, MULTICLUSTER),
      ])
        expect(await may(client, cannot), String(cannot)).to.equal(false);
    });

    it('a source cluster reads exports and their endpoints, nothing else', async () => {
      const client = await account('linkerd-service-mirror-remote-access-default');
      for (const can of [list(services), list(endpointSlices)]) expect(await may(client, can)).to.equal(true);
      for (const cannot of [
        list(secrets, MULTICLUSTER),
        list(secrets),
        list(configMaps, 'shop'),
        list(namespaces),
        list(links, MULTICLUSTER),
        list(events, 'shop'),
        write(services, 'shop'),
        write(endpointSlices, 'shop'),
      ])
        expect(await may(client, cannot)).to.equal(false);
    });
  });

  /** Through a file: renders are longer than an argument may be. */
  async function applied(objects: readonly object[], args: readonly string[]): Promise<void> {
    const dir = mkdtempSync(path.join(os.tmpdir(), 'linkspan-chart-'));
    try {
      const file = path.join(dir, 'objects.json');
      writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
      await cluster.kubectl(...args, file);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
});

/** Pod Security judges pods, not the Deployments that would make them. */
function podOf(object: KubeObject): object[] {
  const { template } = ((object as { spec?: { template?: { spec?: object } } }).spec ?? {}) as {
    template?: { spec?: object };
  };
  if (template === undefined || template.spec === undefined) return [];
  const metadata = { name: `${object.metadata?.name ?? ''}-try`, namespace: MULTICLUSTER };
  return [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { ...template.spec, serviceAccountName: undefined, automountServiceAccountToken: false },
    },
  ];
}

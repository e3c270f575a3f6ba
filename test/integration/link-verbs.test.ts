import type { V1Secret } from '@kubernetes/client-node';
import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { deniedRights } from '../../src/kube/client/access-review.ts';
import { systemClock } from '../../src/base/clock.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { closedIn } from '../support/closed-in.ts';
import {
  leases,
  secrets,
  serviceAccounts,
  services,
  clusterRoles,
  clusterRoleBindings,
} from '../../src/api/kubernetes/resource.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  clientOf,
  ensureNamespace,
  find,
  findLink,
  findService,
  remove,
  change,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { gatewayService, installCrd, startController } from '../support/linked-clusters.ts';
import { keptLinkspan, linkspan, type Outcome } from '../support/linkspan.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

/** A gateway as the chart installs it, with an address. */
async function installGateway(cluster: Cluster, namespace: string, ip: string): Promise<void> {
  await cluster.apply(gatewayService(namespace));
  const status = { loadBalancer: { ingress: [{ ip }] } };
  const how = { type: 'merge', subresource: 'status' } as const;
  await clientOf(cluster).patch(services, { namespace, name: 'linkerd-gateway' }, { status }, how);
}

describe('verbs that join clusters, on real API servers', () => {
  const closed = closedIn(after);
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let account: string;
  const controllers: MirrorController[] = [];
  const dir = useTempDir();

  const selectors = () => {
    const { selector, remoteDiscoverySelector, federatedServiceSelector } = ownSelectors(ns) as Record<
      string,
      { matchLabels: Record<string, string> }
    >;
    const text = (of: { matchLabels: Record<string, string> } | undefined) =>
      Object.entries(of?.matchLabels ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .join(',');
    return [
      '--selector',
      text(selector),
      '--remote-discovery-selector',
      text(remoteDiscoverySelector),
      '--federated-service-selector',
      text(federatedServiceSelector),
    ];
  };
  /** West is the target, east the source. */
  const link = (...flags: string[]) =>
    keptLinkspan(
      'link',
      '--kubeconfig',
      west.kubeconfigFile,
      '--source-kubeconfig',
      east.kubeconfigFile,
      '--cluster-name',
      'west',
      '--namespace',
      ns,
      '--service-account-name',
      account,
      ...selectors(),
      ...flags,
    );
  const unlink = (cluster: Cluster, ...flags: string[]) =>
    keptLinkspan('unlink', '--kubeconfig', cluster.kubeconfigFile, '--namespace', ns, ...flags);
  const refused = (outcome: Outcome, message: RegExp) => {
    // 2 is for wrong flags, 1 for what clusters refuse.
    const code = outcome.stderr.includes('[CONFIG_INVALID]') ? 2 : 1;
    expect(outcome).to.include({ code, stdout: '' });
    expect(outcome.stderr)
      .to.match(/^linkspan: \[[A-Z_]+\] [^\n]+\n$/)
      .and.match(message);
  };
  const nothingIn = async (cluster: Cluster, name: string) => {
    expect(await findLink(cluster, ns, name), `Link ${name}`).to.equal(undefined);
    const ref = { namespace: ns, name: `cluster-credentials-${name}` };
    expect(await find(cluster, secrets, ref), `Secret of ${name}`).to.equal(undefined);
  };

  before(async () => {
    ({ east, west } = await sharedClusters());
    ns = await createNamespace(west, 'verbs');
    await ensureNamespace(east, ns);
    account = `mirror-${ns}`;
    for (const cluster of [east, west]) await installCrd(cluster);
    await installGateway(west, ns, '10.200.0.40');
  });

  after(async () => {
    await Promise.all(controllers.map((controller) => controller.stop()));
    for (const cluster of [east, west]) {
      await remove(cluster, clusterRoles, { name: account });
      await remove(cluster, clusterRoleBindings, { name: account });
      for (const name of ['web', 'api']) await remove(cluster, services, { namespace: ns, name });
    }
  });

  describe('allow', () => {
    const allow = (cluster: Cluster, ...flags: string[]) =>
      keptLinkspan('allow', '--kubeconfig', cluster.kubeconfigFile, '--namespace', ns, ...flags);

    it('prints what kubectl applies without a warning', async () => {
      const printed = await allow(west, '--service-account-name', account, '--linkerd');
      expect(printed).to.include({ code: 0, stderr: '' });
      const file = path.join(dir(), 'allow.yaml');
      writeFileSync(file, printed.stdout);
      await west.kubectl('apply', '--dry-run=server', '--warnings-as-errors', '-f', file);
      expect(await find(west, serviceAccounts, { namespace: ns, name: account })).to.equal(undefined);
    });

    it('applies it, and never gives one account to two', async () => {
      for (const cluster of [east, west]) {
        const applied = await allow(
          cluster,
          '--service-account-name',
          account,
          '--token-ttl',
          '1h',
          '--apply',
        );
        expect(applied).to.include({ code: 0, stderr: '' });
      }
      const again = await allow(west, '--service-account-name', account, '--apply');
      refused(again, /\[SERVICE_ACCOUNT_EXISTS\].*--ignore-cluster/);
      const elsewhere = await keptLinkspan(
        'allow',
        '--kubeconfig',
        west.kubeconfigFile,
        '--namespace',
        'default',
        '--service-account-name',
        account,
      );
      refused(elsewhere, new RegExp(`SERVICE_ACCOUNT_EXISTS.*ClusterRoleBinding.*${ns}/${account}`));
      const printed = await allow(west, '--service-account-name', account, '--ignore-cluster', '-o', 'json');
      const { items } = JSON.parse(printed.stdout) as { items: { kind: string }[] };
      expect(items.map(({ kind }) => kind)).to.include.members(['Namespace', 'ServiceAccount', 'Secret']);
    });

    // An account that was to read less went on reading all: the annotation for whoever links said otherwise.
    it('takes back what an account had before, where it is to read less', async () => {
      const name = `${account}-less`;
      const flags = ['--service-account-name', name, '--apply', '--ignore-cluster'];
      const access = loadAccess({ file: west.kubeconfigFile });
      const user = `system:serviceaccount:${ns}:${name}`;
      const impersonating = { ...access, impersonate: { user, groups: [] } };
      const options = { clock: systemClock, random: Math.random };
      const asAccount = closed(new KubeClient(impersonating, options), (one) => one.close());
      const may = async (namespace: string) => {
        const list = { verb: 'list', group: '', resource: 'services', namespace };
        return (await deniedRights(asAccount, [list])).length === 0;
      };
      expect(await allow(west, ...flags)).to.include({ code: 0, stderr: '' });
      await eventually('it reads all', () => may('kube-system'));
      const some = await allow(west, ...flags, '--namespaces', 'default,kube-public');
      expect(some.code).to.equal(0);
      expect(some.stderr).to.match(/taken back: ClusterRoleBinding .*\n.*taken back: ClusterRole /s);
      await eventually(
        'it reads some',
        async () => (await may('kube-public')) && !(await may('kube-system')),
      );
      const one = await allow(west, ...flags, '--namespaces', 'default');
      expect(one.stderr).to.match(/taken back: RoleBinding kube-public/);
      await eventually('it reads less', async () => (await may('default')) && !(await may('kube-public')));
      expect(await may(ns)).to.equal(true);
    });

    it('wants a name', async () => {
      refused(await allow(west), /\[CONFIG_INVALID\].*you need to specify a service account name/);
    });
  });

  describe('link refuses and writes nothing', () => {
    const ttl = ['--token-ttl', '1h'];
    afterEach(async () => {
      await nothingIn(east, 'west');
      await nothingIn(west, 'east');
    });

    it('without a source', async () => {
      const outcome = await linkspan('link', '--kubeconfig', west.kubeconfigFile, '--cluster-name', 'west');
      refused(outcome, /\[CONFIG_INVALID\].*--source-context.*link-gen/);
    });

    it('a cluster linked to itself', async () => {
      const outcome = await link(...ttl, '--source-kubeconfig', west.kubeconfigFile);
      refused(outcome, /\[LINK_TO_ITSELF\]/);
    });

    it('one name for two clusters', async () => {
      refused(await link(...ttl, '--mutual', '--source-cluster-name', 'west'), /\[CLUSTER_NAME_TAKEN\]/);
      refused(await link(...ttl, '--mutual'), /\[CONFIG_INVALID\].*--source-cluster-name/);
    });

    it('both directions when one of them cannot be: the source has no gateway', async () => {
      const outcome = await link(...ttl, '--mutual', '--source-cluster-name', 'east');
      refused(outcome, /\[GATEWAY_NOT_FOUND\]/);
    });

    it('a namespace that the source does not have', async () => {
      const name = await createNamespace(west, 'only-west');
      const outcome = await link('--namespace', name);
      refused(outcome, /\[NAMESPACE_MISSING\].*linkspan install/);
    });

    it('an account that does not exist, or may not read', async () => {
      refused(await link(...ttl, '--service-account-name', 'nobody'), /\[SERVICE_ACCOUNT_MISSING\]/);
      refused(
        await link('--token-ttl', '1h', '--service-account-name', 'default'),
        /\[ACCOUNT_RIGHTS_MISSING\].*list services, watch services, list endpointslices\.discovery\.k8s\.io/,
      );
    });

    it('contexts that do not exist', async () => {
      refused(await link('--context', 'mars'), /\[KUBECONFIG_INVALID\].*"mars"/);
      refused(await link('--source-context', 'venus'), /\[KUBECONFIG_INVALID\].*"venus"/);
    });

    it('a source that does not answer, or does not know us', async () => {
      const file = path.join(dir(), 'kubeconfig');
      writeFileSync(file, east.kubeconfig.replace(/server: .*/, 'server: https://127.0.0.1:1'), {
        mode: 0o600,
      });
      refused(await link(...ttl, '--source-kubeconfig', file), /\[KUBE_UNREACHABLE\].*127\.0\.0\.1:1/);
      const user = /client-certificate-data: .*\n.*client-key-data: .*/;
      writeFileSync(file, east.kubeconfig.replace(user, 'token: expired'), { mode: 0o600 });
      refused(await link(...ttl, '--source-kubeconfig', file), /\[KUBE_UNAUTHORIZED\]/);
    });

    it('a person without the rights', async () => {
      const token = (await east.kubectl('-n', ns, 'create', 'token', 'default')).trim();
      const file = path.join(dir(), 'nobody');
      const user = /client-certificate-data: .*\n.*client-key-data: .*/;
      writeFileSync(file, east.kubeconfig.replace(user, `token: ${token}`), { mode: 0o600 });
      refused(await link(...ttl, '--source-kubeconfig', file), /\[KUBE_FORBIDDEN\]/);
    });

    it('renewed tokens for a Linkerd that would not notice', async () => {
      const linkerd = await createNamespace(east, 'linkerd');
      refused(
        await link(...ttl, '--linkerd-namespace', linkerd),
        /\[CONFIG_INVALID\] --token-ttl.*--no-destination-credentials/,
      );
    });
  });

  describe('link without a controller', () => {
    it('link leaves what is not ours alone', async () => {
      const ref = { namespace: ns, name: 'cluster-credentials-west' };
      await east.apply({ apiVersion: 'v1', kind: 'Secret', metadata: ref, stringData: { mine: 'yes' } });
      refused(await link('--token-ttl', '1h'), /\[FOREIGN_OBJECT\].*is of type "Opaque"/);
      expect((await find(east, secrets, ref))?.data).to.have.property('mine');
      await remove(east, secrets, ref);
      const foreign = {
        apiVersion: 'multicluster.linkerd.io/v1alpha3',
        kind: 'Link',
        metadata: { name: 'west', namespace: ns },
        spec: { targetClusterName: 'west', clusterCredentialsSecret: ref.name, gatewayAddress: '10.9.9.9' },
      };
      await east.apply(foreign);
      refused(await link('--token-ttl', '1h'), /\[FOREIGN_OBJECT\].*neither Linkspan nor Linkerd.*--force/);
      expect((await findLink(east, ns, 'west'))?.spec?.gatewayAddress).to.equal('10.9.9.9');
      await remove(east, linkResource, { namespace: ns, name: 'west' });
    });

    it('link takes a Secret over whose token the controller has renewed', async () => {
      const ref = { namespace: ns, name: 'cluster-credentials-west' };
      const again = () => link('--token-ttl', '1h', '--wait', '0s');
      expect(await again()).to.include({ code: 0 });
      // As the controller writes: a patch of its own manager.
      const data = { kubeconfig: Buffer.from('renewed').toString('base64') };
      await clientOf(east).patch(secrets, ref, { data }, { type: 'merge' });
      const outcome = await again();
      expect(outcome.code, outcome.stderr).to.equal(0);
      expect((await find(east, secrets, ref))?.data?.['kubeconfig']).not.to.equal(data.kubeconfig);
      await remove(east, linkResource, { namespace: ns, name: 'west' });
      await remove(east, secrets, ref);
    });

    it('link says after its time that no controller has taken the Link up', async () => {
      const outcome = await link('--token-ttl', '1h', '--wait', '1s');
      expect(outcome.code).to.equal(1);
      expect(outcome.stderr).to.match(
        /^linkspan: \[LINK_NOT_SYNCED\].*no controller has taken it up.*linkspan install/,
      );
      expect(outcome.stdout).to.match(
        /^Secret \S+\/cluster-credentials-west created at \S+\nLink \S+\/west created at /,
      );
      await remove(east, linkResource, { namespace: ns, name: 'west' });
      await remove(east, secrets, { namespace: ns, name: 'cluster-credentials-west' });
    });

    it('link refuses another cluster by a name that is taken, until it is said to be rebuilt', async () => {
      expect(await link('--token-ttl', '1h', '--wait', '0')).to.include({ code: 0 });
      // As a controller has recorded it; one that runs would put the status right before `link` reads it.
      const status = JSON.stringify({ status: { targetClusterUID: 'another' } });
      await east.kubectl(
        '-n',
        ns,
        'patch',
        'link',
        'west',
        '--subresource=status',
        '--type=merge',
        '-p',
        status,
      );
      refused(await link('--token-ttl', '1h', '--wait', '0'), /\[CLUSTER_NAME_TAKEN\].*another.*--rebuilt/);
      expect(await link('--token-ttl', '1h', '--rebuilt', '--wait', '0')).to.include({ code: 0 });
      await remove(east, linkResource, { namespace: ns, name: 'west' });
      await remove(east, secrets, { namespace: ns, name: 'cluster-credentials-west' });
    });
  });

  describe('with controllers', () => {
    before(async () => {
      await installGateway(east, ns, '10.200.0.41');
      for (const cluster of [east, west]) {
        await exportService(cluster, ns, 'web', { test: ns, federated: true });
        // The exports are in the namespace of the Links, which takes nothing by default.
        controllers.push(startController(cluster, { namespace: ns, controlNamespaces: new Set() }));
      }
    });

    const both = ['--mutual', '--source-cluster-name', 'east', '--token-ttl', '1h'];

    it('link --dry-run prints what it would apply, and applies nothing', async () => {
      const printed = await link(...both, '--dry-run');
      expect(printed).to.include({ code: 0, stderr: '' });
      const objects = parseAllDocuments(printed.stdout).map((document) => document.toJS() as V1Secret);
      expect(objects.map(({ kind, metadata }) => `${kind ?? ''} ${metadata?.name ?? ''}`)).to.deep.equal([
        'Secret cluster-credentials-west',
        'Link west',
        'Secret cluster-credentials-east',
        'Link east',
      ]);
      await nothingIn(east, 'west');
      await nothingIn(west, 'east');
    });

    it('link --mutual joins two clusters both ways and waits until they are synced', async () => {
      const outcome = await link(...both, '--wait', '30s');
      expect(outcome.stdout).to.match(
        /Link \S+\/west is synced: \d mirrors?\nLink \S+\/east is synced: \d mirrors?\n$/,
      );
      expect(outcome.code).to.equal(0);
      // Its gateway is an address that nobody listens at.
      expect(outcome.stderr).to.match(/^(linkspan: GatewayAlive: ProbesFailed [^\n]*\n){2}$/);
      for (const [cluster, name] of [
        [east, 'web-west'],
        [west, 'web-east'],
      ] as const)
        expect(await findService(cluster, ns, name), name).not.to.equal(undefined);
      const secret = await find(east, secrets, { namespace: ns, name: 'cluster-credentials-west' });
      expect(secret?.metadata?.annotations).to.include({ 'linkspan.dev/token-ttl': '1h' });
    });

    it('link again updates, and mirrors keep their addresses', async () => {
      const ip = async () => (await findService(east, ns, 'web-west'))?.spec?.clusterIP;
      const before = await ip();
      const outcome = await link('--token-ttl', '2h', '--gateway-addresses', '10.200.0.42', '--wait', '30s');
      expect(outcome).to.include({ code: 0 });
      expect((await findLink(east, ns, 'west'))?.spec?.gatewayAddress).to.equal('10.200.0.42');
      expect(await ip()).to.equal(before);
    });

    it('link writes down the gateways that exports name, and leaves a list that is there to the admin', async () => {
      // What the admin took out of the list came back when somebody linked again to renew a token.
      const annotations = {
        'mirror.linkerd.io/gateway-ns': ns,
        'mirror.linkerd.io/gateway-name': 'linkerd-gateway',
      };
      await west.apply({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'named', namespace: ns, annotations },
        spec: { ports: [{ port: 80 }] },
      });
      const again = () => link('--token-ttl', '2h', '--gateway-addresses', '10.200.0.42', '--wait', '0');
      const key = 'linkspan.dev/import-gateways';
      const list = async () => (await findLink(east, ns, 'west'))?.metadata?.annotations?.[key];
      expect((await again()).stderr).to.contain('exports may name the gateway 10.200.0.40');
      expect(await list()).to.contain('"addresses":["10.200.0.40"]');
      const none = { metadata: { annotations: { [key]: '[]' } } };
      await change(east, linkResource, { namespace: ns, name: 'west' }, none);
      expect((await again()).stderr).not.to.contain('10.200.0.40');
      expect(await list()).to.equal('[]');
      await remove(west, services, { namespace: ns, name: 'named' });
    });

    it('link again replaces the selectors of a Link that kubectl applied, instead of adding to them', async () => {
      const name = 'kubectl';
      await east.apply({
        apiVersion: 'multicluster.linkerd.io/v1alpha3',
        kind: 'Link',
        metadata: {
          name,
          namespace: ns,
          annotations: { 'linkerd.io/created-by': 'linkerd/cli edge-26.8.3', mine: 'yes' },
        },
        spec: {
          targetClusterName: name,
          clusterCredentialsSecret: `cluster-credentials-${name}`,
          selector: { matchLabels: { 'linkspan.test/former': 'yes' } },
          excludedLabels: ['a/*'],
        },
      });
      const outcome = await link('--token-ttl', '1h', '--cluster-name', name, '--wait', '0');
      expect(outcome).to.include({ code: 0, stderr: '' });
      const found = await findLink(east, ns, name);
      expect(found?.spec?.selector?.matchLabels).not.to.have.property('linkspan.test/former');
      expect(found?.spec).not.to.have.property('excludedLabels');
      expect(found?.metadata?.annotations).to.include({ mine: 'yes' });
      expect(await unlink(east, '--cluster-name', name, '--apply')).to.include({ code: 0 });
    });

    it('link is synced again where the cluster behind a name is said to be rebuilt', async () => {
      expect(await link('--token-ttl', '1h', '--rebuilt', '--wait', '30s')).to.include({ code: 0 });
    });

    it('link takes flags of Linkerd that mean nothing here, and says so', async () => {
      const outcome = await link('--token-ttl', '1h', '--ha', '--log-level', 'debug', '--wait', '0');
      expect(outcome.code).to.equal(0);
      expect(outcome.stderr).to.match(/--log-level is ignored.*\n.*--ha is ignored/);
    });

    it('unlink prints what kubectl deletes, and leaves the mirrors to the controller', async () => {
      const printed = await unlink(east, '--cluster-name', 'west');
      expect(printed).to.include({ code: 0, stderr: '' });
      const objects = parseAllDocuments(printed.stdout).map((document) => document.toJS() as V1Secret);
      expect(objects.map(({ kind, metadata }) => `${kind ?? ''} ${metadata?.name ?? ''}`)).to.deep.equal([
        'Link west',
        'Secret cluster-credentials-west',
      ]);
    });

    it('unlink of a cluster that is not linked says which are', async () => {
      refused(await unlink(east, '--cluster-name', 'mars'), /\[LINK_NOT_FOUND\].*mars.*there are: west/);
      refused(await unlink(east, '--cluster-name', 'west', '--only-controller'), /\[LINK_NOT_FOUND\]/);
    });

    it('unlink --apply removes the Link, its mirrors, its place in federated Services and its Secrets', async () => {
      const federated = await eventually(
        'the member is there',
        () => findService(east, ns, 'web-federated'),
        wait,
      );
      expect(federated.metadata?.annotations?.['multicluster.linkerd.io/remote-discovery']).to.include(
        '@west',
      );
      const outcome = await unlink(east, '--cluster-name', 'west', '--apply');
      expect(outcome).to.include({ code: 0, stderr: '' });
      await nothingIn(east, 'west');
      expect(await findService(east, ns, 'web-west')).to.equal(undefined);
      const left = (await findService(east, ns, 'web-federated'))?.metadata?.annotations ?? {};
      expect(left['multicluster.linkerd.io/remote-discovery'] ?? '').not.to.include('@west');
      // The other direction is another Link.
      expect(await findService(west, ns, 'web-east')).not.to.equal(undefined);
    });

    it('unlink --apply does it itself where no controller runs', async () => {
      const controller = controllers.pop();
      await controller?.stop();
      const lease = await find(west, leases, { namespace: ns, name: 'service-mirror-write-east' });
      expect(lease).not.to.equal(undefined);
      const outcome = await unlink(west, '--cluster-name', 'east', '--apply');
      expect(outcome.code).to.equal(0);
      await nothingIn(west, 'east');
      expect(await findService(west, ns, 'web-east')).to.equal(undefined);
    });
  });

  describe('export and unexport', () => {
    const verb = (name: string, ...args: string[]) =>
      keptLinkspan(name, ...args, '--kubeconfig', west.kubeconfigFile, '-n', ns);
    const labels = async (name: string) => (await findService(west, ns, name))?.metadata?.labels ?? {};

    before(async () => {
      const service = (name: string, spec: object): object => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: ns },
        spec,
      });
      await west.apply([
        service('api', {
          ports: [
            { name: 'http', port: 80 },
            { name: 'dns', port: 53, protocol: 'UDP' },
          ],
        }),
        service('alias', { type: 'ExternalName', externalName: 'example.com' }),
      ]);
    });

    it('label Services and take the labels away', async () => {
      const exported = await verb('export', 'api', 'web');
      expect(exported.code).to.equal(0);
      expect(exported.stdout).to.equal(
        `Service ${ns}/api exported (mirror.linkerd.io/exported=true)\nService ${ns}/web exported (mirror.linkerd.io/exported=true)\n`,
      );
      expect(exported.stderr).to.equal(`linkspan: ${ns}/api: only TCP is mirrored, left out: 53/UDP\n`);
      expect(await labels('api')).to.include({ 'mirror.linkerd.io/exported': 'true' });
      expect((await verb('export', 'api')).stdout).to.include('is exported already');
      await verb('export', 'api', '--mode', 'federated');
      expect(await labels('api')).to.include({ 'mirror.linkerd.io/federated': 'member' });
      expect((await verb('unexport', 'api', '--mode', 'federated')).stdout).to.include(
        'is no longer exported',
      );
      expect(await labels('api')).to.include({ 'mirror.linkerd.io/exported': 'true' });
      await verb('export', 'api', '--mode', 'flat');
      expect(await labels('api')).to.include({ 'mirror.linkerd.io/exported': 'remote-discovery' });
      const gone = await verb('unexport', 'api', 'web');
      expect(gone.stdout).to.match(/^Service \S+\/api is no longer exported\n.*web is no longer exported\n$/);
      for (const name of ['api', 'web'])
        expect(await labels(name)).not.to.have.property('mirror.linkerd.io/exported');
      expect((await verb('unexport', 'api')).stdout).to.include('was not exported');
    });

    it('label nothing when one of the names is wrong or could never be mirrored', async () => {
      refused(
        await verb('export', 'api', 'nowhere', 'neither'),
        /\[SERVICE_NOT_FOUND\].*"nowhere", "neither"/,
      );
      refused(await verb('export', 'api', 'alias'), /\[NOT_EXPORTABLE\].*alias: it is of type ExternalName/);
      refused(await verb('export', 'api', '--mode', 'pod'), /\[CONFIG_INVALID\].*gateway, flat, federated/);
      expect(await labels('api')).not.to.have.property('mirror.linkerd.io/exported');
    });
  });
});

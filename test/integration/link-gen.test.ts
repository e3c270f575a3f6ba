import type { V1Secret } from '@kubernetes/client-node';
import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import path from 'node:path';
import { stringify } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { secrets, services } from '../../src/api/kubernetes/resource.ts';
import { accessFromSecret } from '../../src/linking/credentials.ts';
import { type LinkObject, parseLink } from '../../src/api/link/link-schema.ts';
import { parseSelector } from '../../src/api/kubernetes/label-selector.ts';
import { ensureNamespace, find, findLink } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { gatewayService, installCrd } from '../support/linked-clusters.ts';
import { keptLinkspan, linkspan, type Outcome } from '../support/linkspan.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const root = path.join(import.meta.dirname, '../..');
const ACCOUNT = 'linkerd-service-mirror-remote-access-default';

/**
 * What somebody who runs Linkspan in `namespace` has there: an account that may read Services, its token
 * Secret, a gateway.
 */
function targetObjects(namespace: string): object[] {
  const role = `${ACCOUNT}-${namespace}`;
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: ACCOUNT, namespace } },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/service-account-token',
      metadata: {
        name: `${ACCOUNT}-token`,
        namespace,
        annotations: { 'kubernetes.io/service-account.name': ACCOUNT },
      },
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: role },
      rules: [{ apiGroups: [''], resources: ['services'], verbs: ['list', 'get', 'watch'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: role },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace }],
    },
    gatewayService(namespace),
  ];
}

/** Makes an API server that listens elsewhere answer at localhost too, as Docker does for kind. */
async function forwardLocalhost(port: number, address: string): Promise<Server> {
  const server = createServer((socket) => {
    const upstream = connect(port, address);
    socket.on('error', () => upstream.destroy()).pipe(upstream);
    upstream.on('error', () => socket.destroy()).pipe(socket);
  });
  await new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve));
  return server;
}

describe('link-gen on real API servers', () => {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  const dir = useTempDir();
  const linkGen = (...flags: string[]) =>
    keptLinkspan(
      'link-gen',
      '--kubeconfig',
      west.kubeconfigFile,
      '--cluster-name',
      'west',
      '--namespace',
      ns,
      ...flags,
    );
  const ingress = (addresses: object[]) =>
    patchStatus(west, ['service', 'linkerd-gateway'], { loadBalancer: { ingress: addresses } });
  const patchStatus = (cluster: Cluster, object: readonly [string, string], status: object) => {
    const flags = ['--subresource=status', '--type=merge', '--warnings-as-errors'];
    return cluster.kubectl('-n', ns, 'patch', ...object, ...flags, '-p', JSON.stringify({ status }));
  };

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    ns = await createNamespace(west, 'link-gen');
    await ensureNamespace(east, ns);
    await west.apply(targetObjects(ns));
    await ingress([{ ip: '10.200.0.40' }, { hostname: 'gw.west.example.com' }]);
    await eventually('the token Secret is filled', async () => {
      const secret = await find(west, secrets, { namespace: ns, name: `${ACCOUNT}-token` });
      return secret?.data?.['token'] !== undefined;
    });
  });

  it('prints what applies to the source cluster and lets it read the target with the account of the Secret', async () => {
    const printed = await linkGen('--linkerd-namespace', ns, '--no-destination-credentials');
    expect(printed).to.include({ code: 0, stderr: '' });
    await east.apply(printed.stdout);

    const verdict = parseLink((await findLink(east, ns, 'west')) ?? {});
    expect(verdict.ok && verdict.link.gateway).to.deep.equal({
      addresses: ['10.200.0.40', 'gw.west.example.com'],
      port: 4143,
      identity: 'gw.identity',
    });
    // The API server has put its defaults in.
    expect(verdict.ok && verdict.link.probe).to.include({
      periodMs: 3000,
      timeoutMs: 30_000,
      failureThreshold: 3,
    });

    const secret = await find(east, secrets, { namespace: ns, name: 'cluster-credentials-west' });
    const client = new KubeClient(accessFromSecret(secret ?? {}), {
      clock: systemClock,
      random: Math.random,
    });
    try {
      const { items } = await client.list(services, { namespace: ns });
      expect(items.map(({ metadata }) => metadata?.name)).to.deep.equal(['linkerd-gateway']);
      // linkerd2#11309: the text of an empty selector must not list every Service of the target.
      const labelSelector = parseSelector({}).toString();
      expect((await client.list(services, { labelSelector })).items).to.deep.equal([]);
    } finally {
      await client.close();
    }
  });

  it("prints the control plane's Secret with the domains of Linkerd's configuration", async () => {
    const linkerd = await createNamespace(west, 'linkerd');
    const values = 'clusterDomain: west.local\nidentityTrustDomain: trust.example.com\n';
    await west.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'linkerd-config', namespace: linkerd },
      data: { values },
    });
    const { stdout } = await linkGen('-L', linkerd, '-o', 'json');
    const [, secret, link] = (JSON.parse(stdout) as { items: [V1Secret, V1Secret, LinkObject] }).items;
    expect(secret.metadata).to.deep.include({
      namespace: linkerd,
      labels: { 'multicluster.linkerd.io/cluster-name': 'west' },
      annotations: {
        'multicluster.linkerd.io/cluster-domain': 'west.local',
        'multicluster.linkerd.io/trust-domain': 'trust.example.com',
      },
    });
    expect(link.spec).to.include({
      targetClusterDomain: 'west.local',
      targetClusterLinkerdNamespace: linkerd,
    });
  });

  it('inlines a certificate authority that the kubeconfig names as a file: in a pod the file would not exist', async () => {
    const file = path.join(dir(), 'kubeconfig');
    const text = west.kubeconfig.replace(
      /certificate-authority-data: .*/,
      `certificate-authority: ${west.caFile}`,
    );
    expect(text).to.include(west.caFile);
    writeFileSync(file, text, { mode: 0o600 });
    const flags = ['--kubeconfig', file, '--cluster-name', 'west', '--namespace', ns, '-o', 'json'];
    const { stdout } = await keptLinkspan('link-gen', ...flags);
    const [secret] = (JSON.parse(stdout) as { items: [V1Secret] }).items;
    expect(accessFromSecret(secret).ca).to.equal(readFileSync(west.caFile, 'utf8'));
  });

  it("applies what Linkerd's own link-gen prints, unchanged and without a warning", async () => {
    const fixture = readFileSync(path.join(root, 'test/unit/linking/testdata/linkerd-link-gen.yaml'), 'utf8');
    const linkerd = await createNamespace(east, 'linkerd');
    const moved = fixture
      .replaceAll('namespace: linkerd-multicluster', `namespace: ${ns}`)
      .replaceAll('namespace: linkerd\n', `namespace: ${linkerd}\n`)
      .replaceAll('name: west', 'name: from-linkerd');
    const file = path.join(dir(), 'linkerd.yaml');
    writeFileSync(file, moved);
    await east.kubectl('apply', '--warnings-as-errors', '-f', file);
    const link = await findLink(east, ns, 'from-linkerd');
    expect(parseLink(link ?? {})).to.have.property('ok', true);
  });

  it("takes the status that Linkerd's controller writes, beside our conditions", async () => {
    const base = {
      apiVersion: 'multicluster.linkerd.io/v1alpha3',
      kind: 'Link',
      metadata: { name: 'status', namespace: ns },
    };
    await east.apply({ ...base, spec: { targetClusterName: 'status' } });
    const ref = { name: 'web', namespace: 'demo' };
    const mirrored = {
      type: 'Mirrored',
      status: 'True',
      reason: 'Mirrored',
      message: '',
      lastTransitionTime: '2026-01-02T03:04:05Z',
      localRef: { group: 'core', kind: 'Service', name: 'web-west', namespace: 'demo' },
    };
    const entry = { controllerName: 'linkerd.io/service-mirror', remoteRef: ref, conditions: [mirrored] };
    const status = {
      mirrorServices: [entry],
      federatedServices: [entry],
      mirrorCount: 1,
      conditions: [
        {
          type: 'Synced',
          status: 'True',
          reason: 'AllMirrored',
          message: '',
          lastTransitionTime: '2026-01-02T03:04:05Z',
        },
      ],
    };
    await patchStatus(east, ['link', 'status'], status);
    const stored = await findLink(east, ns, 'status');
    expect(stored?.status?.mirrorServices?.[0]).to.deep.equal({
      ...entry,
      remoteRef: { group: 'core', kind: 'Service', ...ref },
    });
    expect(await east.kubectl('-n', ns, 'get', 'link', 'status')).to.match(
      /NAME +CLUSTER +GATEWAY +API +GATEWAY ALIVE +SYNCED +MIRRORS +AGE/,
    );
  });

  it('has a CRD that a real API server takes without a warning, in each version', async () => {
    const crd = path.join(root, 'crds/links.multicluster.linkerd.io.yaml');
    await east.kubectl('apply', '--warnings-as-errors', '-f', crd);
    for (const version of ['v1alpha1', 'v1alpha2', 'v1alpha3']) {
      const file = path.join(dir(), `${version}.yaml`);
      const spec = {
        targetClusterName: version,
        probeSpec: {},
        selector: { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'c', operator: 'Exists' }] },
      };
      const apiVersion = `multicluster.linkerd.io/${version}`;
      writeFileSync(
        file,
        stringify({ apiVersion, kind: 'Link', metadata: { name: version, namespace: ns }, spec }),
      );
      await east.kubectl('apply', '--warnings-as-errors', '-f', file);
      const link = await findLink(east, ns, version);
      expect(link?.spec?.probeSpec).to.deep.equal({ timeout: '30s', failureThreshold: '3' });
      expect(link?.spec?.selector).to.deep.equal(spec.selector);
    }
  });

  describe('says in one line what is wrong and prints nothing', () => {
    const refused = (outcome: Outcome, message: RegExp) => {
      // 2 is for wrong flags, 1 for what clusters refuse.
      const code = outcome.stderr.includes('[CONFIG_INVALID]') ? 2 : 1;
      expect(outcome).to.include({ code, stdout: '' });
      expect(outcome.stderr)
        .to.match(/^linkspan: \[[A-Z_]+\] [^\n]+\n$/)
        .and.match(message);
    };

    it('no such account', async () => {
      const outcome = await linkGen('--service-account-name', 'nobody');
      refused(outcome, /\[SERVICE_ACCOUNT_MISSING\].*nobody.*linkspan allow/);
    });

    it('an account without a token Secret', async () => {
      await west.apply({
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'bare', namespace: ns },
      });
      const outcome = await linkGen('--service-account-name', 'bare');
      refused(outcome, /\[SERVICE_ACCOUNT_TOKEN_MISSING\].*bare: there is no token Secret/);
    });

    it('an account that may not renew its own token', async () => {
      const flags = ['--token-ttl', '24h', '--no-destination-credentials'];
      refused(await linkGen(...flags), /\[ACCOUNT_RIGHTS_MISSING\].*create serviceaccounts\/token/);
    });

    it("a token that is renewed, for Linkerd's destination controller, which would not notice", async () => {
      refused(
        await linkGen('--token-ttl', '24h'),
        /\[CONFIG_INVALID\] --token-ttl.*--no-destination-credentials/,
      );
    });

    it('a life that no API server grants', async () => {
      refused(await linkGen('--token-ttl', '5m'), /\[CONFIG_INVALID\].*at least 10m/);
    });

    it('an address that pods cannot reach, which --api-server-address mends', async () => {
      const file = path.join(dir(), 'localhost');
      const port = new URL(west.server).port;
      const text = west.kubeconfig
        .replace(/server: .*/, `server: https://localhost:${port}`)
        .replace(/certificate-authority-data: .*/, 'insecure-skip-tls-verify: true');
      writeFileSync(file, text, { mode: 0o600 });
      const proxied = await forwardLocalhost(Number(port), west.address);
      try {
        const flags = ['--kubeconfig', file, '--cluster-name', 'west', '--namespace', ns];
        refused(
          await keptLinkspan('link-gen', ...flags),
          /\[API_SERVER_ADDRESS_LOCAL\].*localhost.*--api-server-address/,
        );
        const printed = await keptLinkspan('link-gen', ...flags, '--api-server-address', west.server);
        expect(printed.code).to.equal(0);
        expect(printed.stderr).to.match(
          /^linkspan: \S+ leaves the API server's certificate unchecked, and so will the Link\n$/,
        );
      } finally {
        proxied.close();
      }
    });

    it('no such gateway', async () => {
      refused(await linkGen('--gateway-name', 'nowhere'), /\[GATEWAY_NOT_FOUND\].*nowhere/);
    });

    it('a gateway without addresses, which --gateway-addresses mends', async () => {
      await ingress([]);
      try {
        refused(
          await linkGen(),
          /\[GATEWAY_INCOMPLETE\] gateway linkerd-gateway\.\S+ has no ingress addresses/,
        );
        expect(await linkGen('--gateway-addresses', '192.0.2.1')).to.include({ code: 0 });
      } finally {
        await ingress([{ ip: '10.200.0.40' }, { hostname: 'gw.west.example.com' }]);
      }
    });

    it('no cluster name', async () => {
      const outcome = await linkspan('link-gen', '--kubeconfig', west.kubeconfigFile);
      refused(outcome, /\[CONFIG_INVALID\].*you need to specify cluster name/);
    });

    it('a selector that is none', async () => {
      refused(await linkGen('--selector', 'a ~ b'), /\[CONFIG_INVALID\].*"a ~ b"/);
    });

    it('an address that is none', async () => {
      refused(await linkGen('--gateway-addresses', 'a b'), /\[LINK_INVALID\].*spec\.gatewayAddress "a b"/);
    });

    it('a context that does not exist', async () => {
      refused(await linkGen('--context', 'mars'), /\[KUBECONFIG_INVALID\].*"mars"/);
    });

    it('a cluster that does not answer', async () => {
      const file = path.join(dir(), 'kubeconfig');
      // Port 1 is nobody's, and the kernel says so at once.
      writeFileSync(file, west.kubeconfig.replace(/server: .*/, 'server: https://127.0.0.1:1'), {
        mode: 0o600,
      });
      const outcome = await keptLinkspan('link-gen', '--kubeconfig', file, '--cluster-name', 'west');
      refused(outcome, /\[KUBE_UNREACHABLE\].*127\.0\.0\.1:1/);
    });
  });
});

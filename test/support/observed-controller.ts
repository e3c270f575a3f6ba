import { createServer, type Server } from 'node:http';
import { writeDrain } from '../../src/api/failover/failover-drain.ts';
import { FAILOVER_DRAIN, FAILOVER_TIERS } from '../../src/api/failover/failover-names.ts';
import { DATA_PATH, LEAF_USAGES, SIGNER_NAME, TOKEN_TTL } from '../../src/api/names.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import { certificateSigningRequests, secrets, services } from '../../src/api/kubernetes/resource.ts';
import { createAnchor, createIssuer } from '../../src/identity/authority/issue.ts';
import { writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { makeCertificateRequest } from '../../src/identity/x509/certificate-request.ts';
import { pem } from '../../src/identity/x509/keys.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { remoteAccessManifests } from '../../src/linking/remote-access.ts';
import { requestToken } from '../../src/linking/token.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace } from '../testbed/shared.ts';
import { change, clientOf, ensureNamespace, find } from './cluster-objects.ts';
import { eventually } from './eventually.ts';
import { exportService, ownSelectors } from './exports.ts';
import { freePort } from './free-port.ts';
import { apply, linkObjects } from './linked-clusters.ts';
import { ServingVerb } from './serving-verb.ts';

const wait = { everyMs: 100 };
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** How the credentials of a Link look that nobody renews. */
const CREDENTIALS = { type: 'mirror.linkerd.io/remote-kubeconfig', apiVersion: 'v1', kind: 'Secret' };

/** Where a Link's credentials lead, in base64. */
function kubeconfigOf(cluster: Cluster, token: string, server = cluster.server): string {
  const { ca = '' } = loadAccess({ file: cluster.kubeconfigFile });
  const authority = { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'target',
    clusters: [{ name: 'target', cluster: { server, ...authority } }],
    contexts: [{ name: 'target', context: { cluster: 'target', user: 'mirror' } }],
    users: [{ name: 'mirror', user: { token } }],
  };
  return Buffer.from(JSON.stringify(config)).toString('base64');
}

/**
 * A controller with a Link whose gateway is probed, whose token it renews, and of whose exports it leaves
 * something out; one of them is federated and drained.
 */
export class ObservedController {
  readonly process: ServingVerb;
  /** Namespace of the Links, and that of the exports. */
  readonly links: string;
  readonly exports: string;
  readonly #gateway: Server;
  readonly #clusters: { readonly east: Cluster; readonly west: Cluster };
  readonly #account: { readonly namespace: string; readonly name: string };

  private constructor(
    process: ServingVerb,
    parts: {
      readonly links: string;
      readonly gateway: Server;
      readonly clusters: { readonly east: Cluster; readonly west: Cluster };
      readonly account: { readonly namespace: string; readonly name: string };
    },
  ) {
    this.process = process;
    this.links = parts.links;
    this.exports = parts.account.namespace;
    this.#gateway = parts.gateway;
    this.#clusters = parts.clusters;
    this.#account = parts.account;
  }

  /** Both clusters have the CRD. */
  static async start(east: Cluster, west: Cluster): Promise<ObservedController> {
    const links = await createNamespace(east, 'links');
    const ns = await createNamespace(west, 'metrics');
    await ensureNamespace(east, ns);
    const account = { namespace: ns, name: `mirror-${ns}` };
    await west.apply(remoteAccessManifests({ account, linkerd: false, boundTokens: true, version: 'test' }));
    const annotations = { 'external-dns.alpha.kubernetes.io/hostname': 'web.example' };
    await exportService(west, ns, 'web', { test: ns, annotations, federated: true });
    const gateway = createServer((_, response) => response.end('ready\n'));
    const port = await freePort();
    await new Promise<void>((resolve) => gateway.listen(port, address(19), resolve));
    const probeSpec = {
      path: '/ready',
      port: String(port),
      period: '1s',
      timeout: '5s',
      failureThreshold: '3',
    };
    const spec = { gatewayAddress: address(19), probeSpec, ...ownSelectors(ns) };
    await apply(east, ...linkObjects(west, links, 'west', spec, { [DATA_PATH]: 'relay' }));
    const token = await requestToken(clientOf(west), account, HOUR_MS);
    await change(
      east,
      secrets,
      { namespace: links, name: 'cluster-credentials-west' },
      {
        metadata: { annotations: { [TOKEN_TTL]: '1h' } },
        data: { kubeconfig: kubeconfigOf(west, token) },
      },
    );
    const flags = ['--namespace', links, '--data-path', 'gateway', '--replica', 'metrics'];
    const process = await ServingVerb.start('controller', '--kubeconfig', east.kubeconfigFile, ...flags);
    const started = new ObservedController(process, { links, gateway, clusters: { east, west }, account });
    try {
      await started.#federate();
    } catch (error) {
      await started.stop();
      throw error;
    }
    return started;
  }

  /** Gives the federated Service tiers, and drains its only member. */
  async #federate(): Promise<void> {
    const { east } = this.#clusters;
    const federated = { namespace: this.exports, name: 'web-federated' };
    await eventually('it is federated', () => find(east, services, federated), wait);
    await change(east, services, federated, { metadata: { annotations: { [FAILOVER_TIERS]: 'west' } } });
    await eventually(
      'failover is decided',
      async () => /linkspan_failover_state\{.*"Active"/.test(await this.process.metrics()),
      wait,
    );
    const drain = writeDrain({ to: 0, start: 0, rampMs: 0, until: Date.now() + HOUR_MS, drill: false });
    const link = { namespace: this.links, name: 'west' };
    await change(east, linkResource, link, { metadata: { annotations: { [FAILOVER_DRAIN]: drain } } });
  }

  /** A Link to a cluster of which nothing answers, with credentials that nobody renews. */
  async linkSilent(name: string): Promise<void> {
    const { east, west } = this.#clusters;
    const token = await requestToken(clientOf(west), this.#account, HOUR_MS);
    const [api, gateway] = [await freePort(), await freePort()];
    const probeSpec = {
      path: '/ready',
      port: String(gateway),
      period: '1s',
      timeout: '5s',
      failureThreshold: '3',
    };
    const [, link] = linkObjects(west, this.links, name, { gatewayAddress: address(19), probeSpec });
    const kubeconfig = kubeconfigOf(west, token, `https://127.0.0.1:${api}`);
    await apply(
      east,
      {
        ...CREDENTIALS,
        metadata: { namespace: this.links, name: `cluster-credentials-${name}` },
        data: { kubeconfig },
      },
      link as object,
    );
  }

  /** Takes the account's rights away: it hears what it watches already, and can ask for nothing. */
  async revoke(): Promise<void> {
    const { namespace, name } = this.#account;
    const { west } = this.#clusters;
    await west.kubectl('delete', 'clusterrolebinding', name);
    const as = `--as=system:serviceaccount:${namespace}:${name}`;
    await eventually(
      'it may not list any more',
      () =>
        west.kubectl('auth', 'can-i', 'list', 'services', '-A', as).then(
          () => false,
          () => true,
        ),
      wait,
    );
  }

  async stop(): Promise<void> {
    await this.process.kill();
    this.#gateway.closeAllConnections();
    this.#gateway.close();
    const kinds = 'clusterrole,clusterrolebinding';
    await this.#clusters.west.kubectl('delete', kinds, this.#account.name, '--ignore-not-found');
  }
}

/** A signer that has been asked for a certificate, and has denied it. @param lifetimeDays of its issuer */
export async function observedSigner(east: Cluster, dir: string, lifetimeDays: number): Promise<ServingVerb> {
  const ns = await createNamespace(east, 'signer');
  const issuer = await createIssuer(await createAnchor({}), { lifetimeMs: lifetimeDays * DAY_MS });
  const files = { 'tls.crt': issuer.chain, 'tls.key': issuer.key, 'ca.crt': issuer.ca };
  const named = Object.entries(files).map(([name, text]) => ({ name, text }));
  await writePemFiles(dir, named, { force: true });
  const flags = ['--namespace', ns, '--issuer-dir', dir];
  const program = await ServingVerb.start('signer', '--kubeconfig', east.kubeconfigFile, ...flags);
  // An administrator is no workload, so he is denied.
  const request = pem('CERTIFICATE REQUEST', makeCertificateRequest('web.shop.east').der);
  await clientOf(east).create(certificateSigningRequests, {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { generateName: 'metrics-' },
    spec: {
      signerName: SIGNER_NAME,
      request: Buffer.from(request).toString('base64'),
      usages: [...LEAF_USAGES],
    },
  });
  return program;
}

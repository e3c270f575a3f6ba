import { createServer, type Server } from 'node:http';
import path from 'node:path';
import { expect } from 'chai';
import { writeDrain } from '../../src/api/failover/failover-drain.ts';
import { FAILOVER_DRAIN, FAILOVER_TIERS } from '../../src/api/failover/failover-names.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import { DATA_PATH, LEAF_USAGES, SIGNER_NAME, TOKEN_TTL } from '../../src/api/names.ts';
import { makeCertificateRequest } from '../../src/identity/x509/certificate-request.ts';
import { createAnchor, createIssuer } from '../../src/identity/authority/issue.ts';
import { pem } from '../../src/identity/x509/keys.ts';
import { writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { certificateSigningRequests, secrets, services } from '../../src/api/kubernetes/resource.ts';
import { remoteAccessManifests } from '../../src/linking/remote-access.ts';
import { requestToken } from '../../src/linking/token.ts';
import { change, clientOf, ensureNamespace, find } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { freePort } from '../support/free-port.ts';
import { apply, installCrd, linkObjects } from '../support/linked-clusters.ts';
import { differences, documentedMetrics, scrapedMetrics } from '../support/metrics-page.ts';
import { root, RuntimeProcess } from '../support/runtime-process.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 100 };

/** A verb that serves until it is told to end, as people run it. */
class Program extends RuntimeProcess {
  static async start(verb: string, ...flags: string[]): Promise<Program> {
    const admin = await freePort();
    const said = [path.join(root, 'bin/linkspan.js'), verb, ...flags, '--admin', `127.0.0.1:${admin}`];
    const started = new Program('node', said, admin);
    await eventually('it can be scraped', () => started.metrics(), wait);
    return started;
  }
}

// The pages of gateway and egress were compared with declarations, those of controller and signer with
// nothing.
describe('docs/reference/metrics.md against controller and signer', () => {
  const dir = useTempDir();
  let east: Cluster;
  let west: Cluster;
  const running: Program[] = [];
  let gateway: Server | undefined;

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
  });

  afterEach(async () => {
    for (const program of running.splice(0)) await program.kill();
    gateway?.closeAllConnections();
    gateway?.close();
    gateway = undefined;
  });

  /** What of the page a program's scrapes lack, and the other way round, once nothing changes any more. */
  async function agrees(program: Program, section: string): Promise<void> {
    const page = documentedMetrics(section);
    const compare = async () => differences(page, scrapedMetrics(await program.metrics()));
    await eventually('page and scrape agree', async () => (await compare()).length === 0, wait).catch(
      async () => expect(await compare()).to.deep.equal([]),
    );
  }

  it('a controller with a Link that is probed, renews its token and leaves something out', async () => {
    const links = await createNamespace(east, 'links');
    const ns = await createNamespace(west, 'metrics');
    await ensureNamespace(east, ns);
    const account = { namespace: ns, name: `mirror-${ns}` };
    await west.apply(remoteAccessManifests({ account, linkerd: false, boundTokens: true, version: 'test' }));
    const annotations = { 'external-dns.alpha.kubernetes.io/hostname': 'web.example' };
    await exportService(west, ns, 'web', { test: ns, annotations, federated: true });
    const server = createServer((_, response) => response.end('ready\n'));
    gateway = server;
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, address(19), resolve));
    const probeSpec = {
      path: '/ready',
      port: String(port),
      period: '1s',
      timeout: '5s',
      failureThreshold: '3',
    };
    await apply(
      east,
      ...linkObjects(
        west,
        links,
        'west',
        { gatewayAddress: address(19), probeSpec, ...ownSelectors(ns) },
        { [DATA_PATH]: 'relay' },
      ),
    );
    const token = await requestToken(clientOf(west), account, 3_600_000);
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
    running.push(await Program.start('controller', '--kubeconfig', east.kubeconfigFile, ...flags));
    const federated = { namespace: ns, name: 'web-federated' };
    await eventually('it is federated', () => find(east, services, federated), wait);
    await change(east, services, federated, { metadata: { annotations: { [FAILOVER_TIERS]: 'west' } } });
    await eventually(
      'failover is decided',
      async () => /linkspan_failover_state\{.*"Active"/.test((await running[0]?.metrics()) ?? ''),
      wait,
    );
    const drain = writeDrain({ to: 0, start: 0, rampMs: 0, until: Date.now() + 3_600_000, drill: false });
    await change(
      east,
      linkResource,
      { namespace: links, name: 'west' },
      {
        metadata: { annotations: { [FAILOVER_DRAIN]: drain } },
      },
    );
    await agrees(running[0] as Program, 'Controller');
    await west.kubectl('delete', 'clusterrole,clusterrolebinding', account.name);
  });

  it('a signer that has been asked', async () => {
    const ns = await createNamespace(east, 'signer');
    const issuer = await createIssuer(await createAnchor({}), {});
    const files = { 'tls.crt': issuer.chain, 'tls.key': issuer.key, 'ca.crt': issuer.ca };
    const named = Object.entries(files).map(([name, text]) => ({ name, text }));
    await writePemFiles(dir(), named, { force: true });
    const flags = ['--namespace', ns, '--issuer-dir', dir()];
    const program = await Program.start('signer', '--kubeconfig', east.kubeconfigFile, ...flags);
    running.push(program);
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
    await agrees(program, 'Signer');
  });
});

/** A kubeconfig with an account's token, in base64. */
function kubeconfigOf(cluster: Cluster, token: string): string {
  const { ca = '' } = loadAccess({ file: cluster.kubeconfigFile });
  const authority = { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'target',
    clusters: [{ name: 'target', cluster: { server: cluster.server, ...authority } }],
    contexts: [{ name: 'target', context: { cluster: 'target', user: 'mirror' } }],
    users: [{ name: 'mirror', user: { token } }],
  };
  return Buffer.from(JSON.stringify(config)).toString('base64');
}

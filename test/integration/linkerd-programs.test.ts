import type { V1Endpoints, V1ObjectMeta } from '@kubernetes/client-node';
import { expect } from 'chai';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseManifests } from '../../src/manifests/manifests.ts';
import { endpoints, services } from '../../src/api/kubernetes/resource.ts';
import { links } from '../../src/api/link/link-schema.ts';
import { createAnchor, createIssuer, type Authority } from '../../src/identity/authority/issue.ts';
import { closedIn } from '../support/closed-in.ts';
import { ensureNamespace, find, findLink, findService, remove } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { exportedObjects, startController } from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { binaries } from '../testbed/binaries.ts';
import { LINKERD } from '../testbed/binaries/programs.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { ownClusters } from '../testbed/shared.ts';

const HOME = 'linkerd-multicluster';
const NS = 'shop';
const GATEWAY = '10.200.0.19';
const IDENTITY = 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local';
const PROGRAMS = [...LINKERD.programs, 'helm'] as const;
const wait = { everyMs: 100 };

/**
 * Somebody swaps one side, or one program. What we write must be read by Linkerd's own programs, and what
 * they write by ours: here they are themselves (test/testbed/linkerd says which version), not our reading of
 * their source.
 */
describe("Linkerd's own programs", () => {
  const closed = closedIn(after);
  const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-linkerd-'));
  let programs: Record<(typeof PROGRAMS)[number], string>;
  let east: Cluster;
  let west: Cluster;
  let theirs: Snapshot;
  let probe: Server;

  after(() => rmSync(dir, { recursive: true }));
  before(async () => {
    programs = binaries(PROGRAMS);
    ({ east, west } = closed(await ownClusters(), (one) => one.giveBack()));
    const issuer = await createIssuer(await createAnchor());
    for (const cluster of [east, west]) {
      await installLinkerd(cluster, issuer);
      await installLinkspan(cluster);
      await ensureNamespace(cluster, NS);
    }
    const status = JSON.stringify({ status: { loadBalancer: { ingress: [{ ip: GATEWAY }] } } });
    const patch = [
      'patch',
      'service',
      'linkerd-gateway',
      '--subresource=status',
      '--type=merge',
      '-p',
      status,
    ];
    await west.kubectl('-n', HOME, ...patch);
    await west.apply(exportedObjects(NS, 'web'));
    // Its controller looks at Endpoints, not at slices.
    await west.apply({
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'web', namespace: NS, labels: { 'mirror.linkerd.io/exported': 'true' } },
      subsets: [{ addresses: [{ ip: '10.200.0.18' }], ports: [{ name: 'http', port: 8080 }] }],
    });
    // The gateway's side of a probe; nothing else of it is asked for here.
    probe = closed(
      createServer((_, response) => response.end()),
      (one) => one.close(),
    );
    await once(probe.listen(4191, GATEWAY), 'listening');
  });

  /**
   * What Linkerd's multicluster commands look for of a control plane: its CRDs and its configuration. Its
   * pods are not started.
   */
  async function installLinkerd(cluster: Cluster, issuer: Authority): Promise<void> {
    await cluster.apply(await linkerd(cluster, 'install', '--crds'));
    const files = issuerFiles(issuer);
    const all = parseManifests(await linkerd(cluster, 'install', ...files), 'linkerd install');
    const kept = all.filter(
      ({ kind, metadata }) =>
        kind === 'Namespace' || (kind === 'ConfigMap' && metadata?.name === 'linkerd-config'),
    );
    await cluster.apply(kept);
  }

  function issuerFiles(issuer: Authority): string[] {
    const files = {
      'identity-trust-anchors-file': issuer.ca,
      'identity-issuer-certificate-file': issuer.cert,
      'identity-issuer-key-file': issuer.key,
    };
    return Object.entries(files).map(([flag, pem]) => {
      const file = path.join(dir, `${flag}.pem`);
      writeFileSync(file, pem);
      return `--${flag}=${file}`;
    });
  }

  async function installLinkspan(cluster: Cluster): Promise<void> {
    const { code, stdout, stderr } = await keptLinkspan(
      'install',
      '--kubeconfig',
      cluster.kubeconfigFile,
      '--helm',
      programs.helm,
    );
    expect(code, stderr).to.equal(0);
    await cluster.apply(stdout);
  }

  const linkerd = (cluster: Cluster, ...args: string[]): Promise<string> =>
    output(programs.linkerd, [...args, '--kubeconfig', cluster.kubeconfigFile]);

  /** Runs our controller until `done`; its Link has to be synced. */
  async function withController(done: () => Promise<void>): Promise<void> {
    const controller = startController(east, { namespace: HOME, writeEndpoints: true });
    try {
      await eventually('the Link is synced', linkIsSynced, wait);
      await done();
    } finally {
      await controller.stop();
    }
  }

  async function linkIsSynced(): Promise<boolean> {
    const { conditions = [] } = (await findLink(east, HOME, 'west'))?.status ?? {};
    return conditions.some(({ type, status }) => type === 'Synced' && status === 'True');
  }

  /** A program that runs until the tests end or `stop`, and what it has said so far. */
  function running(file: string, args: readonly string[]): { said: () => string; stop: () => Promise<void> } {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const said: string[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => void said.push(text));
    const gone = once(child, 'exit');
    const stop = async () => {
      child.kill('SIGKILL');
      await gone;
    };
    closed(child, stop);
    return { said: () => said.join(''), stop };
  }

  const mirror = () => findService(east, NS, 'web-west');
  const addresses = async (): Promise<string[]> => {
    const found = await find(east, endpoints, { namespace: NS, name: 'web-west' });
    return (found?.subsets ?? []).flatMap((subset) => (subset.addresses ?? []).map(({ ip }) => ip));
  };

  const notReady = async (): Promise<string[]> => {
    const found = await find(east, endpoints, { namespace: NS, name: 'web-west' });
    return (found?.subsets ?? []).flatMap((subset) => (subset.notReadyAddresses ?? []).map(({ ip }) => ip));
  };

  it("its mirror controller takes our link-gen's Link, and our account is enough for it", async () => {
    const kubeconfig = ['--kubeconfig', west.kubeconfigFile];
    const printed = await keptLinkspan('link-gen', ...kubeconfig, '--cluster-name', 'west');
    expect(printed.code, printed.stderr).to.equal(0);
    await east.apply(printed.stdout);
    const program = running(programs['linkerd-controller'], [
      'service-mirror',
      '-kubeconfig',
      east.kubeconfigFile,
      '-namespace',
      HOME,
      '-metrics-addr',
      `127.0.0.1:${await freePort()}`,
      '-log-level',
      'debug',
      'west',
    ]);
    try {
      await eventually(
        'the mirror leads to the gateway',
        async () => (await addresses())[0] === GATEWAY,
        wait,
      );
    } catch (error) {
      throw new Error(program.said().slice(-4000), { cause: error });
    }
    expect(program.said()).not.to.match(/forbidden/i);
    await program.stop();
    theirs = await snapshot();
  });

  it('our controller adopts what it has made, and writes whatever it has written', async () => {
    await withController(async () => {
      await eventually(
        'it is ours',
        async () => (await mirror())?.metadata?.annotations?.['linkspan.dev/link'],
        wait,
      );
      const ours = await snapshot();
      expect(ours.uid).to.equal(theirs.uid);
      expect(ours.clusterIP).to.equal(theirs.clusterIP);
      expectAllOf(ours, theirs);
    });
  });

  it('our controller makes from nothing what Linkerd has made', async () => {
    await remove(east, services, { namespace: NS, name: 'web-west' });
    await withController(async () => {
      await eventually('it is made again', async () => (await addresses())[0] === GATEWAY, wait);
      expectAllOf(await snapshot(), theirs);
    });
  });

  it('`linkerd multicluster link` prints a Link for our gateway, which our controller takes as it is', async () => {
    await remove(east, links, { namespace: HOME, name: 'west' });
    await east.apply(await linkerd(west, 'multicluster', 'link', '--cluster-name', 'west'));
    await withController(async () => {
      await eventually(
        'the mirror leads to the gateway',
        async () => (await addresses())[0] === GATEWAY,
        wait,
      );
    });
  });

  it('its destination service sends proxies to the gateway, in the identity that the Link names', async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const service = running(programs['linkerd-controller'], [
      'destination',
      '-kubeconfig',
      east.kubeconfigFile,
      '-addr',
      address,
      '-metrics-addr',
      `127.0.0.1:${await freePort()}`,
      '-cluster-domain',
      'cluster.local',
    ]);
    await eventually(
      'it serves',
      () => Promise.resolve(service.said().includes('starting gRPC server')),
      wait,
    );
    const name = `web-west.${NS}.svc.cluster.local:80`;
    const client = running(programs['linkerd-destination-client'], ['-addr', address, '-path', name]);
    const answer = () => Promise.resolve(client.said().includes('identity'));
    await eventually(`an answer; ${service.said()}`, answer, wait);
    expect(client.said()).to.contain(`- ${GATEWAY}:4143`).and.contain(`name:\\"${IDENTITY}\\"`);
    // What we show as not ready is not for proxies.
    await withController(async () => {
      const before = client.said().length;
      probe.close();
      probe.closeAllConnections();
      await eventually('it is shown as not ready', async () => (await notReady())[0] === GATEWAY, wait);
      const isGone = () => Promise.resolve(/NoEndpoints|Remove/.test(client.said().slice(before)));
      await eventually('proxies are told that it is gone', isGone, wait);
      expect(client.said().slice(before)).not.to.contain('Add:');
      await once(probe.listen(4191, GATEWAY), 'listening');
      await eventually('it is back', async () => (await addresses())[0] === GATEWAY, wait);
      const isBack = () => Promise.resolve(client.said().slice(before).includes('Add:'));
      await eventually(`proxies are told, too: ${client.said().slice(before)}`, isBack, wait);
    });
  });

  it('`linkerd multicluster check` finds nothing wrong with our objects', async () => {
    const report = await checked();
    // Of what no pod runs for here, and of a web page of Linkerd's.
    const others = ['service mirror controllers are running', 'multicluster extension proxies are'];
    const ours = Object.entries(report).filter(([check]) => !others.some((other) => check.startsWith(other)));
    expect(Object.fromEntries(ours)).to.deep.equal({
      'Link CRD exists': 'success',
      'Link resources are valid': 'success',
      'remote cluster access credentials are valid': 'success',
      'clusters share trust anchors': 'success',
      'service mirror controller has required permissions': 'success',
      'probe services able to communicate with all gateway mirrors': 'success',
      'all mirror services have endpoints': 'success',
      'all mirror services are part of a Link': 'success',
      'multicluster extension proxies and cli versions match': 'success',
    });
  });

  async function checked(): Promise<Record<string, string>> {
    const { stdout } = await outcome(programs.linkerd, [
      'multicluster',
      'check',
      '-o',
      'json',
      '--wait',
      '2s',
      '--kubeconfig',
      east.kubeconfigFile,
    ]);
    const { categories } = JSON.parse(stdout) as {
      categories: { checks: { description: string; result: string; error?: string }[] }[];
    };
    return Object.fromEntries(
      categories.flatMap(({ checks }) =>
        checks.map(({ description, result, error }) => [description.split('\n', 1)[0], error ?? result]),
      ),
    );
  }

  async function snapshot(): Promise<Snapshot> {
    const service = await mirror();
    const found = await find(east, endpoints, { namespace: NS, name: 'web-west' });
    const { uid, labels = {}, annotations = {} } = service?.metadata ?? {};
    return {
      uid,
      clusterIP: service?.spec?.clusterIP,
      labels,
      annotations,
      ports: service?.spec?.ports?.map(({ name, port, protocol, targetPort }) => ({
        name,
        port,
        protocol,
        targetPort,
      })),
      endpoints: {
        labels: found?.metadata?.labels ?? {},
        annotations: found?.metadata?.annotations ?? {},
        subsets: found?.subsets ?? [],
      },
    };
  }
});

interface Snapshot {
  readonly uid: string | undefined;
  readonly clusterIP: string | undefined;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
  readonly ports: object[] | undefined;
  readonly endpoints: Pick<V1ObjectMeta, 'labels' | 'annotations'> & Pick<V1Endpoints, 'subsets'>;
}

/**
 * Ours may say more. It writes a slice itself, so that kube is told not to make one of the Endpoints, and
 * copies no annotation of kubectl's.
 */
function expectAllOf(ours: Snapshot, theirs: Snapshot): void {
  const { 'kubectl.kubernetes.io/last-applied-configuration': _kubectls, ...annotations } =
    theirs.annotations;
  expect(ours.annotations).to.include(annotations);
  expect(ours.labels).to.deep.equal(theirs.labels);
  expect(ours.ports).to.deep.equal(theirs.ports);
  const labels = { ...theirs.endpoints.labels, 'endpointslice.kubernetes.io/skip-mirror': 'true' };
  expect(ours.endpoints).to.deep.equal({ ...theirs.endpoints, labels });
}

interface Outcome {
  readonly error: Error | null;
  readonly stdout: string;
  readonly stderr: string;
}

function outcome(file: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(file, args, { maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
      resolve({ error, stdout, stderr }),
    );
  });
}

async function output(file: string, args: readonly string[]): Promise<string> {
  const { error, stdout, stderr } = await outcome(file, args);
  if (error === null) return stdout;
  throw new Error(`${path.basename(file)} ${args.join(' ')}: ${stderr || error.message}\n${stdout}`);
}

/**
 * `npm run demo [-- --keep] [--from build|download]`: a request crosses two clusters on this machine, with
 * nothing but Node. Two real control planes (etcd and API server, downloaded or built the first time), a
 * gateway, a controller and an egress run in a network namespace of their own; `--keep` leaves them up to
 * play with.
 */
import type { V1EndpointSlice } from '@kubernetes/client-node';
import type { ChildProcess } from 'node:child_process';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { createAnchor, createIssuer, issueLeaf } from '../src/identity/authority/issue.ts';
import { identityName } from '../src/identity/names/identity-name.ts';
import { identityFiles, writePemFiles } from '../src/identity/authority/pem-files.ts';
import { readyAddresses } from '../src/controllers/objects/mirrored-endpoints.ts';
import { startCluster, type Cluster } from '../test/testbed/cluster.ts';
import { binaries } from '../test/testbed/binaries.ts';
import { takeFlags } from '../test/testbed/binaries/flags.ts';
import { NEEDS } from '../test/testbed/binaries/programs.ts';
import { orExplain } from '../test/testbed/errors.ts';
import { address, inNetns, reexecInNetns } from '../test/testbed/netns.ts';
import {
  gatewayService,
  namespace,
  REMOTE_ACCESS,
  remoteAccess,
  serviceOfProcesses,
  tokenSecret,
  yaml,
} from './manifests.ts';
import { type DemoPod, podOf, podStatus, tapAccount } from './pods.ts';
import { endAll, enterCommand, get, say, show, startProgram, until } from './steps.ts';

let keep = false;
await orExplain(async () => {
  keep = takeFlags(process.argv.slice(2), ['--keep']).has('--keep');
  // Before anything else: the addresses below exist only inside.
  await reexecInNetns(NEEDS.demo);
});
if (!inNetns()) process.exit();

const MULTICLUSTER = 'linkerd-multicluster';
const HOSTS = {
  west: address(11),
  gateway: address(12),
  web: [address(13), address(14)],
  east: address(15),
  egress: address(16),
  client: address(17),
};
const DAY_MS = 86_400_000;
const PROGRAM = 'bin/linkspan.js';

interface Demo {
  readonly dir: string;
  readonly children: ChildProcess[];
  readonly clusters: Cluster[];
}

const demo: Demo = {
  dir: await mkdtemp(path.join(os.tmpdir(), 'linkspan-demo-')),
  children: [],
  clusters: [],
};
process.once('SIGINT', () => void cleanUp().then(() => process.exit(130)));
process.once('SIGTERM', () => void cleanUp().then(() => process.exit(143)));
// A terminal that is closed.
process.once('SIGHUP', () => void cleanUp().then(() => process.exit(129)));
try {
  await run();
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof Error && error.cause instanceof Error)
    process.stderr.write(`  because: ${error.cause.message}\n`);
  await showLogs();
} finally {
  await cleanUp();
}

async function run(): Promise<void> {
  say('starting two control planes (etcd and kube-apiserver each)');
  const [west, east] = await Promise.all([boot('west', HOSTS.west), boot('east', HOSTS.east)]);
  const identities = await makeIdentities();
  say('west: a web service with two replicas, and the gateway');
  await prepareWest(west, identities.gateway);
  say('linking: `linkspan link-gen --cluster-name west` there, `kubectl apply -f -` here');
  await linkEastToWest(west, east);
  say('east: the controller, and the egress for clients without a mesh');
  await startEast(east);
  const { url, seconds } = await exportAndAsk(west, east);
  await showConnection(url, identities);
  await showTraffic(url, `${west.kubeconfigFile}:${east.kubeconfigFile}`);
  if (keep) await playground(west, east, url);
  await unexport(west, east);
  say(`done. From the label to the first answer: ${seconds.toFixed(2)} s`);
}

async function boot(name: string, host: string): Promise<Cluster> {
  const cluster = await startCluster({ name, address: host });
  demo.clusters.push(cluster);
  say(`${name}: API server ${cluster.server}`);
  return cluster;
}

async function makeIdentities(): Promise<{ gateway: string; egress: string }> {
  const issuer = await createIssuer(await createAnchor({ lifetimeMs: 10 * DAY_MS }), {
    lifetimeMs: 5 * DAY_MS,
  });
  const of = (serviceAccount: string) => identityName({ serviceAccount, namespace: MULTICLUSTER });
  const names = { gateway: of('linkerd-gateway'), egress: of('linkspan-egress') };
  for (const [folder, identity] of Object.entries(names)) {
    await writePemFiles(
      path.join(demo.dir, folder),
      identityFiles(await issueLeaf(issuer, { identity, lifetimeMs: DAY_MS })),
    );
  }
  say('identity: a trust anchor, an issuer, a certificate each for gateway and egress (ECDSA P-256)');
  return names;
}

async function prepareWest(west: Cluster, gatewayIdentity: string): Promise<void> {
  const web = serviceOfProcesses('web', 'demo', 80, { addresses: HOSTS.web, port: 8080 });
  await apply(
    west,
    yaml(
      namespace('demo'),
      namespace(MULTICLUSTER),
      ...web,
      ...remoteAccess(),
      gatewayService(gatewayIdentity),
    ),
  );
  await fillToken(west);
  // What a cloud's load balancer controller would do.
  const status = JSON.stringify({ status: { loadBalancer: { ingress: [{ ip: HOSTS.gateway }] } } });
  await west.kubectl(
    '-n',
    MULTICLUSTER,
    'patch',
    'service',
    'linkerd-gateway',
    '--subresource=status',
    '--type=merge',
    '-p',
    status,
  );
  HOSTS.web.forEach((host, index) =>
    start('demo/web.ts', [`${host}:8080`, `web-${index + 1}`], `web-${index + 1}`),
  );
  const flags = [
    '--listen',
    `${HOSTS.gateway}:4143`,
    '--probe',
    `${HOSTS.gateway}:4191`,
    '--admin',
    `${HOSTS.gateway}:9990`,
    '--kubeconfig',
    west.kubeconfigFile,
    '--tap',
    'on',
  ];
  start(PROGRAM, ['gateway', ...flags, '--identity-dir', path.join(demo.dir, 'gateway')], 'gateway');
  await isReady('gateway', `http://${HOSTS.gateway}:4191/ready`);
  const part = { component: 'gateway', port: 9990 } as const;
  await joinAs(west, { name: 'gateway-0', namespace: MULTICLUSTER, ip: HOSTS.gateway, part });
}

/** Puts processes into their cluster as its pods, so that verbs find them. */
async function joinAs(cluster: Cluster, ...pods: readonly DemoPod[]): Promise<void> {
  await apply(cluster, yaml(...tapAccount(), ...pods.flatMap(podOf)));
  for (const pod of pods) {
    const how = ['--subresource=status', '--type=merge', '-p', JSON.stringify(podStatus(pod))];
    await cluster.kubectl('-n', pod.namespace, 'patch', 'pod', pod.name, ...how);
  }
}

/**
 * What a controller manager would do: puts a token of the remote access account into the Secret that asks for
 * one.
 */
async function fillToken(west: Cluster): Promise<void> {
  const token = (
    await west.kubectl('-n', MULTICLUSTER, 'create', 'token', REMOTE_ACCESS, '--duration=24h')
  ).trim();
  await apply(west, yaml(tokenSecret({ token, caCrt: await readFile(west.caFile, 'utf8') })));
}

async function linkEastToWest(west: Cluster, east: Cluster): Promise<void> {
  const crd = await readFile(
    path.join(import.meta.dirname, '../crds/links.multicluster.linkerd.io.yaml'),
    'utf8',
  );
  await apply(east, crd);
  // kubectl fails outright while the new CRD has no conditions at all.
  await until('the CRD to be served', () =>
    east.kubectl('wait', '--for=condition=Established', 'crd/links.multicluster.linkerd.io', '--timeout=10s'),
  );
  await apply(east, yaml(namespace('demo'), namespace(MULTICLUSTER)));
  const linkGen = [
    'link-gen',
    '--cluster-name',
    'west',
    '--kubeconfig',
    west.kubeconfigFile,
    '--no-destination-credentials',
  ];
  const program = path.join(import.meta.dirname, '..', PROGRAM);
  await apply(east, (await promisify(execFile)(process.execPath, [program, ...linkGen])).stdout);
}

async function startEast(east: Cluster): Promise<void> {
  await apply(
    east,
    yaml(
      ...serviceOfProcesses('linkspan-egress', MULTICLUSTER, 4192, { addresses: [HOSTS.egress], port: 4192 }),
    ),
  );
  const common = ['--kubeconfig', east.kubeconfigFile, '--namespace', MULTICLUSTER];
  const replica = 'controller-0';
  const controller = ['--admin', `${HOSTS.egress}:9999`, '--replica', replica];
  start(PROGRAM, ['controller', ...common, ...controller], 'controller');
  const egress = [
    '--listen-address',
    HOSTS.egress,
    '--admin',
    `${HOSTS.egress}:4192`,
    '--identity-dir',
    path.join(demo.dir, 'egress'),
    '--tap',
    'on',
  ];
  start(PROGRAM, ['egress', ...common, ...egress], 'egress');
  await Promise.all([
    isReady('controller', `http://${HOSTS.egress}:9999/ready`),
    isReady('egress', `http://${HOSTS.egress}:4192/ready`),
  ]);
  const own = { namespace: MULTICLUSTER, ip: HOSTS.egress };
  await joinAs(
    east,
    { ...own, name: replica, part: { component: 'controller', port: 9999 } },
    { ...own, name: 'egress-0', part: { component: 'egress', port: 4192 } },
    { name: 'curl', namespace: 'demo', ip: HOSTS.client },
  );
  await until('the Link to be synced', () =>
    east.kubectl('-n', MULTICLUSTER, 'wait', '--for=condition=Synced', 'link/west', '--timeout=10s'),
  );
  show(await east.kubectl('-n', MULTICLUSTER, 'get', 'links'));
}

async function exportAndAsk(west: Cluster, east: Cluster): Promise<{ url: string; seconds: number }> {
  say('exporting: kubectl --context west -n demo label service web mirror.linkerd.io/exported=true');
  const labelled = performance.now();
  await west.kubectl('-n', 'demo', 'label', 'service', 'web', 'mirror.linkerd.io/exported=true');
  const url = await until('the mirror and its first answer', async () => {
    const found = await mirrorUrl(east);
    return found !== undefined && (await ask(found)).status === 200 ? found : undefined;
  });
  const seconds = (performance.now() - labelled) / 1000;
  say('east: the mirror');
  show(await east.kubectl('-n', 'demo', 'get', 'services,endpointslices'));
  say(
    'a plain client in east asks web-west.demo (kube-proxy would send it to this endpoint of the mirror; there is none here)',
  );
  show(`curl --interface ${HOSTS.client} -H 'host: web-west.demo' ${url}hello`);
  for (let i = 0; i < 4; i++) show((await ask(`${url}hello`)).body);
  return { url, seconds };
}

/** Where kube-proxy would send a connection to the mirror. */
async function mirrorUrl(east: Cluster): Promise<string | undefined> {
  const selector = 'kubernetes.io/service-name=web-west';
  const text = await east.kubectl('-n', 'demo', 'get', 'endpointslices', '-l', selector, '-o', 'json');
  const { items } = JSON.parse(text) as {
    items: V1EndpointSlice[];
  };
  const [ip] = readyAddresses(items);
  return ip === undefined ? undefined : `http://${ip}:${items[0]?.ports?.[0]?.port ?? 0}/`;
}

async function showConnection(url: string, identities: { gateway: string; egress: string }): Promise<void> {
  const answer = JSON.parse((await ask(url)).body) as {
    clientIdentity?: string;
    host?: string;
  };
  say('between the clusters: TLS 1.3, both sides proved who they are');
  show(`client (egress):   ${answer.clientIdentity ?? 'none!'}`);
  show(`server (gateway):  ${identities.gateway}`);
  show(`service asked for: ${answer.host ?? 'none!'}`);
  if (answer.clientIdentity !== identities.egress)
    throw new Error('the web service did not see the identity of the egress');
}

/** What is seen of the requests, with nothing but a kubeconfig. */
async function showTraffic(url: string, kubeconfig: string): Promise<void> {
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  const run = async (...args: string[]) => {
    const program = path.join(import.meta.dirname, '..', PROGRAM);
    const done = await promisify(execFile)(process.execPath, [program, ...args], { env });
    return `linkspan ${args.join(' ')}\n${done.stdout}`;
  };
  say('what crosses the clusters, of both at once, and who asks whom');
  const both = ['--context', 'east', '--context', 'west'];
  for (const text of await Promise.all([run('stat', ...both), run('edges', ...both)])) show(text);
  say('each request as it passes, without its headers, body and query');
  let isOver = false;
  const tap = run('tap', ...both, '--limit', '2', '--for', '30s').finally(() => void (isOver = true));
  await until('somebody to see a request', async () => {
    await ask(`${url}hello?token=secret`);
    return isOver ? true : undefined;
  });
  show(await tap);
}

async function unexport(west: Cluster, east: Cluster): Promise<void> {
  say('unexporting: kubectl --context west -n demo label service web mirror.linkerd.io/exported-');
  await west.kubectl('-n', 'demo', 'label', 'service', 'web', 'mirror.linkerd.io/exported-');
  await until('the mirror to go', async () =>
    (await east.kubectl('-n', 'demo', 'get', 'services', '-o', 'name')) === '' ? true : undefined,
  );
  say('east: the mirror is gone');
  show(
    (await east.kubectl('-n', 'demo', 'get', 'services,endpointslices')) ||
      'No resources found in demo namespace.',
  );
}

async function playground(west: Cluster, east: Cluster, url: string): Promise<void> {
  const file = path.join(demo.dir, 'env');
  const kubectl = path.dirname(path.resolve(binaries(['kubectl']).kubectl));
  await writeFile(
    file,
    `export KUBECONFIG=${west.kubeconfigFile}:${east.kubeconfigFile}\nexport PATH="$PATH:${kubectl}"\n`,
  );
  say('everything stays up until you press Ctrl-C. In another terminal:');
  const enter = enterCommand(process.pid, await readFile('/proc/self/uid_map', 'utf8'));
  show(`${enter} bash     # into the network namespace of the demo`);
  show(`. ${file}                        # kubeconfigs of west and east, and kubectl`);
  show('kubectl --context east -n linkerd-multicluster get links');
  show('kubectl --context east -n demo get services,endpointslices');
  show('node bin/linkspan.js top --context east     # also stat, edges, proxies, tap, links, mirrors, check');
  show(`curl --interface ${HOSTS.client} -H 'host: web-west.demo' ${url}`);
  show(`logs: ${demo.dir}/*.log   metrics: curl http://${HOSTS.gateway}:9990/metrics`);
  await new Promise(() => setInterval(() => undefined, 60_000));
}

function start(file: string, args: readonly string[], name: string): void {
  const child = startProgram(file, args, path.join(demo.dir, `${name}.log`));
  child.once('exit', (code) => {
    if (code !== null && code !== 0) process.stderr.write(`${name} ended with ${code}; its log is below\n`);
  });
  demo.children.push(child);
}

/** What a pod of east would ask of the mirror. */
function ask(url: string): Promise<{ status: number; body: string }> {
  return get(url, 'web-west.demo', HOSTS.client);
}

async function isReady(name: string, url: string): Promise<void> {
  await until(`${name} to be ready`, async () =>
    (await get(url, 'admin')).status === 200 ? true : undefined,
  );
}

async function apply(cluster: Cluster, text: string): Promise<void> {
  const file = path.join(demo.dir, `${cluster.name}.yaml`);
  await writeFile(file, text, { mode: 0o600 });
  await cluster.kubectl('apply', '-f', file);
}

async function showLogs(): Promise<void> {
  for (const name of ['gateway', 'controller', 'egress']) {
    const text = await readFile(path.join(demo.dir, `${name}.log`), 'utf8').catch(() => '');
    if (text !== '') process.stderr.write(`--- ${name}\n${text.split('\n').slice(-15).join('\n')}\n`);
  }
}

async function cleanUp(): Promise<void> {
  await endAll(demo.children.splice(0));
  await Promise.all(demo.clusters.splice(0).map((cluster) => cluster.stop()));
  await rm(demo.dir, { recursive: true, force: true });
}

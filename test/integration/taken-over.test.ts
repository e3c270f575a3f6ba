import type { V1ConfigMap, V1Deployment, V1Secret } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { parse, stringify } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/api/errors/linkspan-error.ts';
import { STREAMS_ALPN, TRANSPORT_HEADER_ALPN } from '../../src/api/names.ts';
import { type Authority, parseAuthority } from '../../src/identity/authority/issue.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { configMaps, deployments, secrets, services } from '../../src/api/kubernetes/resource.ts';
import { accountIn, forgedLeaf } from '../support/authorities.ts';
import { MULTICLUSTER } from '../support/chart.ts';
import { clientOf, ensureNamespace, find, findLink, findService } from '../support/cluster-objects.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { root } from '../support/runtime-process.ts';
import { binaries } from '../testbed/binaries.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster } from '../testbed/shared.ts';

const GUIDE = path.join(root, 'docs/guides/cluster-taken-over.md');
const EAST = 'east.cluster.local';
const WEST = 'west.cluster.local';
const API = 'api.demo.svc.cluster.local';
const wait = { everyMs: 100 };

/** The commands of a page: what stands in its `sh` blocks, by the heading above. */
function commandsOf(page: string): ReadonlyMap<string, readonly string[]> {
  const sections = readFileSync(page, 'utf8').split(/^## /m).slice(1);
  return new Map(
    sections.map((text) => {
      const blocks = [...text.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block = '']) => block);
      return [text.slice(0, text.indexOf('\n')), blocks];
    }),
  );
}

/**
 * East was taken over, and somebody has its API server, its issuer's key and the token that it reads west
 * with. What the guide says to do in that hour has to work as it stands there: nobody tries commands for the
 * first time then. So they are taken from the page and run, by a shell, and after each step what it promises
 * is tried with everything that was east's.
 */
describe('the guide for a cluster that was taken over', function () {
  this.bail(true);
  const closed = closedIn(after);
  const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-taken-over-'));
  const steps = commandsOf(GUIDE);
  const tried = new Set<string>();
  let east: Cluster;
  let west: Cluster;
  let env: NodeJS.ProcessEnv;
  let gatewayPort: number;
  /** What whoever took east over has. */
  let stolen: { authority: Authority; token: string };
  let open: tls.TLSSocket;
  /** What runs in each cluster besides its gateway: signer and controller. */
  const running = new Map<Cluster, readonly ChildProcess[]>();

  before(async () => {
    [east, west] = await Promise.all([startCluster({ name: 'east' }), bareCluster('west')]);
    closed([east, west], () => Promise.all([east.stop(), west.stop()]));
    env = await environment();
    closed(dir, (one) => rmSync(one, { recursive: true, force: true }));
    const origin = closed(
      createServer((_, response) => response.end('hello')),
      (one) => one.close(),
    );
    origin.listen(0, address(17));
    await once(origin, 'listening');
    const { port } = origin.address() as AddressInfo;
    await ensureNamespace(west, 'demo');
    await ensureNamespace(east, 'demo');
    for (const [cluster, name] of [
      [west, 'api'],
      [east, 'web'],
    ] as const)
      await cluster.apply(exported(name, port));
  });

  const section = (name: string): readonly string[] => {
    const found = [...steps.keys()].find((heading) => heading.startsWith(name));
    if (found === undefined) throw new Error(`${GUIDE}: no section "${name}"`);
    tried.add(found);
    return steps.get(found) ?? [];
  };

  it('begins with two clusters that trust each other, each with its own anchor', async () => {
    const [install = '', exchange = '', link = '', ...more] = section('Before');
    expect(more).to.deep.equal([]);
    await shell(install);
    await Promise.all([live(west), live(east)]);
    await shell(exchange);
    await shell(link);
    await startGateway();
    stolen = { authority: await authorityOf(east), token: await tokenOfEast() };
    expect(await asked(stolen.authority, accountIn(EAST))).to.equal(200);
    expect(await reads(stolen.token)).to.equal('may read');
    await eventually('the mirror', () => findService(west, 'demo', 'web-east'), wait);
  });

  it("is about a cluster that cannot name anybody of west's, even before anything is done", async () => {
    expect(await asked(stolen.authority, accountIn(WEST, 'api', 'demo'))).to.equal('refused');
  });

  it('1: cuts the Link, with mirrors and credentials', async () => {
    await run('1. ');
    expect(await findLink(west, MULTICLUSTER, 'east')).to.equal(undefined);
    expect(await findService(west, 'demo', 'web-east')).to.equal(undefined);
    const ref = { namespace: MULTICLUSTER, name: 'cluster-credentials-east' };
    expect(await find(west, secrets, ref)).to.equal(undefined);
  });

  it('2, when there is no time: takes it out of the ConfigMap by one command, until the next upgrade brings it back', async () => {
    const text = readFileSync(GUIDE, 'utf8');
    const command = /`(kubectl [^`]* patch configmap linkspan-anchors [^`]*)`/.exec(text)?.[1] ?? '';
    open = await connect(stolen.authority, accountIn(EAST));
    const ended = once(open, 'close');
    await shell(command);
    await ended;
    expect(await asked(stolen.authority, accountIn(EAST))).to.equal('refused');
    expect(await asked(await authorityOf(west), accountIn(WEST))).to.equal(200);
    await shell('linkspan upgrade --context west --apply');
    await eventually(
      'it is back',
      async () => (await asked(stolen.authority, accountIn(EAST))) === 200,
      wait,
    );
  });

  it('2: takes its anchor away, and with it, within ten seconds, every connection that rests on it', async () => {
    open = await connect(stolen.authority, accountIn(EAST));
    const connection = open;
    await run('2. ');
    await eventually('it has ended', () => connection.closed);
    expect(await asked(stolen.authority, accountIn(EAST))).to.equal('refused');
    expect(await asked(await authorityOf(west), accountIn(WEST))).to.equal(200);
    const args = argsOf(await find(west, deployments, { namespace: MULTICLUSTER, name: 'linkerd-gateway' }));
    expect(args).not.to.include('--allow-trust-domain');
    expect((await anchors())?.data ?? {}).to.deep.equal({});
  });

  it('3: ends what it reads west with', async () => {
    await run('3. ');
    await eventually('it may read nothing', async () => (await reads(stolen.token)) !== 'may read', wait);
    // An API server remembers for ten seconds whom a token proved (kube-apiserver's token cache).
    await eventually('it is nobody', async () => (await reads(stolen.token)) === 'unauthorized', wait);
  });

  it('4: shows who is still let in by name', async () => {
    const annotate = ['-n', 'demo', 'annotate', 'service', 'api'];
    await west.kubectl(...annotate, `linkspan.dev/allowed-clients=${accountIn(EAST)}`);
    expect(await run('4. ')).to.match(/demo +api +web\.demo\S+east\.cluster\.local/);
    await west.kubectl(...annotate, 'linkspan.dev/allowed-clients-');
    expect(await run('4. ')).to.equal('');
  });

  it('5: says that nothing is left', async () => {
    const said = await run('5. ');
    expect(said).not.to.contain('east.cluster.local');
    expect(said).to.match(/√ trust anchors can vouch for those that they should, and for nobody else/);
  });

  it('6: takes it back with a new anchor, and still refuses who has the old one', async () => {
    // What ran in it does so no more.
    await Promise.all((running.get(east) ?? []).map(stop));
    await east.restart('etcd', { wipe: true });
    await ensureNamespace(east, 'demo');
    const [install = '', back = '', ...more] = section('6. ');
    expect(more).to.deep.equal([]);
    await shell(install);
    await live(east);
    await shell(back);
    const renewed = await authorityOf(east);
    await eventually('east is back', async () => (await asked(renewed, accountIn(EAST))) === 200, wait);
    expect(await asked(stolen.authority, accountIn(EAST))).to.equal('refused');
    expect(await reads(stolen.token)).to.equal('unauthorized');
  });

  it('has been tried from its first command to its last', () => {
    expect([...steps.keys()].filter((heading) => !tried.has(heading))).to.deep.equal([]);
  });

  /** All blocks of a section. @returns what they printed */
  async function run(name: string): Promise<string> {
    let said = '';
    for (const block of section(name)) said += await shell(block);
    return said;
  }

  /**
   * Runs commands as a person pastes them; each has to succeed. `check` finds no pods here, so it alone may
   * say that something is wrong.
   */
  function shell(commands: string): Promise<string> {
    const text = commands.replaceAll(/^(linkspan check .*)$/gm, '{ $1 || true; }');
    return new Promise((resolve, reject) => {
      execFile(
        'bash',
        ['--norc', '-euo', 'pipefail', '-c', text],
        { env, cwd: dir },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else reject(new Error(`${text}\n${stdout}${stderr}`));
        },
      );
    });
  }

  /**
   * `linkspan`, `kubectl` and a kubeconfig with both contexts, as a person has them. There are no nodes, so
   * nothing becomes ready and nobody waits for it.
   */
  async function environment(): Promise<NodeJS.ProcessEnv> {
    const { kubectl, helm } = binaries(['kubectl', 'helm']);
    const bin = path.join(dir, 'bin');
    mkdirSync(bin);
    const script = (name: string, text: string) => {
      writeFileSync(path.join(bin, name), `#!/bin/bash\n${text}\n`);
      chmodSync(path.join(bin, name), 0o755);
    };
    script('kubectl', `exec '${kubectl}' "$@"`);
    script(
      'linkspan',
      `[[ $1 =~ ^(install|upgrade|check)$ ]] && set -- "$@" --wait 0s\nexec '${process.execPath}' '${root}/bin/linkspan.js' "$@"`,
    );
    const [first, second] = [east, west].map((one) => parse(one.kubeconfig) as Record<string, object[]>);
    const joined = Object.fromEntries(
      ['clusters', 'contexts', 'users'].map((key) => [
        key,
        [...(first?.[key] ?? []), ...(second?.[key] ?? [])],
      ]),
    );
    const file = path.join(dir, 'kubeconfig');
    writeFileSync(file, stringify({ ...first, ...joined }), { mode: 0o600 });
    return {
      ...process.env,
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      KUBECONFIG: file,
      LINKSPAN_HELM: helm,
    };
  }

  /** What a cluster has that has nodes: a signer, a controller, and a load balancer with an address. */
  async function live(cluster: Cluster): Promise<void> {
    const issuerDir = path.join(dir, `issuer-${cluster.name}-${Date.now()}`);
    mkdirSync(issuerDir);
    const ref = { namespace: MULTICLUSTER, name: 'linkspan-issuer' };
    for (const [name, encoded] of Object.entries((await find(cluster, secrets, ref))?.data ?? {}))
      writeFileSync(path.join(issuerDir, name), Buffer.from(encoded, 'base64'), { mode: 0o600 });
    const installed = async (name: string, ...own: string[]) => {
      const args = argsOf(await find(cluster, deployments, { namespace: MULTICLUSTER, name }));
      expect(args, name).not.to.deep.equal([]);
      return start([
        ...args.filter((arg) => !/^--(admin|issuer-dir)=/.test(arg)),
        `--admin=127.0.0.1:${await freePort()}`,
        `--kubeconfig=${cluster.kubeconfigFile}`,
        ...own,
      ]);
    };
    running.set(cluster, [
      await installed('linkspan-signer', `--issuer-dir=${issuerDir}`),
      await installed('linkspan-controller'),
    ]);
    const status = { status: { loadBalancer: { ingress: [{ ip: address(19) }] } } };
    await clientOf(cluster).patch(services, { namespace: MULTICLUSTER, name: 'linkerd-gateway' }, status, {
      type: 'merge',
      subresource: 'status',
    });
    await eventually(
      'the anchors are published',
      () => find(cluster, configMaps, { namespace: MULTICLUSTER, name: 'linkspan-trust' }),
      wait,
    );
  }

  /** West's gateway, with the arguments that were installed and the account that it has there. */
  async function startGateway(): Promise<void> {
    const token = (await west.kubectl('-n', MULTICLUSTER, 'create', 'token', 'linkerd-gateway')).trim();
    const config = parse(west.kubeconfig) as { users: { user: object }[] };
    for (const one of config.users) one.user = { token };
    const kubeconfig = path.join(dir, 'gateway.kubeconfig');
    writeFileSync(kubeconfig, stringify(config), { mode: 0o600 });
    const [port, admin] = [await freePort(), await freePort()];
    gatewayPort = port;
    const ref = { namespace: MULTICLUSTER, name: 'linkerd-gateway' };
    start([
      ...argsOf(await find(west, deployments, ref)).filter((arg) => !/^--(listen|admin)=/.test(arg)),
      `--listen=127.0.0.1:${port}`,
      `--admin=127.0.0.1:${admin}`,
      `--kubeconfig=${kubeconfig}`,
    ]);
    await eventually(
      'the gateway is ready',
      async () => {
        const answer = await fetch(`http://127.0.0.1:${admin}/ready`).catch(() => undefined);
        return answer?.ok === true;
      },
      wait,
    );
  }

  function start(args: readonly string[]): ChildProcess {
    const child = spawn(process.execPath, [path.join(root, 'bin/linkspan.js'), ...args], {
      stdio: ['ignore', 'ignore', process.env['LINKSPAN_TEST_LOG'] === undefined ? 'ignore' : 'inherit'],
    });
    return closed(child, stop);
  }

  async function authorityOf(cluster: Cluster): Promise<Authority> {
    const secret: V1Secret | undefined = await find(cluster, secrets, {
      namespace: MULTICLUSTER,
      name: 'linkspan-issuer',
    });
    const file = (key: string) => ({
      path: key,
      text: Buffer.from(secret?.data?.[key] ?? '', 'base64').toString('utf8'),
    });
    return parseAuthority({ cert: file('tls.crt'), key: file('tls.key'), ca: file('ca.crt') });
  }

  const gatewayIdentity = accountIn(WEST, 'linkerd-gateway', MULTICLUSTER);

  /** One request to west's gateway. @returns the status, or that there was no answer */
  async function asked(authority: Authority, identity: string): Promise<number | 'refused'> {
    const { ca } = await authorityOf(west);
    const leaf = { ...(await forgedLeaf(authority, identity)), ca };
    const client = new MeshClient({ port: gatewayPort, gatewayIdentity, identity: leaf });
    try {
      return (await client.request('http1', API, { path: '/hello' })).status;
    } catch {
      return 'refused';
    } finally {
      client.close();
    }
  }

  /** A connection to west's gateway that stays open. */
  async function connect(authority: Authority, identity: string): Promise<tls.TLSSocket> {
    const { cert, key } = await forgedLeaf(authority, identity);
    const socket = tls.connect({
      host: '127.0.0.1',
      port: gatewayPort,
      servername: gatewayIdentity,
      ALPNProtocols: [STREAMS_ALPN, TRANSPORT_HEADER_ALPN],
      cert,
      key,
      ca: (await authorityOf(west)).ca,
      checkServerIdentity: () => undefined,
    });
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'secureConnect');
    return socket;
  }

  /** The token with which east reads west, as `link` in east would have it. */
  const tokenOfEast = async () =>
    (await west.kubectl('-n', MULTICLUSTER, 'create', 'token', 'mirror-east')).trim();

  async function reads(token: string): Promise<string> {
    const config = parse(west.kubeconfig) as { users: { user: object }[] };
    for (const one of config.users) one.user = { token };
    const access = loadAccess({ text: stringify(config), source: 'the test' });
    const client = new KubeClient(access, { clock: systemClock, random: Math.random, maxTries: 1 });
    try {
      await client.list(services, {});
      return 'may read';
    } catch (error) {
      return codeOf(error) === 'KUBE_UNAUTHORIZED' ? 'unauthorized' : String(error);
    } finally {
      await client.close();
    }
  }

  const anchors = (): Promise<V1ConfigMap | undefined> =>
    find(west, configMaps, { namespace: MULTICLUSTER, name: 'linkspan-anchors' });
});

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

function argsOf(deployment: V1Deployment | undefined): string[] {
  return deployment?.spec?.template.spec?.containers[0]?.args ?? [];
}

/** A Service that is exported, with an endpoint on this machine. */
function exported(name: string, port: number): object[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'demo', labels: { 'mirror.linkerd.io/exported': 'true' } },
      spec: { ports: [{ name: 'http', port: 80, targetPort: port, appProtocol: 'http' }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${name}-1`,
        namespace: 'demo',
        labels: {
          'kubernetes.io/service-name': name,
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: [address(17)], conditions: { ready: true } }],
      ports: [{ name: 'http', port, protocol: 'TCP' }],
    },
  ];
}

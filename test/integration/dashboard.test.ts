import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { CONTROLLER_ADMIN_PORT, IMPORT_NAMESPACES } from '../../src/api/names.ts';
import type { ServiceAnswer } from '../../src/dashboard/answers.ts';
import type { Tables } from '../../src/dashboard/snapshot.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { closedIn } from '../support/closed-in.ts';
import { ensureNamespace, findSlices } from '../support/cluster-objects.ts';
import { egressObjects } from '../support/egress-objects.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { apply, exportedObjects, installCrd, linkObjects } from '../support/linked-clusters.ts';
import { patchPodStatus } from '../support/linkerd-objects.ts';
import { LinkspanEgress } from '../support/linkspan-egress.ts';
import { addressLine } from '../support/address-line.ts';
import { PageReader, type StreamEvent, tablesAfter } from '../support/page-reader.ts';
import { root } from '../support/runtime-process.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const BIN = path.join(root, 'bin/linkspan.js');
const [CONTROLLER, EGRESS, ORIGIN, GATEWAY, GATEWAY_ADDRESS, EGRESS_ADDRESS] = [15, 16, 17, 18, 19, 20].map(
  (n) => () => address(n),
) as [() => string, () => string, () => string, () => string, () => string, () => string];
const GATEWAY_PORT = 14_143;

// What is shown is what a real controller, gateway and egress say, through real API servers, under traffic.
describe('linkspan dashboard, of two clusters', () => {
  const closed = closedIn(after);
  const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-dashboard-'));
  after(() => rmSync(dir, { recursive: true }));
  let east: Cluster;
  let west: Cluster;
  let installation: string;
  let ns: string;
  let gateway: GatewayProcess;
  let controller: ChildProcess;
  let page: PageReader;
  let looking: { readonly events: readonly StreamEvent[]; readonly close: () => void };

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    installation = await createNamespace(east, 'dashboard');
    await ensureNamespace(west, installation);
    ns = await createNamespace(west, 'shown');
    await ensureNamespace(east, ns);
    await serveOrigin();
    await apply(west, ...exportedObjects(ns, 'web', { addresses: [ORIGIN()] }));
    const issuer = await createIssuer(await createAnchor({}), {});
    const folder = (name: string) => {
      mkdirSync(path.join(dir, name));
      return path.join(dir, name);
    };
    const [gatewayAdmin, egressAdmin] = [await freePort(), await freePort()];
    gateway = closed(
      await GatewayProcess.start({
        runtime: 'node',
        dir: folder('gateway'),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        flags: [
          '--kubeconfig',
          west.kubeconfigFile,
          '--policy',
          'off',
          '--admin',
          `${GATEWAY()}:${gatewayAdmin}`,
        ],
      }),
      (one) => one.kill(),
    );
    const front = net.createServer((socket) => {
      const on = net.connect(gateway.port, '127.0.0.1');
      for (const one of [socket, on]) one.on('error', () => [socket, on].forEach((each) => each.destroy()));
      socket.pipe(on).pipe(socket);
    });
    closed(front, (one) => one.close());
    await new Promise<void>((resolve) => front.listen(GATEWAY_PORT, GATEWAY_ADDRESS(), resolve));
    const identity = folder('egress');
    const leaf = await issueLeaf(issuer, { identity: 'egress.east' });
    await writePemFiles(identity, identityFiles(leaf), { force: true });
    const link = {
      gatewayAddress: GATEWAY_ADDRESS(),
      gatewayPort: String(GATEWAY_PORT),
      gatewayIdentity: 'gateway.west',
    };
    await apply(
      east,
      ...linkObjects(west, installation, 'west', link, { [IMPORT_NAMESPACES]: ns }),
      ...egressObjects(installation, EGRESS_ADDRESS()),
    );
    closed(
      await LinkspanEgress.start({
        dir: identity,
        kubeconfig: east.kubeconfigFile,
        address: EGRESS_ADDRESS(),
        flags: ['--namespace', installation, '--admin', `${EGRESS()}:${egressAdmin}`],
      }),
      (one) => one.kill(),
    );
    controller = closed(startController(), (one) => one.kill('SIGKILL'));
    await pod(west, 'gateway', GATEWAY(), gatewayAdmin);
    await pod(east, 'egress', EGRESS(), egressAdmin);
    await pod(east, 'controller', CONTROLLER(), CONTROLLER_ADMIN_PORT);
    const asking = closed(askOn(), (one) => one.stop());
    await eventually('there is traffic', () => asking.answered() > 20, { everyMs: 100 });
    page = await open();
    looking = closed(await page.stream('/events'), ({ close }) => close());
  });

  async function serveOrigin(): Promise<void> {
    const server = http.createServer((_, response) => response.end('hello'));
    closed(server, (one) => {
      one.closeAllConnections();
      one.close();
    });
    await new Promise<void>((resolve) => server.listen(8080, ORIGIN(), resolve));
  }

  function startController(): ChildProcess {
    const where = ['--kubeconfig', east.kubeconfigFile, '--namespace', installation, '--data-path', 'relay'];
    const own = ['--replica', 'controller-0', '--log-level', 'error', '--no-annotation-exports'];
    const admin = ['--admin', `${CONTROLLER()}:${CONTROLLER_ADMIN_PORT}`];
    return spawn(process.execPath, [BIN, 'controller', ...where, ...own, ...admin], { stdio: 'inherit' });
  }

  /** Puts a process into its cluster as a pod, so that the API server leads to its admin port. */
  async function pod(cluster: Cluster, component: string, ip: string, port: number): Promise<void> {
    const name = `${component}-0`;
    const ports = [{ name: 'linkspan-admin', containerPort: port }];
    const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
    const labels = {
      'app.kubernetes.io/part-of': 'linkspan',
      'app.kubernetes.io/component': component,
      component,
    };
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: installation, labels },
      spec: {
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [{ name: component, image: 'none', ports, securityContext }],
      },
    });
    const conditions = [{ type: 'Ready', status: 'True' }];
    await patchPodStatus(cluster, installation, name, { podIP: ip, podIPs: [{ ip }], conditions });
  }

  /** Asks as a plain client of the mirror does, again and again. */
  function askOn() {
    let answered = 0;
    const ended = new AbortController();
    const get = (url: string) =>
      new Promise<void>((resolve) => {
        const request = http.get(url, { agent: false, timeout: 5000 }, (response) => {
          response.resume().once('end', () => {
            answered++;
            resolve();
          });
        });
        request.on('timeout', () => request.destroy()).on('error', () => resolve());
      });
    const going = (async () => {
      let url: string | undefined;
      while (!ended.signal.aborted) {
        const [slice] = url === undefined ? await findSlices(east, ns, 'web-west') : [];
        const ip = slice?.endpoints?.[0]?.addresses[0];
        url ??= ip === undefined ? undefined : `http://${ip}:${slice?.ports?.[0]?.port ?? 0}/`;
        if (url !== undefined) await get(url);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    const stop = async () => {
      ended.abort();
      await going;
    };
    return { answered: () => answered, stop };
  }

  async function open(): Promise<PageReader> {
    const both = [east, west].map(
      ({ kubeconfig }) => parse(kubeconfig) as Record<'clusters' | 'contexts' | 'users', []>,
    );
    const all = (key: 'clusters' | 'contexts' | 'users') => both.flatMap((one) => one[key]);
    const file = path.join(dir, 'both');
    writeFileSync(
      file,
      JSON.stringify({ clusters: all('clusters'), contexts: all('contexts'), users: all('users') }),
    );
    const flags = [
      '--kubeconfig',
      file,
      '--context',
      east.name,
      '--context',
      west.name,
      '--controller-namespace',
      installation,
    ];
    const child = spawn(process.execPath, [
      BIN,
      'dashboard',
      '--port',
      '0',
      '--no-open',
      '-t',
      '10s',
      ...flags,
    ]);
    closed(child, (one) => one.kill('SIGKILL'));
    return PageReader.enter((await addressLine(child)).trim());
  }

  /** The tables, when they are so. */
  const shown = (what: string, is: (tables: Tables) => unknown) =>
    eventually(what, () => {
      const tables = tablesAfter(looking.events);
      return is(tables) ? tables : undefined;
    });

  it('shows a Link, its mirror and both ends, as each of the processes says it', async () => {
    const key = `${east.name}/${ns}/web-west`;
    // The controller writes the status of a Link some time after the first mirror.
    const tables = await shown(
      'both ends, and all conditions',
      ({ mirrors, links }) =>
        mirrors[key]?.ends?.where &&
        links[`${east.name}/west`]?.conditions.every(({ since }) => since !== null),
    );
    expect(tables.mirrors[key]).to.include({
      cluster: 'west',
      failing: false,
      reason: 'Mirrored',
      success: 1,
    });
    expect(tables.services[`${west.name}/gateway/${ns}/web`]).to.include({ exported: true, failing: false });
    const link = tables.links[`${east.name}/west`];
    expect(link).to.include({ failing: false, keptBy: 'controller-0', address: GATEWAY_ADDRESS() });
    // Nobody probes: what is alive there nobody knows.
    const unknown = (type: string) => (type === 'GatewayAlive' ? 'Unknown' : 'True');
    for (const { type, status, since } of link?.conditions ?? []) {
      expect(status, type).to.equal(unknown(type));
      expect(Date.parse(since ?? ''), type).to.be.above(0);
    }
    expect(link?.lastWordAt).to.be.within(Date.now() - 120_000, Date.now() + 1000);
    expect(link?.trunks.map(({ pod: name, state }) => [name, state])).to.deep.equal([['egress-0', 'alive']]);
    const reports = Object.values(tables.reports).filter(({ service }) => service === `${ns}/web`);
    expect(reports.map(({ local, reason, mode }) => [local, reason, mode])).to.deep.equal([
      ['web-west', 'Mirrored', 'relay'],
    ]);
    expect(tables.contexts[east.name]).to.include({ controller: 'ok', error: null, links: 1, traffic: true });
    expect(tables.nodes['west']).to.include({ context: west.name, gateways: 1 });
    const { body: answer } = await page.json(
      `/api/service.json?context=${east.name}&namespace=${ns}&name=web-west`,
    );
    const body = answer as ServiceAnswer;
    expect(body.unread).to.deep.equal([]);
    expect(body.explanations.map(({ local, reason }) => [local, reason])).to.deep.equal([
      ['web-west', 'Mirrored'],
    ]);
  });

  it('shows a gateway that is lost as one card, with its mirror, and what it was before it was lost', async () => {
    await gateway.kill();
    const { cards, contexts, mirrors } = await shown('a card', (tables) =>
      Object.values(tables.cards).some(({ kind, mirrors: count }) => kind === 'gateway' && count > 0),
    ).catch(async (error: unknown) => {
      throw new Error(JSON.stringify(tablesAfter(looking.events).cards, null, 1), { cause: error });
    });
    const card = Object.values(cards).find(({ kind }) => kind === 'gateway');
    expect(card).to.include({ context: east.name, to: 'west', mirrors: 1 });
    expect(contexts[west.name]).to.include({ state: 'partial', asked: 1, answered: 0 });
    expect(Object.keys(mirrors)).to.include(`${east.name}/${ns}/web-west`);
  });

  it('says that the controller is silent when it is', async () => {
    controller.kill('SIGKILL');
    await shown('it is silent', ({ contexts }) => contexts[east.name]?.controller === 'silent');
  });
});

import { expect } from 'chai';
import { createServer, request, type Server } from 'node:http';
import { IMPORT_NAMESPACES } from '../../src/api/names.ts';
import {
  type FreedPort,
  isFreed,
  readShard,
  type RecordEntry,
  RECORD_SELECTOR,
  shardOfName,
} from '../../src/api/egress/egress-record.ts';
import { configMaps, services } from '../../src/api/kubernetes/resource.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import type { TargetSource } from '../../src/discovery/target-spec.ts';
import { Egress } from '../../src/egress/egress.ts';
import { RouteSource } from '../../src/egress/routes/route-source.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  findService,
  findSlices,
  remove,
} from '../support/cluster-objects.ts';
import { noNames } from '../support/host-names.ts';
import { closedIn } from '../support/closed-in.ts';
import { egressObjects } from '../support/egress-objects.ts';
import { eventually } from '../support/eventually.ts';
import { fixedIdentity } from '../support/fixed-identity.ts';
import {
  apply,
  exportedObjects,
  installCrd,
  linkObjects,
  startController,
} from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const PORTS = 'linkspan.dev/egress-ports';
const wait = { everyMs: 50 };
const log = createLogger({ name: 'relay', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' });
const shared = { clock: systemClock, random: Math.random, log };

/**
 * The whole path of a plain client: mirror → egress → mTLS → gateway → the process behind the export, each
 * found through real API servers.
 */
describe('a plain client reaches an export of another cluster', () => {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let links: string;
  let tenant: string;
  let controller: MirrorController;
  const closed = closedIn(after);
  let targets: TargetSource;
  let egress: Egress;
  let gateway: Gateway;

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'app');
    tenant = await createNamespace(west, 'tenant');
    for (const namespace of [ns, tenant]) await ensureNamespace(east, namespace);
    const origins = await Promise.all([17, 18].map((n) => origin(address(n))));
    closed(origins, () => origins.forEach((server) => server.close()));
    await apply(
      west,
      ...exportedObjects(ns, 'web', { exported: false, addresses: [address(17), address(18)] }),
    );

    const issuer = await createIssuer(await createAnchor({}), {});
    const [gatewayIdentity, egressIdentity] = await Promise.all([
      issueLeaf(issuer, { identity: 'gateway.west' }),
      issueLeaf(issuer, { identity: 'egress.east' }),
    ]);
    await startGateway(gatewayIdentity);
    await apply(
      east,
      ...linkObjects(
        west,
        links,
        'west',
        { gatewayAddress: address(19), gatewayPort: '14143', gatewayIdentity: 'gateway.west' },
        // Not what other files have exported on the shared clusters.
        { [IMPORT_NAMESPACES]: `${ns},${tenant}` },
      ),
      ...egressObjects(links, address(20)),
    );
    await startEgress(egressIdentity, links);
    controller = closed(startController(east, { namespace: links, dataPath: 'relay' }), (one) => one.stop());
  });

  it('gets answers from every replica within a moment of the label, with the proven identity of the egress', async () => {
    await change(
      west,
      services,
      { namespace: ns, name: 'web' },
      { metadata: { labels: { 'mirror.linkerd.io/exported': 'true' } } },
    );
    const answers = new Set<string>();
    await eventually(
      'both replicas answered',
      async () => {
        answers.add(await ask());
        return answers.size === 2;
      },
      wait,
    );
    expect([...answers].sort()).to.deep.equal(
      [17, 18].map((n) => `${address(n)} egress.east web.${ns}.svc.cluster.local`),
    );
  });

  it('listens on the port that the mirror says, and keeps it when the mirror is made again', async () => {
    const before = (await mirror())?.metadata?.annotations?.['linkspan.dev/egress-ports'];
    await remove(east, services, { namespace: ns, name: 'web-west' });
    await eventually('it is back', mirror, wait);
    expect((await mirror())?.metadata?.annotations?.['linkspan.dev/egress-ports']).to.equal(before);
    await eventually('it answers', ask, wait);
  });

  // A tenant wrote a victim's port on its own, older mirror, and got the victim's requests with the tokens in
  // them; 20,000 ports on two mirrors left none for anybody.
  it('goes where the record says, whatever a tenant writes on its own mirror, however old that is', async () => {
    const evil = await origin(address(16));
    let own = '';
    try {
      await apply(west, ...exportedObjects(tenant, 'evil', { addresses: [address(16)] }));
      const annotation = async (namespace: string, name: string) =>
        (await findService(east, namespace, name))?.metadata?.annotations?.[PORTS] ?? '';
      own = await eventually(
        'the tenant has a mirror with its port',
        async () => (await annotation(tenant, 'evil-west')) || undefined,
        wait,
      );
      const stolen = await annotation(ns, 'web-west');
      const all = Object.fromEntries(
        Array.from({ length: 8000 }, (_, index) => [index + 1000, index + 10_000]),
      );
      for (const ports of [stolen, JSON.stringify({ ...all, ...(JSON.parse(stolen) as object) })]) {
        const evil = { namespace: tenant, name: 'evil-west' };
        await change(east, services, evil, { metadata: { annotations: { [PORTS]: ports } } });
        // Made anew, the victim's mirror is the younger one.
        await remove(east, services, { namespace: ns, name: 'web-west' });
        await eventually('it answers again', ask, wait);
        for (let count = 0; count < 20; count++) expect(await ask()).to.contain(`web.${ns}.svc`);
        await eventually(
          'the annotation is put right',
          async () => (await annotation(tenant, 'evil-west')) === own,
          wait,
        );
        expect(await annotation(ns, 'web-west')).to.equal(stolen);
        const recorded = await recordedPorts();
        expect(recorded.filter(isOurs).map(([, { mirror }]) => mirror)).to.have.members([
          `${ns}/web-west`,
          `${tenant}/evil-west`,
        ]);
        expect(recorded.map(([port]) => port)).to.include.members(egress.ports);
        expect(egress.ports).to.include.members(recorded.filter(isOurs).map(([port]) => port));
      }
    } finally {
      evil.close();
      await remove(west, services, { namespace: tenant, name: 'evil' });
    }
    // What is no longer exported gives its port back.
    await eventually(
      'the port of the tenant is closed',
      async () => {
        const left = (await recordedPorts()).filter(isOurs);
        const [port = 0] = Object.values(JSON.parse(own) as Record<string, number>);
        return left.length === 1 && !egress.ports.includes(port);
      },
      wait,
    );
  });

  /**
   * What the record says who has which port. Apexes that other files have left on the shared cluster have
   * some, too.
   */
  async function recordedPorts(): Promise<[port: number, claim: Exclude<RecordEntry, FreedPort>][]> {
    const shards = await clientOf(east).list(configMaps, {
      namespace: links,
      labelSelector: RECORD_SELECTOR,
    });
    return shards.items.flatMap(({ metadata, data }) =>
      [...readShard(shardOfName(metadata?.name ?? '') ?? -1, data)].flatMap(
        ([port, entry]): [number, Exclude<RecordEntry, FreedPort>][] =>
          isFreed(entry) ? [] : [[port, entry]],
      ),
    );
  }

  function isOurs([, { mirror }]: readonly [number, { readonly mirror: string }]): boolean {
    return [ns, tenant].some((namespace) => mirror.startsWith(`${namespace}/`));
  }

  it('is refused once the target no longer exports it, even by an egress that does not know yet', async () => {
    const url = await endpoint();
    await controller.stop();
    await change(
      west,
      services,
      { namespace: ns, name: 'web' },
      { metadata: { labels: { 'mirror.linkerd.io/exported': null } } },
    );
    const refusal = await eventually(
      'the gateway refuses',
      async () => {
        const { status, body } = await get(url);
        return status === 404 && body;
      },
      wait,
    );
    expect(refusal).to.contain('is not exported by this cluster');
  });

  // Last, as it ends the gateway: what `linkspan check` asks every egress pod must tell a way that works from
  // one that does not.
  it('can say whether it reaches the gateway now, and why not', async () => {
    const [good, ...more] = await egress.tryGateways();
    expect(more).to.deep.equal([]);
    expect(good).to.include({
      gateway: `${address(19)}:14143`,
      identity: 'gateway.west',
      ok: true,
      message: '',
    });
    await gateway.stop();
    // What was found a moment ago is good for others who ask.
    const bad = await eventually('it has found out', async () => {
      const [one] = await egress.tryGateways();
      return one?.ok === false ? one : undefined;
    });
    expect(bad.message).to.contain('ECONNREFUSED');
  });

  const mirror = () => findService(east, ns, 'web-west');

  /** Where kube-proxy would send a connection to the mirror. */
  async function endpoint(): Promise<string> {
    const [slice] = await findSlices(east, ns, 'web-west');
    const ip = slice?.endpoints?.[0]?.addresses[0];
    if (ip === undefined) throw new Error('the mirror has no endpoints');
    return `http://${ip}:${slice?.ports?.[0]?.port ?? 0}/`;
  }

  async function ask(): Promise<string> {
    const { status, body } = await get(await endpoint());
    if (status !== 200) throw new Error(`${status} ${body}`);
    return body;
  }

  async function startGateway(identity: Identity): Promise<void> {
    const client = closed(new KubeClient(loadAccess({ file: west.kubeconfigFile }), shared), (one) =>
      one.close(),
    );
    targets = closed(openKubeTargets({ ...shared, client, clusterDomain: 'cluster.local' }), (one) =>
      one.close(),
    );
    gateway = closed(
      new Gateway({
        ...shared,
        listen: { host: address(19), port: 14_143 },
        identity: fixedIdentity(identity),
        targets,
        graceMs: 0,
      }),
      (one) => one.stop(),
    );
    await gateway.start();
  }

  async function startEgress(identity: Identity, namespace: string): Promise<void> {
    const client = closed(new KubeClient(loadAccess({ file: east.kubeconfigFile }), shared), (one) =>
      one.close(),
    );
    egress = closed(
      new Egress({
        ...shared,
        identity: fixedIdentity(identity),
        listenAddress: address(20),
        names: noNames(systemClock),
        graceMs: 0,
      }),
      (one) => one.stop(),
    );
    const routes = closed(
      new RouteSource({
        ...shared,
        client,
        namespace,
        onRoutes: (found) => egress.update(found),
      }),
      (one) => one.stop(),
    );
    routes.start();
  }
});

async function origin(host: string): Promise<Server> {
  const server = createServer((incoming, response) => {
    response.end(`${host} ${String(incoming.headers['l5d-client-id'])} ${String(incoming.headers.host)}`);
  });
  await new Promise<void>((resolve) => server.listen(8080, host, resolve));
  return server;
}

function get(url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request(url, { agent: false, timeout: 5000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.end();
  });
}

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import { isApexClaim, readShard, shardOfName } from '../../src/api/egress/egress-record.ts';
import { configMaps, endpointSlices, services } from '../../src/api/kubernetes/resource.ts';
import { factsOf } from '../../src/api/mirror/slice-facts.ts';
import { GATEWAY_API_GROUP, type Route, SPLIT_GROUP } from '../../src/api/routing/routing-kinds.ts';
import { systemClock } from '../../src/base/clock.ts';
import { ApexRouting } from '../../src/discovery/apex-routing.ts';
import { PublishedBackends } from '../../src/egress/apexes/known-backends.ts';
import { Egress } from '../../src/egress/egress.ts';
import { LOCAL_DOMAIN } from '../../src/egress/routes/route-settings.ts';
import { RouteSource } from '../../src/egress/routes/route-source.ts';
import { endpointDial } from '../../src/gateway/endpoint-dial.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { clientAs } from '../support/account-client.ts';
import { captureLog } from '../support/captured-log.ts';
import { chartAccounts, MULTICLUSTER } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  eventReasonsIn,
  find,
  findService,
  findSlices,
  remove,
} from '../support/cluster-objects.ts';
import { egressObjects } from '../support/egress-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportObjects, exportService, ownSelectors } from '../support/exports.ts';
import { fixedIdentity } from '../support/fixed-identity.ts';
import { noNames } from '../support/host-names.ts';
import { freePort } from '../support/free-port.ts';
import {
  apply,
  installCrd,
  linkObjects,
  probedEachSecond,
  startController,
} from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { untilTaken } from '../support/passing.ts';
import { installKinds, routingKind } from '../support/linkerd-objects.ts';
import { issuedGateway, type IssuedGateway } from '../support/local-gateway.ts';
import { SetTargets } from '../support/set-targets.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster, createNamespace, sharedClusters } from '../testbed/shared.ts';
import { httpRoutes as httpRoutesResource, trafficSplits } from '../support/routing-resources.ts';

const wait = { everyMs: 50 };
const { log } = captureLog();
const shared = { clock: systemClock, random: Math.random, log };
const splits = trafficSplits<Route>();
const httpRoutes = httpRoutesResource<Route>();

// Clients without a mesh had no way to a canary in another cluster: a Service has one selector, and nobody
// followed the split beside it.
describe('a Service without selector that a split leads to another cluster', () => {
  const closed = closedIn(after);
  let east: Cluster;
  let ns: string;
  let gateway: IssuedGateway;
  let egress: Egress;

  const object = (kind: string, name: string, spec: object, annotations: object = {}) => ({
    apiVersion: kind === 'TrafficSplit' ? `${SPLIT_GROUP}/v1alpha2` : `${GATEWAY_API_GROUP}/v1`,
    kind,
    metadata: { name, namespace: ns, annotations },
    spec,
  });
  const apexService = (name: string, spec: object = {}, annotations: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: ns, annotations },
    spec: { ports: [{ port: 80, appProtocol: 'http' }], ...spec },
  });
  /** The guide's own example, but for the namespace. */
  const guideExample = () => {
    const guide = readFileSync(new URL('../../docs/guides/failover.md', import.meta.url), 'utf8');
    const block = guide.split('```yaml\n').find((one) => one.includes('name: checkout')) ?? '';
    return parseAllDocuments(block.split('```')[0] ?? '').map((one) => {
      const { metadata, ...rest } = one.toJS() as { metadata: object };
      return { ...rest, metadata: { ...metadata, namespace: ns } };
    });
  };

  async function origin(name: string, host: string): Promise<void> {
    const server = createServer((_, response) => response.setHeader('x-origin', name).end());
    await once(server.listen(8080, host), 'listening');
    closed(server, (one) => one.close());
  }

  /** Where kube-proxy would send a connection to a Service. */
  async function endpoint(name: string): Promise<string | undefined> {
    const [slice] = await findSlices(east, ns, name);
    const ip = slice?.endpoints?.[0]?.addresses[0];
    return ip === undefined ? undefined : `http://${ip}:${slice?.ports?.[0]?.port ?? 0}/`;
  }

  async function ask(name: string, headers: Record<string, string> = {}): Promise<string> {
    const url = await endpoint(name);
    if (url === undefined) return 'no endpoint';
    const call = request(url, { agent: false, headers }).end();
    const [response] = (await once(call, 'response')) as [
      NodeJS.ReadableStream & { statusCode: number; headers: Record<string, string> },
    ];
    response.resume();
    return response.statusCode === 200 ? (response.headers['x-origin'] ?? '') : String(response.statusCode);
  }

  async function spread(count: number): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (let n = 0; n < count; n++) {
      const from = await ask('checkout');
      counts[from] = (counts[from] ?? 0) + 1;
    }
    return counts;
  }

  const condition = async (name: string, type = 'FailoverReady') => {
    const service: V1Service | undefined = await findService(east, ns, name);
    return service?.status?.conditions?.find((one) => one.type === `linkspan.dev/${type}`);
  };
  const told = (name: string, reason: string) =>
    eventually(`${name}: ${reason}`, async () => (await condition(name))?.reason === reason, wait);
  /** The apexes in the record. */
  async function claims(): Promise<string[]> {
    const { items } = await clientOf(east).list(configMaps, { namespace: MULTICLUSTER });
    const entries = items.flatMap(({ metadata, data }) => [
      ...readShard(shardOfName(metadata?.name ?? '') ?? -1, data).values(),
    ]);
    return entries.filter(isApexClaim).map(({ mirror, port }) => `${mirror}:${port}`);
  }

  const run = (...args: readonly string[]) => {
    const where = ['--kubeconfig', east.kubeconfigFile, '--controller-namespace', MULTICLUSTER];
    return keptLinkspan(...args, ...where);
  };
  const runs = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await untilTaken(() => run(...args));
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const shown = () => runs('failover', '-n', ns);
  /**
   * The guide's own commands about it, but for the namespace, and with a ramp for which a test has patience.
   */
  const guideCommand = (verb: string, ...more: readonly string[]) => {
    const guide = readFileSync(new URL('../../docs/guides/failover.md', import.meta.url), 'utf8');
    const line = guide
      .split('\n')
      .find((one) => one.startsWith(`linkspan ${verb} `) && one.includes('checkout'));
    const words = (line ?? '')
      .replace(/ --context \w+/, '')
      .split(' ')
      .slice(1);
    const said = { '1m': '2s', 'shop/checkout': `${ns}/checkout` } as Record<string, string>;
    return [...words.map((word) => said[word] ?? word), ...more];
  };
  const isServedBy = (...wanted: readonly string[]) =>
    eventually(
      `served by ${wanted.join()}`,
      async () =>
        Object.keys(await spread(60))
          .sort()
          .join() === wanted.join(),
      wait,
    );

  /** The shares of `checkout` at the egress, in basis points. */
  const divided = () =>
    [...egress.ruleDivisions()]
      .filter(([group]) => group === `${ns}/checkout`)
      .flatMap(([, { backends }]) => backends.map(({ name, share }) => `${name} ${share}`))
      .sort()
      .join();

  before(async () => {
    const { west } = await sharedClusters();
    east = closed(await bareCluster('apexes'), (one) => one.stop());
    await installCrd(east);
    ns = await createNamespace(west, 'apexes');
    await ensureNamespace(east, ns);
    await east.apply(await chartAccounts());
    await installKinds(east, [
      routingKind(SPLIT_GROUP, 'TrafficSplit', 'trafficsplits', ['v1alpha1', 'v1alpha2']),
      routingKind(GATEWAY_API_GROUP, 'HTTPRoute', 'httproutes', ['v1']),
      routingKind(GATEWAY_API_GROUP, 'ReferenceGrant', 'referencegrants', ['v1beta1']),
    ]);
    // Of one pod, nobody could be asked to bear more than it does.
    const own = [15, 16, 17].map(address);
    for (const host of own) await origin('web', host);
    await origin('west', address(18));
    const targets = new SetTargets();
    targets.set(`web.${ns}.svc.cluster.local`, [{ host: address(18), port: 8080, ready: true }], 'http1');
    const listen = { host: address(19), port: 14_143 };
    const probePort = await freePort();
    const prober = createServer((_, response) => response.end('ready\n'));
    await once(prober.listen(probePort, address(19)), 'listening');
    closed(prober, (one) => {
      one.closeAllConnections();
      one.close();
    });
    gateway = closed(await issuedGateway('gateway.west', targets, { listen }), (one) => one.close());
    await apply(
      east,
      ...linkObjects(west, MULTICLUSTER, 'west', {
        gatewayAddress: address(19),
        gatewayPort: '14143',
        gatewayIdentity: 'gateway.west',
        probeSpec: probedEachSecond(probePort),
        ...ownSelectors(ns),
      }),
      ...egressObjects(MULTICLUSTER, address(20), { groups: 4193 }),
    );
    await exportService(west, ns, 'web', { test: ns });
    const endpoints = own.map((host) => ({ addresses: [host], conditions: { ready: true } }));
    await apply(east, ...exportObjects(ns, 'web', { test: 'own', as: 'nothing', endpoints }));
    const weights = {
      enabled: true,
      controllers: [],
      clusterDomain: 'cluster.local',
      scoped: false,
      lookMs: 300,
    };
    const controller = startController(east, { namespace: MULTICLUSTER, dataPath: 'relay', weights });
    closed(controller, (one) => one.stop());
    const client = closed(await clientAs(east, { name: 'linkspan-egress' }, shared), (one) => one.close());
    const apexes: ApexRouting = closed(
      new ApexRouting({
        ...shared,
        client,
        clusterDomain: LOCAL_DOMAIN,
        lookMs: 300,
        onChange: () => routes.apexChanged(),
      }),
      (one) => one.stop(),
    );
    const routes: RouteSource = closed(
      new RouteSource({
        ...shared,
        client,
        namespace: MULTICLUSTER,
        apexes,
        onRoutes: (found) => egress.update(found),
      }),
      (one) => one.stop(),
    );
    egress = closed(
      new Egress({
        ...shared,
        identity: fixedIdentity(await issueLeaf(gateway.issuer, { identity: 'egress.east' })),
        listenAddress: address(20),
        names: noNames(systemClock),
        known: new PublishedBackends({
          slices: routes.slices,
          links: routes.links,
          local: apexes.leaves,
          clock: systemClock,
        }),
        local: { targets: apexes.leaves, dial: endpointDial },
        graceMs: 0,
      }),
      (one) => one.stop(),
    );
    routes.start();
    await eventually('the mirror', () => findService(east, ns, 'web-west'), wait);
  });

  it('gets 90/10 of its requests to each, and says that it is ready', async () => {
    await east.apply(guideExample());
    await eventually('it answers', async () => /^(web|west)$/.test(await ask('checkout')), wait);
    const before = await findService(east, ns, 'checkout');
    const counts = await spread(400);
    expect(counts).to.have.keys('web', 'west');
    expect(counts['west']).to.be.within(15, 70);
    await told('checkout', 'PrimaryServing');
    expect(await condition('checkout')).to.include({ status: 'True' });
    expect(await claims()).to.deep.equal([`${ns}/checkout:80`]);
    expect(await shown())
      .to.match(/checkout +0 +web +90\.00%/)
      .and.to.match(/checkout +0 +web-west +10\.00%/);
    // Nothing of it but its status is written.
    const { metadata, spec } = before ?? {};
    expect(metadata?.labels).to.equal(undefined);
    expect(metadata?.annotations ?? {}).not.to.have.any.keys('linkspan.dev/egress-ports');
    expect(spec?.selector).to.equal(undefined);
  });

  // Of a canary only all of its cluster could be drained.
  it('sends no new request to a cluster that is drained for it alone, and gives it back along the ramp', async () => {
    expect(await runs(...guideCommand('drain', '--dry-run'))).to.match(/checkout +10% +0% /);
    expect(await findService(east, ns, 'checkout')).not.to.have.nested.property(
      'metadata.annotations.drain\\.linkspan\\.dev/west',
    );
    expect(await runs(...guideCommand('drain', '--wait'))).to.contain('Draining west in');
    expect(await findService(east, ns, 'checkout')).to.have.nested.property(
      'metadata.annotations.drain\\.linkspan\\.dev/west',
    );
    await isServedBy('web');
    expect(await shown()).to.match(/checkout +0 +web-west +0\.00% .*Drained/);
    expect(await eventReasonsIn(east, ns))
      .to.include('DrainStarted')
      .and.to.include('DrainDone');
    expect(await runs(...guideCommand('undrain'))).to.contain('its share comes back over 2s');
    await isServedBy('web', 'west');
    await eventually('all of it', async () => /web-west +10\.00%/.test(await shown()), wait);
  });

  it('cannot be drained where nobody of it serves, or nobody else could', async () => {
    const drain = ['drain', 'cluster', 'north', '--service', `${ns}/checkout`];
    const { code, stderr } = await run(...drain);
    expect(code).to.equal(1);
    expect(stderr).to.contain(`[DRAIN_NO_MEMBER] no backend of ${ns}/checkout leads to north`);
    // The pods here are gone: nobody else can serve.
    const pods = { namespace: ns, name: 'web-1' };
    const before = await find(east, endpointSlices, pods);
    await change(east, endpointSlices, pods, { endpoints: [] });
    await eventually('it is refused', async () => {
      const refused = await run(...guideCommand('drain', '--dry-run'));
      return refused.code === 1 && refused.stderr.includes('[DRAIN_SOLE_BACKEND] nobody but west can serve');
    });
    await change(east, endpointSlices, pods, { endpoints: before?.endpoints });
    await isServedBy('web', 'west');
  });

  it('follows a header to the canary, which the status of the route says', async () => {
    const parentRefs = [{ group: '', kind: 'Service', name: 'checkout', port: 80 }];
    const rules = [
      {
        matches: [{ headers: [{ name: 'x-canary', value: 'yes' }] }],
        backendRefs: [{ name: 'web-west', port: 80 }],
      },
      { backendRefs: [{ name: 'web', port: 80 }] },
    ];
    await east.apply([object('HTTPRoute', 'checkout', { parentRefs, rules })]);
    const isFollowed = async () => {
      const answers = [await ask('checkout', { 'x-canary': 'yes' }), await ask('checkout')];
      return answers.join() === 'west,web';
    };
    await eventually('it is followed', isFollowed, wait);
    const status = async () => (await find(east, httpRoutes, { namespace: ns, name: 'checkout' }))?.status;
    const parent = await eventually('its status', async () => (await status())?.parents?.[0], wait);
    expect(parent.controllerName).to.equal('linkspan.dev/egress');
    expect(parent.conditions?.map(({ type, status: is }) => `${type} ${is}`)).to.deep.equal([
      'Accepted True',
      'ResolvedRefs True',
    ]);
    await remove(east, httpRoutes, { namespace: ns, name: 'checkout' });
  });

  it('gives ports and endpoints back when the split goes, and gets the same ones again', async () => {
    const before = await endpoint('checkout');
    await remove(east, splits, { namespace: ns, name: 'checkout' });
    await eventually('no slices', async () => (await findSlices(east, ns, 'checkout')).length === 0, wait);
    await eventually('no ports', async () => (await claims()).length === 0, wait);
    await eventually('nothing is said', async () => (await condition('checkout')) === undefined, wait);
    await eventually('the egress lets go', () => Promise.resolve(egress.ports.length === 1), wait);
    await east.apply(guideExample().slice(1));
    await eventually('it answers', async () => /^(web|west)$/.test(await ask('checkout')), wait);
    expect(await endpoint('checkout')).to.equal(before);
  });

  it('gives them back when it gets a selector, which is told', async () => {
    const key = { namespace: ns, name: 'checkout' };
    await change(east, services, key, { spec: { selector: { app: 'checkout' } } });
    await told('checkout', 'ApexHasSelector');
    await eventually('no slices', async () => (await findSlices(east, ns, 'checkout')).length === 0, wait);
    await eventually('no ports', async () => (await claims()).length === 0, wait);
    await eventually('Event', async () => (await eventReasonsIn(east, ns)).includes('ApexHasSelector'), wait);
    await change(east, services, key, { spec: { selector: null } });
    await told('checkout', 'PrimaryServing');
  });

  it('is left to whoever else writes its endpoints', async () => {
    const [, slice] = exportObjects(ns, 'taken', { test: 'own', as: 'nothing' }) as [
      object,
      { metadata: object },
    ];
    const labels = { 'kubernetes.io/service-name': 'taken', 'endpointslice.kubernetes.io/managed-by': 'me' };
    await east.apply([
      apexService('taken'),
      { ...slice, metadata: { name: 'taken-1', namespace: ns, labels } },
      object('TrafficSplit', 'taken', { service: 'taken', backends: [{ service: 'web-west', weight: 1 }] }),
    ]);
    await told('taken', 'ApexHasEndpoints');
    const names = (await findSlices(east, ns, 'taken')).map(({ metadata }) => metadata?.name);
    expect(names).to.deep.equal(['taken-1']);
    expect(await claims()).to.deep.equal([`${ns}/checkout:80`]);
    await remove(east, endpointSlices, { namespace: ns, name: 'taken-1' });
    await told('taken', 'PrimaryServing');
    await eventually('it answers', async () => (await ask('taken')) === 'west', wait);
  });

  // Nobody publishes facts of a mirror that nobody asks about: tiers would have had nothing to go by.
  it('has facts of the mirrors that its tiers name, and nothing is written into its split', async () => {
    const facts = async () => factsOf(await findSlices(east, ns, 'web-west'));
    expect(await facts()).to.equal(undefined);
    const key = { namespace: ns, name: 'checkout' };
    const tiers = (text: string | null) =>
      change(east, splits, key, { metadata: { annotations: { 'failover.linkspan.dev/tiers': text } } });
    await tiers('web-west; web');
    await eventually('facts', async () => (await facts())?.path === 'alive', wait);
    await eventually('it is followed', async () => (await spread(5))['west'] === 5, wait);
    expect((await find(east, splits, key))?.spec).to.deep.equal(
      (guideExample()[1] as { spec?: object }).spec,
    );
    await tiers(null);
  });

  // The controller and the egress took pods here for one endpoint that is always there; only the table
  // counted.
  it('is led on when no pod here is ready, which egress, status and table say by the same numbers', async () => {
    const key = { namespace: ns, name: 'checkout' };
    const tiers = (text: string | null) =>
      change(east, splits, key, { metadata: { annotations: { 'failover.linkspan.dev/tiers': text } } });
    const ready = (...conditions: boolean[]) =>
      change(
        east,
        endpointSlices,
        { namespace: ns, name: 'web-1' },
        { endpoints: conditions.map((is) => ({ addresses: [address(17)], conditions: { ready: is } })) },
      );
    const table = async () => {
      const where = ['-n', ns, '--kubeconfig', east.kubeconfigFile, '--controller-namespace', MULTICLUSTER];
      return (await keptLinkspan('failover', ...where)).stdout;
    };
    await tiers('web; web-west');
    await eventually('divided', () => divided() === 'web 10000,web-west 0', wait);
    await ready(false);
    await eventually('divided anew', () => divided() === 'web 0,web-west 10000', wait);
    const active = async () => (await condition('checkout', 'FailoverActive'))?.reason;
    await eventually('the status', async () => (await active()) === 'NoReadyEndpoints', wait);
    expect(await table())
      .to.match(/checkout +0 +web +0\.00% +0\/1 .*NoReadyEndpoints/)
      .and.to.match(/checkout +1 +web-west +100\.00%/);
    await ready(true);
    await eventually('it is back', () => divided() === 'web 10000,web-west 0', wait);
    await told('checkout', 'PrimaryServing');
    await tiers(null);
  });

  // Clients without a mesh come by the egress, those with one by the weights: both are told by one split, in
  // which what Linkspan writes must not be taken for what its author wrote.
  it('is led by a split whose weights are managed as those weights lead sidecars', async () => {
    const key = { namespace: ns, name: 'checkout' };
    const said = (controller: string | null, primary: string | null) => ({
      metadata: {
        labels: { 'failover.linkerd.io/controlled-by': controller },
        annotations: { 'failover.linkerd.io/primary-service': primary },
      },
    });
    const split = async () => {
      const spec = (await find(east, splits, key))?.spec as
        | { backends: { service: string; weight: number }[] }
        | undefined;
      return (spec?.backends ?? [])
        .map(({ service, weight }) => `${service} ${weight}`)
        .sort()
        .join();
    };
    const both = (what: string, weights: string, shares = weights) =>
      eventually(
        what,
        async () => {
          expect([await split(), divided()]).to.deep.equal([weights, shares]);
          return true;
        },
        wait,
      );
    const place = ['cluster', 'west', '--service', `${ns}/checkout`];
    await change(east, splits, key, said('linkspan', 'web-west'));
    await both('the primary Service serves', 'web 0,web-west 10000');
    await runs('drain', ...place, '--ramp', '0');
    await both('those serve whom the drain leaves', 'web 10000,web-west 0');
    await isServedBy('web');
    await runs('undrain', ...place);
    await both('the cluster has its share back', 'web 0,web-west 10000');
    await isServedBy('west');
    await told('checkout', 'PrimaryServing');
    await change(east, splits, key, said(null, null));
    await both('what the author wrote holds again', 'web 90,web-west 10', 'web 9000,web-west 1000');
  });

  it('can have tiers alone, and is let go of when they go', async () => {
    await east.apply([apexService('tiered', {}, { 'failover.linkspan.dev/tiers': 'web-west; web' })]);
    await eventually('it answers', async () => (await ask('tiered')) === 'west', wait);
    await told('tiered', 'PrimaryServing');
    await change(
      east,
      services,
      { namespace: ns, name: 'tiered' },
      { metadata: { annotations: { 'failover.linkspan.dev/tiers': null } } },
    );
    await eventually('no slices', async () => (await findSlices(east, ns, 'tiered')).length === 0, wait);
    await eventually('nothing is said', async () => (await condition('tiered')) === undefined, wait);
  });

  // A tenant must not lead requests to Services of another namespace whose owner does not allow it.
  it('leads to no other namespace without a ReferenceGrant there', async () => {
    await ensureNamespace(east, 'vault');
    const endpoints = [{ addresses: [address(17)], conditions: { ready: true } }];
    await apply(east, ...exportObjects('vault', 'secret', { test: 'own', as: 'nothing', endpoints }));
    const parentRefs = [{ group: '', kind: 'Service', name: 'thief' }];
    const rules = [{ backendRefs: [{ name: 'secret', namespace: 'vault', port: 80 }] }];
    await east.apply([apexService('thief'), object('HTTPRoute', 'thief', { parentRefs, rules })]);
    await eventually('it is refused', async () => (await ask('thief')) === '500', wait);
    await east.apply([
      {
        apiVersion: `${GATEWAY_API_GROUP}/v1beta1`,
        kind: 'ReferenceGrant',
        metadata: { name: 'allow', namespace: 'vault' },
        spec: {
          from: [{ group: GATEWAY_API_GROUP, kind: 'HTTPRoute', namespace: ns }],
          to: [{ group: '', kind: 'Service' }],
        },
      },
    ]);
    await eventually('it is led there', async () => (await ask('thief')) === 'web', wait);
  });

  it('is forgotten with its Service', async () => {
    for (const name of ['checkout', 'taken', 'thief']) await remove(east, services, { namespace: ns, name });
    await eventually('no ports', async () => (await claims()).length === 0, wait);
  });
});

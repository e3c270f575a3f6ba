import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { FAILOVER_TIERS } from '../../src/api/failover/failover-names.ts';
import { services } from '../../src/api/kubernetes/resource.ts';
import { GATEWAY_API_GROUP, type Route } from '../../src/api/routing/routing-kinds.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { kubeconfigAs } from '../support/account-client.ts';
import { chartAccounts, MULTICLUSTER } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, ensureNamespace, find, findSlices } from '../support/cluster-objects.ts';
import { egressObjects } from '../support/egress-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportObjects, exportService, ownSelectors } from '../support/exports.ts';
import { freePort } from '../support/free-port.ts';
import { keptAuthority } from '../support/kept-authority.ts';
import {
  apply,
  installCrd,
  linkObjects,
  probedEachSecond,
  startController,
} from '../support/linked-clusters.ts';
import { installKinds, routingKind } from '../support/linkerd-objects.ts';
import { LinkspanEgress } from '../support/linkspan-egress.ts';
import { issuedGateway, type IssuedGateway } from '../support/local-gateway.ts';
import { httpRoutes as httpRoutesResource } from '../support/routing-resources.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { SetTargets } from '../support/set-targets.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster, createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const httpRoutes = httpRoutesResource<Route>();
/** Where each of those who answer stands. */
const ORIGINS = { west: 15, north: 16, canary: 17 } as const;
const GATEWAYS = { west: 18, north: 19 } as const;
/** As an installation has it that is not the usual one: names of ServiceProfiles end with it. */
const DOMAIN = 'east.example';
type Answers = Readonly<Record<string, number>>;

// Rules about a federated Service are read by the process that serves it, from the objects of their authors:
// each reader was tested by itself, and nobody had sent a request through `linkspan egress` that met one.
for (const runtime of RUNTIMES)
  describe(`rules about a federated Service, followed by linkspan egress on ${runtime}`, () => {
    const closed = closedIn(after);
    let east: Cluster;
    let ns: string;
    let egress: LinkspanEgress;
    const gateways = new Map<string, IssuedGateway>();

    /** Where kube-proxy would send a connection to the federated Service. */
    async function endpoint(): Promise<string> {
      const slices = await findSlices(east, ns, 'web-federated');
      const led = slices.find(({ endpoints }) => (endpoints ?? []).length > 0);
      const ip = led?.endpoints?.[0]?.addresses[0];
      if (ip === undefined) throw new Error('it has no endpoints');
      return `http://${ip}:${led?.ports?.[0]?.port ?? 0}`;
    }

    /** Who answers: a cluster, the canary, or else the status. */
    async function ask(at: string, headers: Record<string, string> = {}): Promise<string> {
      const call = request(at, { agent: false, headers }).end();
      const [response] = (await once(call, 'response')) as [
        NodeJS.ReadableStream & { statusCode: number; headers: Record<string, string> },
      ];
      response.resume();
      return response.statusCode === 200 ? (response.headers['x-origin'] ?? '') : String(response.statusCode);
    }

    async function spread(
      count: number,
      target = '/',
      headers: Record<string, string> = {},
    ): Promise<Answers> {
      const at = `${await endpoint()}${target}`;
      const counts: Record<string, number> = {};
      for (let n = 0; n < count; n++) {
        const from = await ask(at, headers);
        counts[from] = (counts[from] ?? 0) + 1;
      }
      return counts;
    }

    /** Waits until a few requests in a row are answered by these, and nobody else. */
    const isServedBy = (what: string, by: readonly string[], target = '/', headers = {}) =>
      eventually(
        what,
        async () => {
          const found = Object.keys(await spread(16, target, headers)).sort();
          if (found.join() !== [...by].sort().join()) throw new Error(`answered by ${found.join()}`);
          return true;
        },
        wait,
      );

    const route = (rules: readonly object[]) => ({
      apiVersion: `${GATEWAY_API_GROUP}/v1`,
      kind: 'HTTPRoute',
      metadata: { name: 'web', namespace: ns },
      spec: { parentRefs: [{ group: '', kind: 'Service', name: 'web-federated', port: 80 }], rules },
    });
    const profile = (overrides: Readonly<Record<string, string>>) => ({
      apiVersion: 'linkerd.io/v1alpha2',
      kind: 'ServiceProfile',
      metadata: { name: `web-federated.${ns}.svc.${DOMAIN}`, namespace: ns },
      spec: {
        dstOverrides: Object.entries(overrides).map(([name, weight]) => ({
          authority: `${name}.${ns}.svc.${DOMAIN}:80`,
          weight,
        })),
      },
    });
    const drop = (plural: string) => east.kubectl('-n', ns, 'delete', plural, '--all');

    /** What the route is told by those who follow it for clients here. */
    async function told(): Promise<Readonly<Record<string, string>>> {
      const status = (await find(east, httpRoutes, { namespace: ns, name: 'web' }))?.status;
      const ours = status?.parents?.filter(({ controllerName }) => controllerName === 'linkspan.dev/egress');
      return Object.fromEntries(
        (ours ?? []).flatMap(({ conditions }) =>
          (conditions ?? []).map(({ type, status: is, reason }) => [type, `${is} ${reason}`]),
        ),
      );
    }
    const isTold = (accepted: string, resolved: string) =>
      eventually(
        `the route is told ${accepted}, ${resolved}`,
        async () => {
          expect(await told()).to.deep.equal({ Accepted: accepted, ResolvedRefs: resolved });
          return true;
        },
        wait,
      );

    async function origin(name: keyof typeof ORIGINS): Promise<void> {
      const server = createServer((_, response) => response.setHeader('x-origin', name).end());
      await once(server.listen(8080, address(ORIGINS[name])), 'listening');
      closed(server, (one) => {
        one.closeAllConnections();
        one.close();
      });
    }

    /** The gateway of a cluster, and the Link to it. */
    async function cluster(west: Cluster, name: keyof typeof GATEWAYS): Promise<void> {
      const host = address(GATEWAYS[name]);
      const targets = new SetTargets();
      const own = [{ host: address(ORIGINS[name]), port: 8080, ready: true }];
      targets.set(`web.${ns}.svc.cluster.local`, own, 'http1');
      const listen = { host, port: 14_143 };
      gateways.set(
        name,
        closed(await issuedGateway(`gateway.${name}`, targets, { listen }), (one) => one.close()),
      );
      const probePort = await freePort();
      const prober = createServer((_, response) => response.end('ready\n'));
      await once(prober.listen(probePort, host), 'listening');
      closed(prober, (one) => {
        one.closeAllConnections();
        one.close();
      });
      const spec = {
        gatewayAddress: host,
        gatewayPort: '14143',
        gatewayIdentity: `gateway.${name}`,
        probeSpec: probedEachSecond(probePort),
        ...ownSelectors(ns),
      };
      await apply(east, ...linkObjects(west, MULTICLUSTER, name, spec));
    }

    before(async () => {
      const { west } = await sharedClusters();
      east = closed(await bareCluster('federated-routes'), (one) => one.stop());
      await installCrd(east);
      ns = await createNamespace(west, 'routes');
      await ensureNamespace(east, ns);
      await east.apply(await chartAccounts());
      await installKinds(east, [
        routingKind(GATEWAY_API_GROUP, 'HTTPRoute', 'httproutes', ['v1']),
        routingKind(GATEWAY_API_GROUP, 'ReferenceGrant', 'referencegrants', ['v1beta1']),
        routingKind('linkerd.io', 'ServiceProfile', 'serviceprofiles', ['v1alpha2']),
      ]);
      for (const name of ['west', 'north', 'canary'] as const) await origin(name);
      for (const name of ['west', 'north'] as const) await cluster(west, name);
      await exportService(west, ns, 'web', {
        test: ns,
        as: 'nothing',
        federated: true,
        spec: { ports: [{ name: 'http', port: 80, targetPort: 8080, appProtocol: 'http' }] },
      });
      const endpoints = [{ addresses: [address(ORIGINS.canary)], conditions: { ready: true } }];
      const spec = { ports: [{ name: 'http', port: 80, targetPort: 8080, appProtocol: 'http' }] };
      await apply(
        east,
        ...exportObjects(ns, 'canary', { test: 'own', as: 'nothing', endpoints, spec }),
        ...egressObjects(MULTICLUSTER, address(20), { groups: 4193 }),
      );
      const weights = { enabled: false, controllers: [], clusterDomain: DOMAIN, scoped: false };
      closed(
        startController(east, {
          namespace: MULTICLUSTER,
          dataPath: 'relay',
          weights: { ...weights, lookMs: 300 },
        }),
        (one) => one.stop(),
      );
      const dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-egress-')), (one) =>
        rmSync(one, { recursive: true }),
      );
      await writePemFiles(dir, identityFiles(await keptAuthority.leaf('egress.east')), { force: true });
      const kubeconfig = path.join(dir, 'kubeconfig');
      await kubeconfigAs(east, { name: 'linkspan-egress' }, kubeconfig);
      const flags = ['--clients', 'off', '--grace', '0', '--cluster-domain', DOMAIN];
      egress = closed(
        await LinkspanEgress.start({ dir, kubeconfig, runtime, address: address(20), flags }),
        (one) => one.kill(),
      );
      await eventually('the egress is ready', async () => (await egress.ready()) === 200, wait);
      await isServedBy('both clusters serve it', ['west', 'north']);
    });

    it('HTTPRoute: what a match meets goes where it says, and all else to the clusters', async () => {
      await apply(
        east,
        route([
          {
            matches: [{ headers: [{ name: 'x-canary', value: 'yes' }] }],
            backendRefs: [{ name: 'canary', port: 80 }],
          },
          {
            matches: [{ path: { type: 'PathPrefix', value: '/part' } }],
            backendRefs: [
              { name: 'canary', port: 80, weight: 25 },
              { name: 'web-federated', port: 80, weight: 75 },
            ],
          },
        ]),
      );
      await isTold('True Accepted', 'True ResolvedRefs');
      await isServedBy('the header', ['canary'], '/', { 'x-canary': 'yes' });
      await isServedBy('a path of which no rule speaks', ['north', 'west'], '/partly');
      await isServedBy('the path', ['canary', 'north', 'west'], '/part/of/it');
      const counts = await spread(400, '/part');
      // 100 of 400, and half of the rest to each cluster.
      expect(counts).to.have.keys('canary', 'north', 'west');
      expect(counts['canary']).to.be.within(60, 145);
      expect(counts['west']).to.be.within(100, 200);
    });

    it('HTTPRoute: the part that leads to its clusters is divided by the tiers of the Service', async () => {
      const tiers = (text: string | null) =>
        change(
          east,
          services,
          { namespace: ns, name: 'web-federated' },
          { metadata: { annotations: { [FAILOVER_TIERS]: text } } },
        );
      await tiers('north; west');
      await isServedBy('the first tier', ['north']);
      await isServedBy('the first tier beside the canary', ['canary', 'north'], '/part');
      const counts = await spread(200, '/part');
      expect(counts['canary']).to.be.within(25, 80);
      await tiers(null);
      await isServedBy('both again', ['north', 'west']);
    });

    it('HTTPRoute: a backend that is not there is 500 for its part, which the status says', async () => {
      const gone = { name: 'gone', port: 80, weight: 1 };
      await apply(
        east,
        route([
          {
            matches: [{ path: { type: 'PathPrefix', value: '/part' } }],
            backendRefs: [{ name: 'canary', port: 80, weight: 1 }, gone],
          },
        ]),
      );
      await isTold('True Accepted', 'False BackendNotFound');
      await isServedBy('its part', ['500', 'canary'], '/part');
      expect((await spread(100, '/part'))['500']).to.be.within(25, 75);
      await isServedBy('all else', ['north', 'west']);
    });

    it('ServiceProfile: dstOverrides come before routes, whose status says so, and divide by weight', async () => {
      await apply(east, profile({ 'web-federated': '800m', canary: '200m' }));
      await isTold('False Overridden', 'True ResolvedRefs');
      await isServedBy('all three', ['canary', 'north', 'west'], '/part');
      const counts = await spread(400);
      expect(counts).to.have.keys('canary', 'north', 'west');
      expect(counts['canary']).to.be.within(45, 125);
      await apply(east, profile({ canary: '1' }));
      await isServedBy('all of it', ['canary']);
    });

    it('ServiceProfile: overrides that are wrong change nothing, and their end lets the route in again', async () => {
      await apply(east, profile({ canary: 'much' }));
      await isTold('True Accepted', 'False BackendNotFound');
      await isServedBy('the clusters', ['north', 'west']);
      await drop('serviceprofiles.linkerd.io');
      await drop('httproutes.gateway.networking.k8s.io');
      await isServedBy('nothing is left of it', ['north', 'west'], '/part');
    });

    it('is still followed for its clusters when one of these is lost', async () => {
      await apply(east, route([{ backendRefs: [{ name: 'web-federated', port: 80 }] }]));
      await isTold('True Accepted', 'True ResolvedRefs');
      await gateways.get('west')?.gateway.stop();
      expect(await spread(50), 'no request fails').to.deep.equal({ north: 50 });
      await drop('httproutes.gateway.networking.k8s.io');
    });
  });

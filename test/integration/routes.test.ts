import { expect } from 'chai';
import { once } from 'node:events';
import http2 from 'node:http2';
import { GATEWAY_API_GROUP, type Route, SPLIT_GROUP } from '../../src/api/routing/routing-kinds.ts';
import { customResourceDefinitions } from '../../src/api/kubernetes/resource.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { systemClock } from '../../src/base/clock.ts';
import { type FollowedRoutes } from '../../src/discovery/kube-routing.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import { clientAs } from '../support/account-client.ts';
import { captureLog } from '../support/captured-log.ts';
import { chartAccounts } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { clientOf, ensureNamespace, remove } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportedObjects } from '../support/linked-clusters.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { installKinds, routingKind } from '../support/linkerd-objects.ts';
import { issuedGateway } from '../support/local-gateway.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster } from '../testbed/shared.ts';
import { httpRoutes as httpRoutesResource } from '../support/routing-resources.ts';

const wait = { everyMs: 50 };
const HOST = 'web.demo.svc.cluster.local';
const SPLITS = routingKind(SPLIT_GROUP, 'TrafficSplit', 'trafficsplits', ['v1alpha1', 'v1alpha2']);
const HTTP_ROUTES = routingKind(GATEWAY_API_GROUP, 'HTTPRoute', 'httproutes', ['v1beta1', 'v1']);
const GRPC_ROUTES = routingKind(GATEWAY_API_GROUP, 'GRPCRoute', 'grpcroutes', ['v1']);
const GRANTS = routingKind(GATEWAY_API_GROUP, 'ReferenceGrant', 'referencegrants', ['v1beta1']);
const LINKERDS_ROUTES = routingKind('policy.linkerd.io', 'HTTPRoute', 'httproutes', ['v1beta3']);
const PROFILES = routingKind('linkerd.io', 'ServiceProfile', 'serviceprofiles', ['v1alpha2']);
const httpRoutes = httpRoutesResource<Route>();

/**
 * What people wrote about the routing of a Service in its own cluster held for clients there and for
 * Linkerd's gateway; ours sent clients of other clusters past it.
 */
describe('splits and routes in the cluster of the gateway', () => {
  const closed = closedIn(after);
  let addresses = 0;
  const { log, lines } = captureLog();
  const shared = { clock: systemClock, random: Math.random, log };
  let cluster: Cluster;
  let client: MeshClient;

  before(async () => {
    cluster = closed(await bareCluster('routes'), (one) => one.stop());
    for (const namespace of ['demo', 'other']) await ensureNamespace(cluster, namespace);
    await cluster.apply(await chartAccounts());
    await cluster.apply([
      ...(await served('demo', 'web', true)),
      ...(await served('demo', 'web-a')),
      ...(await served('demo', 'web-b')),
      ...(await served('other', 'web-c')),
    ]);
    client = await gatewayThat('all');
    await eventually('the export is known', async () => (await ask()) === 'web', wait);
  });

  /** A Service with one endpoint, an origin of this process; `exported`: for other clusters. */
  async function served(namespace: string, name: string, exported = false): Promise<object[]> {
    const host = address(12 + addresses++);
    const server = http2.createServer((request, response) => {
      response.statusCode = Number(/^\/status\/(\d+)$/.exec(request.url)?.[1] ?? 200);
      response.setHeader('x-origin', name);
      response.end();
    });
    server.listen(8080, host);
    await once(server, 'listening');
    closed(server, (one) => one.close());
    return exportedObjects(namespace, name, { addresses: [host], exported });
  }

  async function gatewayThat(routes: FollowedRoutes): Promise<MeshClient> {
    const kube = closed(await clientAs(cluster, { name: 'linkerd-gateway' }, shared), (one) => one.close());
    const options = { ...shared, client: kube, clusterDomain: 'cluster.local', profileLookMs: 300, routes };
    const targets = closed(openKubeTargets(options), (one) => one.close());
    const gateway = closed(await issuedGateway('gateway.west', targets, shared), (one) => one.close());
    await eventually('it is ready', () => Promise.resolve(targets.ready.ok), wait);
    return gateway.clientOf('client.east');
  }

  async function ask(path = '/hello', headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const response = await client.request('http2', HOST, { path, headers });
    return response.status === 200 ? String(response.headers['x-origin']) : String(response.status);
  }

  async function spread(count: number): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (let n = 0; n < count; n++) {
      const from = await ask();
      counts[from] = (counts[from] ?? 0) + 1;
    }
    return counts;
  }

  const object = (apiVersion: string, kind: string, name: string, spec: object, namespace = 'demo') => ({
    apiVersion,
    kind,
    metadata: { name, namespace },
    spec,
  });
  const split = (weights: Readonly<Record<string, number>>) =>
    object(`${SPLIT_GROUP}/v1alpha2`, 'TrafficSplit', 'canary', {
      service: 'web',
      backends: Object.entries(weights).map(([service, weight]) => ({ service, weight })),
    });
  const httpRoute = (name: string, rules: readonly object[], more: object = {}) =>
    object(`${GATEWAY_API_GROUP}/v1`, 'HTTPRoute', name, {
      parentRefs: [{ group: '', kind: 'Service', name: 'web', port: 80 }],
      rules,
      ...more,
    });
  const backend = (name: string, more: object = {}) => ({ name, port: 80, ...more });
  const drop = (plural: string) => cluster.kubectl('-n', 'demo', 'delete', plural, '--all');
  const follows = (what: string, from: string, path?: string, headers?: Record<string, string>) =>
    eventually(what, async () => (await ask(path, headers)) === from, wait);
  /** What a route is told: by our controller, of its first parent. */
  async function told(name: string): Promise<Record<string, string>> {
    const route = await clientOf(cluster).get(httpRoutes, { namespace: 'demo', name });
    const ours = route.status?.parents?.find(
      ({ controllerName }) => controllerName === 'linkspan.dev/gateway',
    );
    return Object.fromEntries((ours?.conditions ?? []).map(({ type, reason }) => [type, reason]));
  }
  const isTold = (name: string, conditions: Record<string, string>) =>
    eventually(
      `${name} is told`,
      async () => JSON.stringify(await told(name)) === JSON.stringify(conditions),
      wait,
    );

  it('are followed when their kind is installed while the gateway runs: a TrafficSplit, 90/10', async () => {
    await installKinds(cluster, [SPLITS]);
    await cluster.apply([split({ 'web-a': 90, 'web-b': 10 })]);
    await eventually('the split is followed', async () => (await ask()) !== 'web', wait);
    // Both backends have to be known: until then one may have all of it.
    await eventually('both are used', async () => (await spread(20))['web-b'] !== undefined, wait);
    const counts = await spread(500);
    expect(counts).to.have.keys('web-a', 'web-b');
    expect(counts['web-b']).to.be.within(20, 90);
  });

  it('have weights as quantities in v1alpha1, and hold while one backend is gone', async () => {
    await cluster.apply([
      object(`${SPLIT_GROUP}/v1alpha1`, 'TrafficSplit', 'canary', {
        service: 'web',
        backends: [
          { service: 'web-b', weight: '1000m' },
          { service: 'gone', weight: '1' },
        ],
      }),
    ]);
    await eventually('it is followed', async () => (await spread(10))['web-b'] === 10, wait);
  });

  it('are left as they were, and named, where one is wrong', async () => {
    await cluster.apply([
      object(`${SPLIT_GROUP}/v1alpha2`, 'TrafficSplit', 'canary', {
        service: 'web',
        backends: [{ service: 'web-a', weight: 'much' }],
      }),
    ]);
    await follows('nothing is split', 'web');
    const problems = lines.flatMap((line) => (line['problems'] as string[] | undefined) ?? []);
    expect(problems.join('\n')).to.contain('TrafficSplit canary is not valid');
    await drop('trafficsplits.split.smi-spec.io');
  });

  it('are those of dstOverrides', async () => {
    await installKinds(cluster, [PROFILES]);
    const authority = (name: string) => `${name}.demo.svc.cluster.local`;
    await cluster.apply([
      object('linkerd.io/v1alpha2', 'ServiceProfile', HOST, {
        dstOverrides: [
          { authority: authority('web-a'), weight: '500m' },
          { authority: authority('web-b'), weight: '500m' },
        ],
      }),
    ]);
    await eventually(
      'both are used',
      async () => {
        const counts = await spread(20);
        return counts['web-a'] !== undefined && counts['web-b'] !== undefined && counts['web'] === undefined;
      },
      wait,
    );
    await drop('serviceprofiles.linkerd.io');
    await follows('they end', 'web');
  });

  describe('as HTTPRoutes', () => {
    before(() => installKinds(cluster, [HTTP_ROUTES, GRPC_ROUTES, GRANTS, LINKERDS_ROUTES]));
    afterEach(async () => {
      await drop('httproutes.gateway.networking.k8s.io');
      await follows('they end', 'web');
    });

    it('lead by header to the canary, and are told that they are accepted', async () => {
      await cluster.apply([
        httpRoute('canary', [
          { matches: [{ headers: [{ name: 'x-canary', value: 'yes' }] }], backendRefs: [backend('web-b')] },
          { backendRefs: [backend('web-a')] },
        ]),
      ]);
      await follows('the others', 'web-a');
      await follows('the canary', 'web-b', '/hello', { 'x-canary': 'yes' });
      await isTold('canary', { Accepted: 'Accepted', ResolvedRefs: 'ResolvedRefs' });
    });

    it('answer the part of a backend that is not there with 500, and are told so', async () => {
      await cluster.apply([
        httpRoute('half', [{ backendRefs: [backend('web-a'), backend('gone', { weight: 1 })] }]),
      ]);
      await isTold('half', { Accepted: 'Accepted', ResolvedRefs: 'BackendNotFound' });
      await follows('the good part', 'web-a');
      const counts = await spread(100);
      expect(counts).to.have.keys('web-a', '500');
      expect(counts['500']).to.be.within(25, 75);
    });

    it('lead to another namespace where a ReferenceGrant lets them', async () => {
      await cluster.apply([httpRoute('far', [{ backendRefs: [backend('web-c', { namespace: 'other' })] }])]);
      await isTold('far', { Accepted: 'Accepted', ResolvedRefs: 'RefNotPermitted' });
      expect(await ask()).to.equal('500');
      const grant = {
        from: [{ group: GATEWAY_API_GROUP, kind: 'HTTPRoute', namespace: 'demo' }],
        to: [{ group: '', kind: 'Service', name: 'web-c' }],
      };
      await cluster.apply([object(`${GATEWAY_API_GROUP}/v1beta1`, 'ReferenceGrant', 'far', grant, 'other')]);
      await isTold('far', { Accepted: 'Accepted', ResolvedRefs: 'ResolvedRefs' });
      await follows('the other namespace', 'web-c');
    });

    it('are refused as a whole where a filter is not followed', async () => {
      const mirror = { type: 'RequestMirror', requestMirror: { backendRef: backend('web-b') } };
      await cluster.apply([httpRoute('mirror', [{ filters: [mirror], backendRefs: [backend('web-a')] }])]);
      await isTold('mirror', { Accepted: 'UnsupportedValue', ResolvedRefs: 'ResolvedRefs' });
      expect(await ask()).to.equal('web');
    });

    it('come after GRPCRoutes, which match methods', async () => {
      const parentRefs = [{ group: '', kind: 'Service', name: 'web' }];
      await cluster.apply([
        httpRoute('http', [{ backendRefs: [backend('web-a')] }]),
        object(`${GATEWAY_API_GROUP}/v1`, 'GRPCRoute', 'grpc', {
          parentRefs,
          rules: [
            {
              matches: [{ method: { service: 'status', method: '200' } }],
              backendRefs: [backend('web-b')],
            },
          ],
        }),
      ]);
      await isTold('http', { Accepted: 'Conflicted', ResolvedRefs: 'ResolvedRefs' });
      await follows('the method', 'web-b', '/status/200');
      expect(await ask('/status/201')).to.equal('404');
      await drop('grpcroutes.gateway.networking.k8s.io');
      await isTold('http', { Accepted: 'Accepted', ResolvedRefs: 'ResolvedRefs' });
    });

    it("are Linkerd's own kind, too", async () => {
      const route = httpRoute('own', [{ backendRefs: [backend('web-b')] }]);
      await cluster.apply([{ ...route, apiVersion: 'policy.linkerd.io/v1beta3' }]);
      await follows("Linkerd's route", 'web-b');
      await drop('httproutes.policy.linkerd.io');
    });

    it('leave what other controllers say as it is', async () => {
      await cluster.apply([httpRoute('both', [{ backendRefs: [backend('web-a')] }])]);
      await isTold('both', { Accepted: 'Accepted', ResolvedRefs: 'ResolvedRefs' });
      const { status } = await clientOf(cluster).get(httpRoutes, { namespace: 'demo', name: 'both' });
      const [ours] = status?.parents ?? [];
      const theirs = { ...ours, controllerName: 'linkerd.io/policy-controller' };
      const patch = { status: { parents: [theirs] } };
      const how = { type: 'merge', subresource: 'status' } as const;
      await clientOf(cluster).patch(httpRoutes, { namespace: 'demo', name: 'both' }, patch, how);
      // Ours was overwritten, and comes back beside theirs after a while; an edit brings it back at once.
      await cluster.apply([httpRoute('both', [{ backendRefs: [backend('web-b')] }])]);
      await eventually(
        'both say something',
        async () => {
          const route = await clientOf(cluster).get(httpRoutes, { namespace: 'demo', name: 'both' });
          const names = route.status?.parents?.map(({ controllerName }) => controllerName) ?? [];
          return names.join() === 'linkerd.io/policy-controller,linkspan.dev/gateway';
        },
        wait,
      );
    });

    it('do not count for a gateway that follows profiles and splits only', async () => {
      const other = await gatewayThat('profile');
      await cluster.apply([httpRoute('web', [{ backendRefs: [backend('web-a')] }])]);
      await follows('the route', 'web-a');
      const { headers } = await other.request('http2', HOST, { path: '/hello' });
      expect(headers['x-origin']).to.equal('web');
    });
  });

  for (const runtime of RUNTIMES)
    describe(`for a gateway that is a process of its own, on ${runtime}`, () => {
      const dir = useTempDir();

      it('are 90/10 from its first request on', async () => {
        await cluster.apply([split({ 'web-a': 90, 'web-b': 10 })]);
        const issuer = await createIssuer(await createAnchor({}), {});
        const leafOf = (identity: string) => issueLeaf(issuer, { identity });
        const gateway = await GatewayProcess.start({
          runtime,
          dir: dir(),
          identity: await leafOf('gateway.west'),
          flags: ['--kubeconfig', cluster.kubeconfigFile, '--mesh', 'off', '--policy', 'off'],
        });
        const identity = await leafOf('client.east');
        const own = new MeshClient({ port: gateway.port, gatewayIdentity: 'gateway.west', identity });
        try {
          const ready = `http://127.0.0.1:${gateway.probe}/ready`;
          await eventually('it is ready', async () => (await fetch(ready)).ok, wait);
          const counts: Record<string, number> = {};
          for (let n = 0; n < 300; n++) {
            const { headers } = await own.request('http2', HOST, { path: '/hello' });
            const from = String(headers['x-origin']);
            counts[from] = (counts[from] ?? 0) + 1;
          }
          expect(counts).to.have.keys('web-a', 'web-b');
          expect(counts['web-b']).to.be.within(8, 60);
        } finally {
          own.close();
          await gateway.kill();
          await drop('trafficsplits.split.smi-spec.io');
        }
      });
    });

  describe('of a kind that is removed', () => {
    it('end', async () => {
      await cluster.apply([httpRoute('last', [{ backendRefs: [backend('web-a')] }])]);
      await follows('the route', 'web-a');
      await remove(cluster, customResourceDefinitions, { name: 'httproutes.gateway.networking.k8s.io' });
      await follows('nothing', 'web');
    });
  });
});

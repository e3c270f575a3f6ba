import { expect } from 'chai';
import {
  FAILOVER_ANNOTATION_LIMITS,
  FAILOVER_BASE_WEIGHTS,
  FAILOVER_CONTROLLED_BY,
  FAILOVER_FACTS,
} from '../../src/api/failover/failover-names.ts';
import { endpointSlices, type KubeObject, type Resource } from '../../src/api/kubernetes/resource.ts';
import { TRAFFIC_ANNOTATIONS } from '../../src/api/linkerd/traffic-annotations.ts';
import { MAX_ANNOTATION } from '../../src/api/annotations.ts';
import { systemClock } from '../../src/base/clock.ts';
import { ApexRouting } from '../../src/discovery/apex-routing.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import type { TargetSource } from '../../src/discovery/target-spec.ts';
import { LOCAL_DOMAIN } from '../../src/egress/routes/route-settings.ts';
import { RouteSource } from '../../src/egress/routes/route-source.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { captureLog } from '../support/captured-log.ts';
import { closedIn } from '../support/closed-in.ts';
import { ensureNamespace, find, findService, findSlices } from '../support/cluster-objects.ts';
import { egressObjects } from '../support/egress-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportObjects, exportService, ownSelectors } from '../support/exports.ts';
import { installKinds, routingKind } from '../support/linkerd-objects.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import { issuedGateway } from '../support/local-gateway.ts';
import { expectNoLagOver } from '../support/loop-lag.ts';
import type { MeshClient } from '../support/mesh-client.ts';
import {
  BACKENDS,
  GRPC_FIELDS,
  HTTP_FIELDS,
  type Make,
  profileSpec,
  type RoutingKind,
  ROUTING_KINDS,
  splitBackends,
} from '../support/worst-routing.ts';
import { WORST_TEXTS } from '../support/worst-text.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster, createNamespace } from '../testbed/shared.ts';

const wait = { everyMs: 20, timeoutMs: 15_000 };
const captured = captureLog();
const shared = { clock: systemClock, random: Math.random, log: captured.log };
const DOMAIN = 'cluster.local';
/** Users' Services, without selector, that splits, routes and a profile are about; others reach them, too. */
const SUBJECTS = ['split', 'routed', 'called', 'profiled'] as const;
const MANAGED = { labels: { [FAILOVER_CONTROLLED_BY]: 'linkspan' } };
/** Characters in fields whose text is longer than any is read; a hundred of them are what etcd takes. */
const LONG = 12_000;

/** What is read of these objects' annotations, each as long as it is read. */
const ANNOTATIONS: readonly (readonly [name: string, limit: number])[] = [
  ...Object.entries(FAILOVER_ANNOTATION_LIMITS),
  ...TRAFFIC_ANNOTATIONS.map((name) => [name, MAX_ANNOTATION] as const),
];
function annotationsOf(make: Make): Record<string, string> {
  // Characters of two bytes: an object may have 256 KiB of annotations.
  const bytes = Buffer.byteLength(make(1000)) / 1000;
  return Object.fromEntries(ANNOTATIONS.map(([name, limit]) => [name, make(Math.floor(limit / bytes))]));
}

// Of Services, pods, Links, Secrets and namespaces each annotation was tried (worst-annotations.test.ts), of
// what came with failover none was: whoever may write a route in one namespace is read by three programs.
describe('a tenant who writes the worst text into splits, routes, profiles and slices', () => {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let client: KubeClient;
  let targets: TargetSource;
  let apexes: ApexRouting;
  let mesh: MeshClient;
  let mirrorSlice: string;
  const closed = closedIn(after);

  const object = ({ resource }: RoutingKind, name: string, spec: object, metadata: object = {}) => ({
    apiVersion: `${resource.group}/${resource.version}`,
    kind: resource.kind,
    metadata: { name, namespace: ns, ...metadata },
    spec,
  });
  const rulesOf = (service: string, rule: object = {}) => ({
    parentRefs: [{ group: '', kind: 'Service', name: service, port: 80 }],
    rules: [{ backendRefs: BACKENDS, ...rule }],
  });
  const write = (resource: Resource<KubeObject>, name: string, patch: object) =>
    client.patch(resource, { namespace: ns, name }, patch, { type: 'merge' });
  const host = (service: string) => `${service}.${ns}.svc.${DOMAIN}`;
  const both = [
    { service: 'web', weight: 1 },
    { service: 'spare', weight: 0 },
  ];

  /** Everything as its owner would write it. */
  function objects(): object[] {
    const { split, http, grpc, linkerdHttp, linkerdGrpc, profile } = ROUTING_KINDS;
    const route = rulesOf('routed');
    // Of both kinds about one Service those of one would not count.
    const call = rulesOf('called');
    const overrides = ['web', 'spare'].map((name) => ({ authority: host(name), weight: 1 }));
    return [
      ...['annotated', 'listed'].map((name) =>
        object(split, name, { service: 'split', backends: both }, MANAGED),
      ),
      object(split, 'named', { service: 'split', backends: both }),
      object(http, 'mark', route),
      ...Object.keys(HTTP_FIELDS).map((name) => object(http, name, route)),
      ...Object.keys(GRPC_FIELDS).map((name) => object(grpc, name, call)),
      object(linkerdHttp, 'path', route),
      ...[http, linkerdHttp].map((kind) => object(kind, 'annotated', route, MANAGED)),
      ...[grpc, linkerdGrpc].map((kind) => object(kind, 'annotated', call, MANAGED)),
      object(profile, host('profiled'), { dstOverrides: overrides }, MANAGED),
    ];
  }

  before(async () => {
    east = closed(await bareCluster('east'), (one) => one.stop());
    west = closed(await bareCluster('west'), (one) => one.stop());
    await installCrd(east);
    const links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'tenant');
    await ensureNamespace(east, ns);
    await installKinds(
      east,
      Object.values(ROUTING_KINDS).map(({ resource: { group, kind, plural }, versions }) =>
        routingKind(group, kind, plural, versions),
      ),
    );
    // Where nobody listens, which is known at once.
    const endpoints = [{ addresses: [address(16)], conditions: { ready: true } }];
    await apply(
      east,
      ...linkObjects(west, links, 'west', ownSelectors(ns)),
      ...egressObjects(links, '10.1.2.3', { groups: 4193 }),
      ...['web', 'spare'].flatMap((name) => exportObjects(ns, name, { test: ns, as: 'nothing', endpoints })),
      ...SUBJECTS.map((name) => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: ns, labels: { 'mirror.linkerd.io/exported': 'true' } },
        spec: { ports: [{ name: 'http', port: 80, appProtocol: 'http' }] },
      })),
      ...objects(),
    );
    await exportService(west, ns, 'web', { test: ns });
    client = closed(new KubeClient(loadAccess({ file: east.kubeconfigFile }), shared), (one) => one.close());
    const weights = { enabled: true, controllers: [], clusterDomain: DOMAIN, scoped: false, lookMs: 300 };
    closed(startController(east, { namespace: links, dataPath: 'relay', weights }), (one) => one.stop());
    const options = { ...shared, client, clusterDomain: DOMAIN, profileLookMs: 300 };
    targets = closed(openKubeTargets(options), (one) => one.close());
    const gateway = closed(await issuedGateway('gateway.west', targets, shared), (one) => one.close());
    mesh = await gateway.clientOf('front.shop');
    apexes = closed(
      new ApexRouting({
        ...shared,
        client,
        clusterDomain: LOCAL_DOMAIN,
        profileDomain: DOMAIN,
        lookMs: 300,
        onChange: () => source.apexChanged(),
      }),
      (one) => one.stop(),
    );
    // All three are followed, whether they have been given a port by now or not.
    const subjects = SUBJECTS.map((name) => `${ns}/${name}`);
    const source: RouteSource = closed(
      new RouteSource({
        ...shared,
        client,
        namespace: links,
        onRoutes: () => undefined,
        apexes: {
          follow: (keys, federated) => apexes.follow(new Set([...keys, ...subjects]), federated),
          of: (key) => apexes.of(key),
        },
      }),
      (one) => one.stop(),
    );
    source.start();
    apexes.follow(new Set(subjects));
    await eventually('the mirror', () => findService(east, ns, 'web-west'), wait);
    await eventually('its slices', async () => (await findSlices(east, ns, 'web-west')).length > 0, wait);
    mirrorSlice = (await findSlices(east, ns, 'web-west'))[0]?.metadata?.name ?? '';
    for (const { resource } of Object.values(ROUTING_KINDS))
      await eventually(`weights of ${resource.group} are managed`, () => isManaged(resource), wait);
    await mark('begin');
  });

  const nameOf = (resource: Resource<KubeObject>) =>
    resource.kind === 'ServiceProfile' ? host('profiled') : 'annotated';

  /** Whether what its owner wrote is kept, as only the writer of weights does. */
  async function isManaged(resource: Resource<KubeObject>): Promise<boolean> {
    const found = await find(east, resource, { namespace: ns, name: nameOf(resource) });
    const kept = found?.metadata?.annotations?.[FAILOVER_BASE_WEIGHTS];
    return kept?.includes('spare') === true;
  }

  /** Changes a route that is followed, and waits until the gateway and the egress do: they have read all. */
  async function mark(what: string): Promise<void> {
    const matches = [{ headers: [{ name: 'x-mark', value: what }] }];
    await write(ROUTING_KINDS.http.resource, 'mark', { spec: rulesOf('routed', { matches }) });
    const says = (said: unknown) => JSON.stringify(said ?? '').includes(`"${what}"`);
    const ofGateway = () => targets.get(host('routed'), 80)?.routed?.routing;
    const ofEgress = () => [...(apexes.of(`${ns}/routed`)?.ports.values() ?? [])];
    await eventually(`the gateway has seen ${what}`, () => says(ofGateway()), wait);
    await eventually(`the egress has seen ${what}`, () => says(ofEgress()), wait);
  }

  /** Requests that routes are matched with get an answer, whatever it is. */
  async function ask(): Promise<void> {
    for (const name of SUBJECTS)
      expect((await mesh.request('http1', host(name), { path: '/a/b?a=b' })).status).to.be.within(200, 599);
  }

  it('holds up nobody with annotations', async () => {
    await expectNoLagOver('annotations', [...WORST_TEXTS.entries()], async ([nth, make]) => {
      const metadata = { annotations: annotationsOf(make) };
      // A write of 200 KB is dear: each text is in a third of the kinds, whose annotations have the same
      // readers.
      for (const [kind, { resource, versions }] of Object.values(ROUTING_KINDS).entries()) {
        if ((nth + kind) % 3 > 0) continue;
        const version = versions[nth % versions.length] ?? '';
        await write({ ...resource, version }, nameOf(resource), { metadata });
      }
      const facts = { metadata: { annotations: { [FAILOVER_FACTS]: make(512) } } };
      for (const name of [mirrorSlice, 'web-1']) await write(endpointSlices, name, facts);
      await mark(`annotations-${nth}`);
    });
    await ask();
    for (const { resource } of Object.values(ROUTING_KINDS))
      await eventually(`${resource.kind}.${resource.group} is put right`, () => isManaged(resource), wait);
  });

  it('holds up nobody with the fields of their specs', async () => {
    const { split, http, grpc, linkerdHttp, profile } = ROUTING_KINDS;
    await expectNoLagOver('fields', [...WORST_TEXTS.entries()], async ([nth, make]) => {
      const version = split.versions[nth % split.versions.length] ?? '';
      const splits = { ...split.resource, version };
      await write(splits, 'named', { spec: { service: make(LONG) } });
      await write(splits, 'listed', { spec: { backends: splitBackends(make, LONG) } });
      await write(profile.resource, host('profiled'), { spec: profileSpec(make, LONG) });
      for (const [name, field] of Object.entries(GRPC_FIELDS))
        await write(grpc.resource, name, { spec: rulesOf('called', field(make)) });
      await write(linkerdHttp.resource, 'path', { spec: rulesOf('routed', HTTP_FIELDS['path']?.(make)) });
      for (const [name, field] of Object.entries(HTTP_FIELDS))
        await write(http.resource, name, { spec: rulesOf('routed', field(make)) });
      await mark(`fields-${nth}`);
      await ask();
    });
  });
});

import { expect } from 'chai';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { ANNOTATION_GROUP_LIMITS, ANNOTATION_LIMITS, MAX_ANNOTATION } from '../../src/api/annotations.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import type { TargetSource } from '../../src/discovery/target-spec.ts';
import type { Route } from '../../src/egress/routes/routes.ts';
import { RouteSource } from '../../src/egress/routes/route-source.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import {
  type KubeObject,
  namespaces,
  type ObjectRef,
  pods,
  type Resource,
  secrets,
  services,
} from '../../src/api/kubernetes/resource.ts';
import { links as linkKind } from '../../src/api/link/link-schema.ts';
import { captureLog } from '../support/captured-log.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { clientOf, ensureNamespace, findService } from '../support/cluster-objects.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import {
  apply,
  exportedObjects,
  installCrd,
  linkObjects,
  startController,
} from '../support/linked-clusters.ts';
import { issuedGateway } from '../support/local-gateway.ts';
import { expectNoLag } from '../support/loop-lag.ts';
import type { MeshClient } from '../support/mesh-client.ts';
import { WORST_TEXTS } from '../support/worst-text.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { timeoutMs: 20_000, everyMs: 50 };
const captured = captureLog();
const shared = { clock: systemClock, random: Math.random, log: captured.log };
const GATEWAY = 'gateway.west';
/**
 * Characters of a text that is too long for every annotation but the record of copied keys; half as many as
 * may be, because some take two bytes.
 */
const LONG = 120_000;
/** The last annotation of a change, by which it is seen that the change has come. */
const MARK = 'linkspan.dev/allowed-clients';

/** Every annotation that is read, with the longest text that is read of it and with a longer one. */
const NAMES: readonly (readonly [name: string, limit: number])[] = [
  ...Object.entries(ANNOTATION_LIMITS).filter(([name]) => name !== MARK),
  ...Object.entries(ANNOTATION_GROUP_LIMITS).map(([group, limit]) => [`${group}/west`, limit] as const),
];

// Who may patch one Service of one namespace stopped every gateway of the cluster with an annotation, and
// again after each restart, because the list came again. Nobody else may notice what a tenant writes,
// whichever annotation it is in.
describe('a tenant who writes the worst text into annotations of his Service', function () {
  this.timeout(120_000);
  let cluster: Cluster;
  let client: KubeClient;
  let targets: TargetSource;
  let other: MeshClient;
  const closed = closedIn(after);

  before(async () => {
    cluster = closed(await startCluster({ name: 'worst' }), (one) => one.stop());
    await ensureNamespace(cluster, 'tenant');
    await ensureNamespace(cluster, 'demo');
    await cluster.apply(exportedObjects('tenant', 'web', { addresses: [address(16)] }));
    await cluster.apply(exportedObjects('demo', 'api', { addresses: [address(16)] }));
    const api = createServer((_, response) => response.end('api'));
    api.listen(8080, address(16));
    await once(api, 'listening');
    closed(api, (one) => one.close());
    client = closed(new KubeClient(loadAccess({ file: cluster.kubeconfigFile }), { ...shared }), (one) =>
      one.close(),
    );
    targets = closed(
      openKubeTargets({ ...shared, client, clusterDomain: 'cluster.local', faultInjection: true }),
      (one) => one.close(),
    );
    const started = closed(await issuedGateway(GATEWAY, targets, shared), (one) => one.close());
    other = await started.clientOf('front.shop');
    await eventually('exports are known', async () => (await status()) === 200, wait);
  });

  async function status(): Promise<number> {
    return (await other.request('http1', 'api.demo.svc.cluster.local', { path: '/' })).status;
  }

  /**
   * Gives the tenant's Service these annotations and none besides, and waits until the gateway has seen them.
   */
  async function annotate(annotations: Readonly<Record<string, string>>, nth: string): Promise<void> {
    const gone = Object.fromEntries(NAMES.map(([name]) => [name, null]));
    const patch = { metadata: { annotations: { ...gone, ...annotations, [MARK]: `client-${nth}` } } };
    await client.patch(services, { namespace: 'tenant', name: 'web' }, patch, { type: 'merge' });
    const seen = () => targets.get('web.tenant.svc.cluster.local', 80)?.allow?.includes(`client-${nth}`);
    await eventually('the change has come', () => seen() === true, wait);
  }

  it('holds up nobody, at the limit of each annotation', () =>
    expectNoLag('at the limit', async () => {
      // As many at a time as the API server takes: 256 KiB.
      const half = Math.ceil(NAMES.length / 2);
      // As many at a time as the API server takes: 256 KiB.
      for (const [nth, make] of WORST_TEXTS.entries())
        for (const names of [NAMES.slice(0, half), NAMES.slice(half)])
          await annotate(
            Object.fromEntries(names.map(([name]) => [name, make(MAX_ANNOTATION)])),
            `a${nth}-${names.length}-${names[0]?.[0]}`,
          );
      expect(await status()).to.equal(200);
    }));

  it('holds up nobody with a text of 120 KiB, and the log names the annotation', async () => {
    const long = NAMES.filter(([, limit]) => limit < LONG);
    await expectNoLag('beyond the limit', async () => {
      for (const [nth, [name]] of long.entries())
        await annotate({ [name]: WORST_TEXTS[nth % WORST_TEXTS.length]?.(LONG) ?? '' }, `b${nth}`);
      expect(await status()).to.equal(200);
    });
    const said = captured.lines
      .filter(({ msg, object }) => msg === 'annotations too long to be read' && object === 'tenant/web')
      .flatMap(({ problems }) => problems as string[]);
    for (const [name] of long)
      expect(
        said.some((line) => line.startsWith(`${name} has `)),
        name,
      ).to.equal(true);
  });

  // A pod's owner says on it which of its ports are opaque, skipped, or under which policy.
  it('holds up nobody with a pod behind the Service', async () => {
    await cluster.kubectl('-n', 'tenant', 'create', 'serviceaccount', 'default');
    const pod = { namespace: 'tenant', name: 'web-0' };
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...pod, labels: { app: 'web', 'linkerd.io/control-plane-ns': 'linkerd' } },
      spec: {
        automountServiceAccountToken: false,
        containers: [
          { name: 'linkerd-proxy', image: 'none' },
          { name: 'web', image: 'none', ports: [{ name: 'http', containerPort: 8080 }] },
        ],
      },
    });
    const found = { podIP: address(16), podIPs: [{ ip: address(16) }], phase: 'Running' };
    await client.patch(pods, pod, { status: found }, { type: 'merge', subresource: 'status' });
    await expectNoLag('pods', async () => {
      for (const [nth, make] of WORST_TEXTS.entries()) {
        await annotateWith(client, pods, pod, make);
        // By then the pod has been read, or is in the same turn: its change was the first.
        await annotate({}, `p${nth}`);
      }
      expect(await status()).to.equal(200);
    });
  });

  it('lets nobody in where the list of clients is too long, and limits nobody else', async () => {
    const list = Array.from({ length: 2000 }, (_, nth) => `client-${nth}`).join();
    const patch = { metadata: { annotations: { [MARK]: list } } };
    await client.patch(services, { namespace: 'tenant', name: 'web' }, patch, { type: 'merge' });
    const allowed = () => targets.get('web.tenant.svc.cluster.local', 80)?.allow;
    await eventually('the change has come', () => allowed()?.length === 0, wait);
    expect(await status()).to.equal(200);
  });
});

/**
 * Gives an object every annotation that is read, in as many changes as the API server needs, each with the
 * longest text that is read.
 */
async function annotateWith<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  ref: ObjectRef,
  make: (length: number) => string,
): Promise<void> {
  const imports = ['namespaces', 'names', 'labels', 'annotations', 'gateway-cidrs', 'pod-cidrs', 'quotas'];
  const all = [...NAMES.map(([name]) => name), ...imports.map((name) => `linkspan.dev/import-${name}`)];
  const half = Math.ceil(all.length / 2);
  // What is large costs an API server three times as much to merge as to take whole, which it does of its own
  // kinds without a version.
  const found = resource.group === '' ? await client.get(resource, ref) : undefined;
  const { resourceVersion: _version, ...metadata } = found?.metadata ?? {};
  for (const some of [all.slice(0, half), all.slice(half)]) {
    const annotations = Object.fromEntries(
      all.map((name) => [name, some.includes(name) ? make(MAX_ANNOTATION) : null]),
    );
    const given = Object.entries({ ...metadata.annotations, ...annotations }).filter(
      ([, text]) => text !== null,
    );
    if (found === undefined)
      await client.patch(resource, ref, { metadata: { annotations } }, { type: 'merge' });
    else
      await client.replace(resource, {
        ...found,
        metadata: { ...metadata, annotations: Object.fromEntries(given) },
      });
  }
}

// The gateway was tried, the processes of the source were not: a controller reads what both tenants write,
// the one of the export and the one of its mirror, and an egress the latter.
describe('a tenant of either cluster who writes the worst text into annotations of an export and of its mirror', function () {
  this.timeout(180_000);
  const OURS = 'mirror.linkerd.io/remote-svc-fq-name';
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let other: string;
  /** Where the controller is. */
  let links: string;
  let controllerRuns: () => ReadonlyMap<string, unknown>;
  let routes: ReadonlyMap<number, Route> = new Map();
  /** What became of the tenant's export. */
  let outcome: () => unknown;
  const closed = closedIn(after);

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'tenant');
    other = await createNamespace(west, 'other');
    for (const namespace of [ns, other]) await ensureNamespace(east, namespace);
    await apply(east, ...linkObjects(west, links, 'west', ownSelectors(ns)));
    const settings = { namespace: links, dataPath: 'relay' } as const;
    const controller = closed(startController(east, settings), (one) => one.stop());
    controllerRuns = () => controller.runs;
    outcome = () => controller.runs.get(`${links}/west`)?.peer?.mirrors.reconciler.outcomes.get(`${ns}/web`);
    const routeSource = closed(
      new RouteSource({
        ...shared,
        client: clientOf(east),
        namespace: links,
        onRoutes: (found) => (routes = found),
      }),
      (one) => one.stop(),
    );
    routeSource.start();
    await exportService(west, ns, 'web', { test: ns, federated: true });
    for (const name of ['web-west', 'web-federated'])
      await eventually(`${name} is there`, () => findService(east, ns, name), wait);
    await eventually('they are relayed', () => routes.size === 2, wait);
  });

  /** Annotates a Service with these, and none besides of those that are read. */
  async function annotate(cluster: Cluster, name: string, annotations: Readonly<Record<string, string>>) {
    const gone = Object.fromEntries(NAMES.map(([one]) => [one, null]));
    const patch = { metadata: { annotations: { ...gone, ...annotations } } };
    await clientOf(cluster).patch(services, { namespace: ns, name }, patch, { type: 'merge' });
  }
  const inParts = (size: number) =>
    Array.from({ length: Math.ceil(NAMES.length / size) }, (_, nth) =>
      NAMES.slice(nth * size, (nth + 1) * size),
    );
  const halves = () => inParts(Math.ceil(NAMES.length / 2));
  /** An export with more than 64 KiB of metadata is left alone, and nothing of it is read. */
  const READ_AT_ONCE = 12;
  const ofText = (names: typeof NAMES, text: string) =>
    Object.fromEntries(names.map(([name]) => [name, text]));
  /** Somebody else's export is mirrored, and relayed, meanwhile. */
  async function othersGoOn(name: string): Promise<void> {
    await exportService(west, other, name, { test: ns });
    await eventually('the other is mirrored', () => findService(east, other, `${name}-west`), wait);
    await eventually(
      'and relayed',
      () => [...routes.values()].some(({ label }) => label.includes(name)),
      wait,
    );
  }

  for (const name of ['web-west', 'web-federated'])
    it(`holds up nobody who reads ${name}, and what is the controllers' is put right`, () =>
      expectNoLag(name, async () => {
        const before = (await findService(east, ns, name))?.metadata?.annotations ?? {};
        for (const make of WORST_TEXTS)
          for (const names of halves()) await annotate(east, name, ofText(names, make(MAX_ANNOTATION)));
        await othersGoOn(`beside-${name}`);
        await eventually(
          'it is put right',
          async () => {
            const now = (await findService(east, ns, name))?.metadata?.annotations ?? {};
            return now[OURS] === before[OURS] && now['linkspan.dev/link'] === before['linkspan.dev/link'];
          },
          wait,
        );
      }));

  it('holds up nobody who reads Links, their Secrets, and namespaces', async () => {
    await apply(east, ...linkObjects(west, links, 'odd', ownSelectors(other)));
    const known = () => controllerRuns().has(`${links}/odd`);
    await eventually('the Link is known', known, wait);
    await expectNoLag('Links, Secrets and namespaces', async () => {
      for (const make of WORST_TEXTS)
        await Promise.all([
          annotateWith(clientOf(east), linkKind, { namespace: links, name: 'odd' }, make),
          annotateWith(clientOf(east), secrets, { namespace: links, name: 'cluster-credentials-odd' }, make),
          annotateWith(clientOf(east), namespaces, { name: ns }, make),
          annotateWith(clientOf(west), namespaces, { name: ns }, make),
        ]);
      await othersGoOn('beside-links');
    });
  });

  it('holds up nobody who reads the export', () =>
    expectNoLag('the export', async () => {
      for (const [nth, make] of WORST_TEXTS.entries())
        for (const names of inParts(READ_AT_ONCE)) {
          const mark = `${nth}-${names[0]?.[0]}`;
          await annotate(west, 'web', { ...ofText(names, make(MAX_ANNOTATION)), 'example.com/mark': mark });
          if (nth % 10 > 0) continue;
          // With one that says that it is exported through a gateway that there is not it is another's word,
          // and nothing is copied.
          if (names.some(([one]) => one === 'mirror.linkerd.io/gateway-ns')) continue;
          const seen = async () => {
            const found = (await findService(east, ns, 'web-west'))?.metadata?.annotations?.[
              'example.com/mark'
            ];
            if (found === mark) return true;
            throw new Error(`it is ${found}, not ${mark}: ${JSON.stringify(outcome())}`);
          };
          await eventually('the change has come', seen, wait);
        }
      await othersGoOn('beside-the-export');
    }));
});

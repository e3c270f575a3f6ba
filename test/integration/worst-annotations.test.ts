import { expect } from 'chai';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { ANNOTATION_GROUP_LIMITS, ANNOTATION_LIMITS, MAX_ANNOTATION } from '../../src/api/annotations.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeTargets } from '../../src/discovery/kube-targets.ts';
import type { TargetSource } from '../../src/discovery/target-spec.ts';
import type { Route } from '../../src/egress/routes/route.ts';
import { RouteSource } from '../../src/egress/routes/route-source.ts';
import { isConflict, KubeClient } from '../../src/kube/client/kube-client.ts';
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
import { clientOf, ensureNamespace, findService, createAccount } from '../support/cluster-objects.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, exportedObjects, linkObjects, startController } from '../support/linked-clusters.ts';
import { issuedGateway } from '../support/local-gateway.ts';
import { expectNoLag, expectNoLagOver } from '../support/loop-lag.ts';
import { MemoryCluster } from '../support/memory-cluster.ts';
import type { MeshClient } from '../support/mesh-client.ts';
import { WORST_TEXTS } from '../support/worst-text.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const captured = captureLog();
const shared = { clock: systemClock, random: Math.random, log: captured.log };
const GATEWAY = 'gateway.west';
const GROUPS = { 'multicluster.linkerd.io': ['v1alpha3', ['links']] } as const;
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
/** The names of all of them. */
const READ: ReadonlySet<string> = new Set(NAMES.map(([name]) => name));
/**
 * Names whose annotations of this text fit into one object: API servers take 256 KiB, and others stand there.
 */
function fitting<T>(all: readonly T[], text: string): T[][] {
  return inParts(all, Math.floor((200 * 1024) / (Buffer.byteLength(text) + 128)));
}

function inParts<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, nth) =>
    all.slice(nth * size, (nth + 1) * size),
  );
}

// Who may patch one Service of one namespace stopped every gateway of the cluster with an annotation, and
// again after each restart, because the list came again. Nobody else may notice what a tenant writes,
// whichever annotation it is in.
describe('a tenant who writes the worst text into annotations of his Service', () => {
  let cluster: MemoryCluster;
  let client: KubeClient;
  let targets: TargetSource;
  let other: MeshClient;
  let replace: Annotate;
  const closed = closedIn(after);

  before(async () => {
    cluster = closed(await MemoryCluster.start('worst'), (one) => one.stop());
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
    replace = await annotateService(cluster, 'tenant', 'web');
  });

  async function status(): Promise<number> {
    return (await other.request('http1', 'api.demo.svc.cluster.local', { path: '/' })).status;
  }

  /**
   * Gives the tenant's Service these annotations and none besides, and waits until the gateway has seen them.
   */
  async function annotate(annotations: Readonly<Record<string, string>>, nth: string): Promise<void> {
    await replace({ ...annotations, [MARK]: `client-${nth}` });
    const seen = () => targets.get('web.tenant.svc.cluster.local', 80)?.allow?.includes(`client-${nth}`);
    await eventually('the change has come', () => seen() === true, wait);
  }

  it('holds up nobody, at the limit of each annotation', async () => {
    await expectNoLagOver('at the limit', [...WORST_TEXTS.entries()], async ([nth, make]) => {
      for (const [part, names] of fitting(NAMES, make(MAX_ANNOTATION)).entries())
        await annotate(
          Object.fromEntries(names.map(([name]) => [name, make(MAX_ANNOTATION)])),
          `a${nth}-${part}`,
        );
    });
    expect(await status()).to.equal(200);
  });

  it('holds up nobody with a text of 120 KiB, and the log names the annotation', async () => {
    const long = NAMES.filter(([, limit]) => limit < LONG);
    await expectNoLagOver('beyond the limit', [...long.entries()], ([nth, [name]]) =>
      annotate({ [name]: WORST_TEXTS[nth % WORST_TEXTS.length]?.(LONG) ?? '' }, `b${nth}`),
    );
    expect(await status()).to.equal(200);
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
    await createAccount(cluster, 'tenant', 'default');
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
    const annotatePod = await annotatorOf(client, pods, pod);
    await expectNoLagOver('pods', [...WORST_TEXTS.entries()], async ([nth, make]) => {
      await annotatePod(make);
      // By then the pod has been read, or is in the same turn: its change was the first.
      await annotate({}, `p${nth}`);
    });
    expect(await status()).to.equal(200);
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

/** Gives a Service these annotations, and none besides of those that are read. */
type Annotate = (annotations: Readonly<Record<string, string>>) => Promise<unknown>;

/**
 * What does so as long as nobody else changes the Service. What is large costs an API server three times as
 * much to merge as to take whole, which it does without a version.
 */
async function annotateService(cluster: MemoryCluster, namespace: string, name: string): Promise<Annotate> {
  const client = clientOf(cluster);
  const found = await client.get(services, { namespace, name });
  const { resourceVersion: _version, ...metadata } = found.metadata ?? {};
  const others = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([one]) => !READ.has(one)),
  );
  return (annotations) =>
    client.replace(services, {
      ...found,
      metadata: { ...metadata, annotations: { ...others, ...annotations } },
    });
}

/**
 * What gives an object, whose annotations nobody else changes, every annotation that is read, in as many
 * changes as the API server needs, each with the longest text that is read.
 */
async function annotatorOf<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  ref: ObjectRef,
): Promise<(make: (length: number) => string, mark?: string) => Promise<void>> {
  const imports = ['namespaces', 'names', 'labels', 'annotations', 'gateway-cidrs', 'pod-cidrs', 'quotas'];
  const all = [...NAMES.map(([name]) => name), ...imports.map((name) => `linkspan.dev/import-${name}`)];
  // What is large costs an API server three times as much to merge as to take whole.
  let found = await client.get(resource, ref);
  const before = found.metadata?.annotations;
  /** @returns false where its status has been written meanwhile: then it is to be read again */
  const written = async (annotations: Readonly<Record<string, string>>): Promise<boolean> => {
    const { resourceVersion, ...metadata } = found.metadata ?? {};
    // Of its own kinds an API server wants no version.
    const version = resource.group === '' || resourceVersion === undefined ? {} : { resourceVersion };
    const object = { ...found, metadata: { ...metadata, ...version, annotations } };
    try {
      found = await client.replace(resource, object);
      return true;
    } catch (error) {
      if (!isConflict(error)) throw error;
      return false;
    }
  };
  return async (make, mark) => {
    for (const some of fitting(all, make(MAX_ANNOTATION))) {
      const annotations = { ...before, ...(mark === undefined ? {} : { [mark]: '' }) };
      for (const name of some) annotations[name] = make(MAX_ANNOTATION);
      while (!(await written(annotations))) found = await client.get(resource, ref);
    }
  };
}

// The gateway was tried, the processes of the source were not: a controller reads what both tenants write,
// the one of the export and the one of its mirror, and an egress the latter.
describe('a tenant of either cluster who writes the worst text into annotations of an export and of its mirror', function () {
  const OURS = 'mirror.linkerd.io/remote-svc-fq-name';
  let east: MemoryCluster;
  let west: MemoryCluster;
  let ns: string;
  let other: string;
  /** Where the controller is. */
  let links: string;
  let controllerRuns: () => ReadonlyMap<string, { readonly problem: Error | undefined }>;
  let routes: ReadonlyMap<number, Route> = new Map();
  /** What became of the tenant's export. */
  let outcome: () => unknown;
  const closed = closedIn(after);

  before(async () => {
    for (const name of ['east', 'west']) {
      const cluster = closed(await MemoryCluster.start(name, GROUPS), (one) => one.stop());
      if (name === 'east') east = cluster;
      else west = cluster;
    }
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
    it(`holds up nobody who reads ${name}, and what is the controllers' is put right`, async () => {
      const before = (await findService(east, ns, name))?.metadata?.annotations ?? {};
      await expectNoLagOver(name, WORST_TEXTS, async (make) => {
        for (const names of fitting(NAMES, make(MAX_ANNOTATION))) {
          // The controllers put right what is theirs.
          const annotate = await annotateService(east, ns, name);
          await annotate(ofText(names, make(MAX_ANNOTATION)));
        }
      });
      await expectNoLag(`what goes on beside ${name}`, async () => {
        await othersGoOn(`beside-${name}`);
        await eventually(
          'it is put right',
          async () => {
            const now = (await findService(east, ns, name))?.metadata?.annotations ?? {};
            return now[OURS] === before[OURS] && now['linkspan.dev/link'] === before['linkspan.dev/link'];
          },
          wait,
        );
      });
    });

  it('holds up nobody who reads Links, their Secrets, and namespaces', async () => {
    await apply(east, ...linkObjects(west, links, 'odd', ownSelectors(other)));
    const known = () => controllerRuns().has(`${links}/odd`);
    await eventually('the Link is known', known, wait);
    const annotateLink = await annotatorOf(clientOf(east), linkKind, { namespace: links, name: 'odd' });
    const annotators = await Promise.all([
      annotatorOf(clientOf(east), secrets, { namespace: links, name: 'cluster-credentials-odd' }),
      annotatorOf(clientOf(east), namespaces, { name: ns }),
      annotatorOf(clientOf(west), namespaces, { name: ns }),
    ]);
    await expectNoLagOver(
      'Links, Secrets and namespaces',
      [...WORST_TEXTS.entries()],
      async ([nth, make]) => {
        // A setting that there is not: what is wrong with the Link names it, and so says which text was read.
        const mark = `linkspan.dev/import-mark-${nth}`;
        await Promise.all([annotateLink(make, mark), ...annotators.map((annotate) => annotate(make))]);
        const problem = () => controllerRuns().get(`${links}/odd`)?.problem?.message;
        await eventually('the Link is read', () => problem()?.includes(`${mark}]`) === true, wait);
      },
    );
    await expectNoLag('what goes on beside them', () => othersGoOn('beside-links'));
  });

  it('holds up nobody who reads the export', async () => {
    const annotate = await annotateService(west, ns, 'web');
    await expectNoLagOver('the export', [...WORST_TEXTS.entries()], async ([nth, make]) => {
      for (const names of inParts(NAMES, READ_AT_ONCE)) {
        const mark = `${nth}-${names[0]?.[0]}`;
        await annotate({ ...ofText(names, make(MAX_ANNOTATION)), 'example.com/mark': mark });
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
    });
    await expectNoLag('what goes on beside it', () => othersGoOn('beside-the-export'));
  });
});

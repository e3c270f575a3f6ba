/**
 * A program of tests: peers for the API servers of its arguments (`<cluster>=<url>`), which mirror into a
 * source cluster in memory, and what stands about each on standard output, a line of JSON every tenth of a
 * second. The tests give it a small heap.
 */
import type { V1ConfigMap } from '@kubernetes/client-node';
import { systemClock } from '../../src/base/clock.ts';
import { RECORD_SELECTOR } from '../../src/api/egress/egress-record.ts';
import { IpRanges } from '../../src/base/ip-ranges.ts';
import type { TargetDependencies } from '../../src/controllers/settings/target-dependencies.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { Reflector } from '../../src/kube/informer/reflector.ts';
import {
  configMaps,
  endpoints,
  endpointSlices,
  type KubeObject,
  namespaces,
  type Resource,
  services,
} from '../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../src/kube/informer/store.ts';
import { TotalBudget } from '../../src/kube/budget/total-budget.ts';
import { WorkerPool } from '../../src/kube/queue/worker-pool.ts';
import { TARGET_BUDGETS, type TargetBudgets } from '../../src/controllers/settings/target-budgets.ts';
import { parseLink } from '../../src/api/link/link-schema.ts';
import { EgressAllocator } from '../../src/controllers/egress-ports/egress-allocator.ts';
import { serviceIndexes } from '../../src/controllers/reconcile/local-indexes.ts';
import { BY_SERVICE, sliceService } from '../../src/exports/slices-by-service.ts';
import { LocalView } from '../../src/controllers/reconcile/local-view.ts';
import { TargetCluster } from '../../src/controllers/link/target-cluster.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { noNames } from './host-names.ts';
import { FakeCluster } from './fake-cluster.ts';
import { targetSettings } from './target-settings.ts';

/** A line of what the program says. */
export interface PeersLine {
  readonly peers: Readonly<
    Record<
      string,
      { synced: boolean; mirrors: number; over?: string; apiError?: string; ports: readonly number[] }
    >
  >;
  /** Megabytes. */
  readonly rss: number;
  /** Writes to the source's API server so far. */
  readonly writes: number;
}

const log = createLogger({ name: 'test', level: 'silent' });
const common = { clock: systemClock, random: Math.random, log };
const MIRRORED = 'mirror.linkerd.io/mirrored-service=true';
const REPORT_MS = 100;

/** Lasting, for each of the clusters; 400 times as many may come at once. */
const CHANGES_PER_SECOND = 1;
const budgets: TargetBudgets = {
  ...TARGET_BUDGETS,
  changesPerSecond: CHANGES_PER_SECOND,
  pages: 200,
  answer: { ...TARGET_BUDGETS.answer, ms: 1500 },
};
const source = new FakeCluster();
let writes = 0;
source.beforeCall = (verb) => {
  if (verb !== 'get') writes++;
};
for (let at = 0; at < 50; at++) source.put('namespaces', { metadata: { name: `ns-${at}`, uid: `ns-${at}` } });
const stores = {
  services: new IndexedStore(serviceIndexes),
  endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
  endpoints: new IndexedStore<NonNullable<(typeof endpoints)['__type']>>(),
  namespaces: new IndexedStore<NonNullable<(typeof namespaces)['__type']>>(),
};
const view = new LocalView(stores, systemClock);
const reflectors: Reflector<KubeObject>[] = [];
follow(services, stores.services, MIRRORED);
follow(endpointSlices, stores.endpointSlices, MIRRORED);
follow(endpoints, stores.endpoints, MIRRORED);
follow(namespaces, stores.namespaces);
const record = new IndexedStore<V1ConfigMap>();
follow(configMaps, record, RECORD_SELECTOR);
await Promise.all(reflectors.map((reflector) => reflector.whenSynced()));

const egress = new EgressAllocator({ ...common, client: source.client, namespace: 'links', store: record });
egress.establish(() => new Map());
const dependencies: TargetDependencies = {
  total: new TotalBudget(TARGET_BUDGETS.total),
  ...common,
  local: source.client,
  view,
  pool: new WorkerPool({ size: 32 }),
  egress,
  ranges: {
    ranges: { pod: new IpRanges([]), service: new IpRanges([]), node: new IpRanges([]) },
    unknown: [],
  },
  egressAddresses: () => [],
  events: { record: () => undefined } as unknown as TargetDependencies['events'],
  names: noNames(systemClock),
  health: () => {
    throw new Error('nothing is probed here');
  },
  ageOf: () => '1',
};
const peers = process.argv.slice(2).map((argument) => {
  const at = argument.indexOf('=');
  return start(argument.slice(0, at), argument.slice(at + 1));
});
report();

function follow<T extends KubeObject>(
  resource: Resource<T>,
  store: IndexedStore<T>,
  labelSelector?: string,
): void {
  const selection = labelSelector === undefined ? {} : { labelSelector };
  const reflector = new Reflector<T>({ ...common, client: source.client, resource, store, ...selection });
  reflectors.push(reflector as unknown as Reflector<KubeObject>);
  reflector.start();
}

function start(cluster: string, url: string): TargetCluster {
  const verdict = parseLink({
    metadata: { name: cluster, namespace: 'links', uid: cluster },
    spec: {
      targetClusterName: cluster,
      targetClusterDomain: 'cluster.local',
      clusterCredentialsSecret: 'x',
      gatewayAddress: '192.0.2.1',
      gatewayPort: '4143',
      gatewayIdentity: 'gateway.example',
      selector: { matchLabels: { 'mirror.linkerd.io/exported': 'true' } },
    },
  });
  if (!verdict.ok) throw new Error(JSON.stringify(verdict.problems));
  const text = `{clusters: [{name: c, cluster: {server: "${url}"}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`;
  const peer = new TargetCluster({
    ...dependencies,
    log,
    link: verdict.link,
    access: loadAccess({ text, source: 'test' }),
    knownUid: undefined,
    onStatus: { service: () => undefined, changed: () => undefined, idle: () => undefined },
    settings: targetSettings({ concurrency: 24, budgets }),
  });
  peer.start();
  return peer;
}

function report(): void {
  const line: PeersLine = {
    peers: Object.fromEntries(peers.map((peer) => [peer.link.targetClusterName, stateOf(peer)])),
    writes,
    rss: Math.round(process.memoryUsage().rss / 1024 ** 2),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  systemClock.after(REPORT_MS, report);
}

function stateOf(peer: TargetCluster): PeersLine['peers'][string] {
  const suffix = `-${peer.link.targetClusterName}`;
  const mirrors = stores.services.list().filter(({ metadata }) => metadata?.name?.endsWith(suffix) === true);
  return {
    synced: peer.synced,
    mirrors: mirrors.length,
    ports: mirrors.slice(0, 20).map(({ spec }) => spec?.ports?.[0]?.port ?? 0),
    ...(peer.overBudget === undefined ? {} : { over: peer.overBudget.budget }),
    ...(peer.apiError === undefined ? {} : { apiError: peer.apiError.message }),
  };
}

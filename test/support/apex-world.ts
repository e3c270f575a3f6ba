import type { V1ConfigMap, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import {
  isApexClaim,
  isFreed,
  readShard,
  RECORD_SELECTOR,
  type RecordEntry,
  shardOfName,
} from '../../src/api/egress/egress-record.ts';
import {
  configMaps,
  endpointSlices,
  type KubeObject,
  type Resource,
  services,
} from '../../src/api/kubernetes/resource.ts';
import { MIRRORED_SELECTOR } from '../../src/api/mirror/mirror-labels.ts';
import { ApexTerm } from '../../src/controllers/apexes/apex-term.ts';
import { TieredServices } from '../../src/controllers/apexes/tiered-services.ts';
import { DrainWatch } from '../../src/controllers/failover/drain-watch.ts';
import { EgressDemand } from '../../src/controllers/gateway-health/egress-demand.ts';
import { EgressAllocator } from '../../src/controllers/egress-ports/egress-allocator.ts';
import { serviceIndexes } from '../../src/controllers/reconcile/local-indexes.ts';
import { LocalView } from '../../src/controllers/reconcile/local-view.ts';
import { BY_SERVICE, sliceService } from '../../src/exports/slices-by-service.ts';
import { statusError } from '../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../src/kube/client/kube-client.ts';
import { Reflector } from '../../src/kube/informer/reflector.ts';
import { IndexedStore } from '../../src/kube/informer/store.ts';
import { WorkQueue } from '../../src/kube/queue/work-queue.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { FakeCluster } from './fake-cluster.ts';
import { settle, VirtualClock } from './virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const KINDS: Readonly<Record<string, readonly [version: string, plurals: readonly string[]]>> = {
  'split.smi-spec.io': ['v1alpha2', ['trafficsplits']],
  'gateway.networking.k8s.io': ['v1', ['httproutes', 'referencegrants']],
  'linkerd.io': ['v1alpha2', ['serviceprofiles']],
};

/** Routing kinds as an API server says that it serves them. @param failure what it says instead */
export function withRoutingKinds(
  client: KubeClient,
  failure: () => Error | undefined = () => undefined,
): KubeClient {
  const raw = (_: string, at: string) => {
    const error = failure();
    if (error !== undefined) return Promise.reject(error);
    const [, , group = '', version] = at.split('/');
    const [served, plurals] = KINDS[group] ?? [];
    if (served === undefined || plurals === undefined)
      return Promise.reject(statusError(404, '{"reason":"NotFound"}', 'fake', undefined));
    if (version === undefined) return Promise.resolve({ versions: [{ version: served }] });
    return Promise.resolve({ resources: plurals.map((name) => ({ name })) });
  };
  return Object.assign(client, { raw });
}

/** One cluster in memory, with the writer of apexes and one egress pod. */
export class ApexWorld {
  readonly clock = new VirtualClock();
  readonly cluster = new FakeCluster();
  /** What a `look` at a Service has thrown, by its key. */
  readonly errors: string[] = [];
  /** Reads of one object and writes, as `verb plural`. */
  readonly calls: string[] = [];
  /** What became of drains, as Events tell it. */
  readonly told: string[] = [];
  readonly #parts: { stop(): Promise<unknown> }[] = [];
  #term: ApexTerm | undefined;
  readonly #uids = new Map<string, string>();
  #created = 0;
  pods = [{ ip: '10.1.0.9' }];
  /** What the API server answers to the question which kinds it serves; undefined: which it does. */
  kindsError: Error | undefined;
  /** What egress pods have said about requests. */
  readonly demand = new EgressDemand();

  constructor() {
    this.cluster.beforeCall = (verb, plural) => void this.calls.push(`${verb} ${plural}`);
  }

  /** The controller begins, knowing nothing. */
  async start(): Promise<void> {
    const { clock } = this;
    const client = withRoutingKinds(this.cluster.client, () => this.kindsError);
    const shared = { client, clock, random: () => 0.5, log };
    const view = new LocalView(
      {
        services: new IndexedStore(serviceIndexes),
        endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
        endpoints: new IndexedStore(),
        namespaces: new IndexedStore(),
      },
      clock,
    );
    const record = new IndexedStore<V1ConfigMap>();
    const follow = async <T extends KubeObject>(
      resource: Resource<T>,
      store: IndexedStore<T>,
      labelSelector: string,
    ) => {
      const reflector = new Reflector({ ...shared, resource, store, labelSelector });
      reflector.start();
      this.#parts.push(reflector);
      await reflector.whenSynced();
    };
    await follow(services, view.stores.services, MIRRORED_SELECTOR);
    await follow(endpointSlices, view.stores.endpointSlices, MIRRORED_SELECTOR);
    await follow(configMaps, record, RECORD_SELECTOR);
    const egress = new EgressAllocator({ ...shared, namespace: 'links', store: record });
    const stop = new AbortController();
    const queue: WorkQueue = new WorkQueue({
      handler: (key) => term.look(key),
      concurrency: 4,
      backoff: { minMs: 200, maxMs: 30_000 },
      clock,
      random: () => 0.5,
      log,
      onError: (key, error) => void this.errors.push(`${key}: ${String(error)}`),
    });
    const tiered = new TieredServices(shared);
    const drains = new DrainWatch({
      links: new IndexedStore(),
      services: view.stores.services,
      events: { record: ({ reason, message }) => void this.told.push(`${reason}: ${message}`) },
      clock,
      tellsOfLink: () => false,
      tellsOfService: () => false,
    });
    const term: ApexTerm = new ApexTerm({
      ...shared,
      view,
      egress,
      egressAddresses: () => this.pods,
      egressServesGroups: () => true,
      drainsOf: () => undefined,
      drains,
      demand: this.demand,
      tiered,
      clusterDomain: 'cluster.local',
      signal: stop.signal,
      queue,
    });
    tiered.start();
    term.start();
    this.#term = term;
    this.#parts.push({
      stop: async () => {
        stop.abort();
        drains.stop();
        await queue.stop();
        await Promise.all([term.stop(), tiered.stop(), egress.stop()]);
      },
    });
    await this.rest();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#parts.splice(0).map((part) => part.stop()));
  }

  /** Egress pods or Links have changed. */
  resync(): void {
    this.#term?.resync();
  }

  /** Lets what is to be written be written. */
  async rest(rounds = 10): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      await this.clock.advance(50);
      await settle(10);
    }
  }

  /** The same one for as long as an object is there. */
  #uid(plural: string, key: string): string {
    const id = `${plural} ${key}`;
    const known = this.cluster.all(plural).has(key) ? this.#uids.get(id) : undefined;
    const uid = known ?? `${plural}-${++this.#created}`;
    this.#uids.set(id, uid);
    return uid;
  }

  /** A Service without selector, at ports `first` and those behind it. */
  service(key: string, { first = 80, ports = 1, ...more }: Ports & object = {}): void {
    const [namespace = '', name = ''] = key.split('/');
    const numbers = Array.from({ length: ports }, (_, at) => first + at);
    this.cluster.put('services', {
      metadata: { name, namespace, uid: this.#uid('services', key), ...metadataOf(more) },
      spec: {
        clusterIP: '10.0.0.1',
        ports: numbers.map((port) => ({ port, name: `p-${port}` })),
        ...specOf(more),
      },
    } as KubeObject);
  }

  /** A split of the Service among others of its namespace. */
  split(key: string, ...backends: readonly string[]): void {
    const [namespace = '', name = ''] = key.split('/');
    this.cluster.put('trafficsplits', {
      metadata: { name, namespace, uid: `split-${++this.#created}` },
      spec: { service: name, backends: backends.map((service) => ({ service, weight: 1 })) },
    } as KubeObject);
  }

  /** Why a Service is not ready, or is; or the reason of another condition. */
  reason(key: string, condition = 'FailoverReady'): string | undefined {
    const found = this.cluster.all<V1Service>('services').get(key);
    return found?.status?.conditions?.find(({ type }) => type === `linkspan.dev/${condition}`)?.reason;
  }

  /** Service ports that lead to the egress, by their slices. */
  leading(key: string): string[] {
    const [namespace, name] = key.split('/');
    const slices = [...this.cluster.all<V1EndpointSlice>('endpointslices').values()].filter(
      ({ metadata }) =>
        metadata?.namespace === namespace && metadata?.labels?.['kubernetes.io/service-name'] === name,
    );
    return slices.flatMap(({ ports }) => (ports ?? []).map(({ name: port = '' }) => port));
  }

  record(): RecordEntry[] {
    const shards = [...this.cluster.all<V1ConfigMap>('configmaps').values()];
    return shards.flatMap(({ metadata, data }) => [
      ...readShard(shardOfName(metadata?.name ?? '') ?? -1, data).values(),
    ]);
  }

  /** Entries of apexes in the record: that hold a port, and that keep one from others. */
  held(): { readonly claimed: number; readonly freed: number } {
    const all = this.record();
    return { claimed: all.filter(isApexClaim).length, freed: all.filter(isFreed).length };
  }
}

/** Ports of a Service, and what else is in it. */
export interface Ports {
  readonly first?: number;
  readonly ports?: number;
  readonly metadata?: object;
  readonly spec?: object;
}

const metadataOf = ({ metadata = {} }: Ports) => metadata;
const specOf = ({ spec = {} }: Ports) => spec;

import { CONTROLLER_NAME } from '../api/names.ts';
import type {
  V1ConfigMap,
  V1Endpoints,
  V1EndpointSlice,
  V1Lease,
  V1Secret,
  V1Service,
} from '@kubernetes/client-node';
import { forEachIsolated } from '../base/isolation.ts';
import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { PortRange } from '../api/egress/egress-ports.ts';
import { RECORD_SELECTOR } from '../api/egress/egress-record.ts';
import { MIRRORED_SELECTOR } from '../api/mirror/mirror-labels.ts';
import type { HostNames } from '../dns/host-names.ts';
import type { ClusterAccess } from '../kube/client/access.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { EventRecorder } from '../kube/events/event-recorder.ts';
import {
  configMaps,
  endpoints,
  endpointSlices,
  leases,
  namespaces,
  services,
} from '../api/kubernetes/resource.ts';
import { clientFor } from '../kube/client/scoped-client.ts';
import { IndexedStore } from '../kube/informer/store.ts';
import { WorkQueue } from '../kube/queue/work-queue.ts';
import { WorkerPool } from '../kube/queue/worker-pool.ts';
import { TotalBudget } from '../kube/budget/total-budget.ts';
import { ageOf, olderRival, sharingCluster } from './link/rivals.ts';
import { links, type LinkObject } from '../api/link/link-schema.ts';
import type { Selector } from '../api/kubernetes/label-selector.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { CredentialsWatch } from './link/credentials-watch.ts';
import { makers } from './gc/garbage-collector.ts';
import { EgressAllocator } from './egress-ports/egress-allocator.ts';
import { seedClaims } from './egress-ports/egress-seed.ts';
import type { MirrorAddress } from './objects/mirrored-endpoints.ts';
import type { GatewayHealthFactory } from './gateway-health/gateway-probes.ts';
import { LinkController } from './link/link-controller.ts';
import {
  BY_SERVICE,
  egressPods,
  keepMirrorLease,
  keepNamespaceName,
  serviceIndexes,
  sliceService,
} from './reconcile/local-indexes.ts';
import type { LocalExclusionSettings } from './federated/local-exclusions.ts';
import { LocalMembers } from './federated/local-members.ts';
import { LocalView } from './reconcile/local-view.ts';
import { keepMaker } from '../api/mirror/ownership.ts';
import type { TargetSettings } from './settings/target-settings.ts';
import { SourceRanges, type RangeSettings } from './imports/source-ranges.ts';
import { SourceWatches } from './source-watches.ts';
import type { TargetDependencies } from './settings/target-dependencies.ts';

/** Settings of the controller; the CLI's flags. */
export interface MirrorControllerSettings extends TargetSettings {
  /** Namespace of the Links, their Secrets and Leases, and of the egress Service. */
  readonly namespace: string;
  /**
   * Namespaces of this cluster that mirrors are made in, where the account may do so in some only; default
   * all.
   */
  readonly namespaces?: readonly string[] | undefined;
  /** Service whose EndpointSlices are the egress pods. */
  readonly egressService: string;
  readonly egressRange: PortRange;
  /** The source cluster's own address ranges. */
  readonly ranges: RangeSettings;
  /** Services of the source cluster that join federated ones. */
  readonly federatedSelector: Selector;
  /** Labels and annotations of those that federated Services do not get. */
  readonly localExclusions: LocalExclusionSettings;
  /** Requests that all peers together may have under way at the source cluster's API server. */
  readonly totalConcurrency: number;
  /**
   * How long a Lease holds after its last renewal, milliseconds: within that time a replica that was killed
   * is replaced.
   */
  readonly leaseMs: number;
}

/** A write that takes longer than this is stuck: every request has its own, much shorter, limit. */
const WEDGED_MS = 300_000;
/**
 * How much longer a replica waits before it takes a free Lease, for each that it holds: so that replicas
 * share the Links. One alone takes all soon enough.
 */
const CLAIM_DELAY_MS = 100;
const MAX_CLAIM_DELAY_MS = 1200;

export interface MirrorControllerOptions {
  readonly access: ClusterAccess;
  readonly settings: MirrorControllerSettings;
  /** Name of this replica, the holder of its Leases. */
  readonly replica: string;
  readonly names: HostNames;
  readonly health: GatewayHealthFactory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * The mirror controller: one process for all Links. It keeps what the source cluster holds, and one
 * `LinkController` per Link; the rest happens there.
 */
export class MirrorController {
  readonly options: MirrorControllerOptions;
  readonly client: KubeClient;
  readonly view: LocalView;
  readonly links = new IndexedStore<LinkObject>();
  readonly secrets = new IndexedStore<V1Secret>();
  readonly leases = new IndexedStore<V1Lease>();
  /** ConfigMaps of the record of egress ports. */
  readonly #record = new IndexedStore<V1ConfigMap>();
  #egress: EgressAllocator | undefined;
  readonly runs = new Map<string, LinkController>();
  readonly #watches: SourceWatches;
  readonly #queue: WorkQueue;
  readonly #credentials: CredentialsWatch;
  readonly #events: EventRecorder;
  readonly #pool: WorkerPool;
  /** The source cluster's own address ranges, which no target may name addresses of. */
  readonly ranges: SourceRanges;
  #dependencies: TargetDependencies | undefined;
  #localMembers: LocalMembers | undefined;
  #egressAddresses: readonly MirrorAddress[] = [];
  #stopping = false;

  constructor(options: MirrorControllerOptions) {
    this.options = options;
    const { access, clock, random, log, settings } = options;
    // Room beside the writes for Leases, Events and status.
    const maxConnections = settings.totalConcurrency + 8;
    this.client = clientFor(access, { clock, random, log, maxConnections }, settings.namespaces);
    this.#watches = new SourceWatches({ client: this.client, clock, random, log });
    this.#pool = new WorkerPool({ size: settings.totalConcurrency });
    this.view = new LocalView(
      {
        services: new IndexedStore(serviceIndexes),
        endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
        endpoints: new IndexedStore(),
        namespaces: new IndexedStore(),
      },
      clock,
    );
    this.#events = new EventRecorder({
      client: this.client,
      component: CONTROLLER_NAME,
      instance: options.replica,
      clock,
      log,
    });
    this.#queue = new WorkQueue({
      handler: (key) => this.#reconcileLink(key),
      concurrency: 8,
      backoff: { minMs: 500, maxMs: 30_000 },
      clock,
      random,
      log,
      onError: (key, error) => log.warn({ link: key, err: error }, 'link not started, trying again'),
    });
    this.ranges = new SourceRanges({
      ...settings.ranges,
      // Nodes and ServiceCIDRs are the whole cluster's: who may look into some namespaces only is told by
      // flags.
      learn: settings.ranges.learn && (settings.namespaces ?? []).length === 0,
      client: this.client,
      clock,
      random,
      log,
      onChange: () => {
        forEachIsolated('own address ranges', this.runs.values(), ({ peer }) => peer?.rangesChanged());
      },
    });
    this.#credentials = new CredentialsWatch({
      client: this.client,
      namespace: settings.namespace,
      store: this.secrets,
      clock,
      random,
      log,
      onKnown: (name) => this.#secretChanged(`${settings.namespace}/${name}`),
    });
    this.#watchAll();
  }

  /** Starts watching; Links begin once everything local has been listed. Returns at once. */
  start(): void {
    this.#watches.start();
    this.ranges.start();
    Promise.all([this.#watches.whenSynced(), this.ranges.settled]).then(
      () => this.#begin(),
      (error: unknown) => {
        // What is waited for fails only when it is stopped; then there is nothing to begin.
        if (!this.#stopping) throw error;
      },
    );
  }

  /** Stops every Link (handing over its Lease), then the watches. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#queue.stop();
    await Promise.all([...[...this.runs.values()].map((run) => run.stop()), this.#localMembers?.stop()]);
    await Promise.all([this.#credentials.stop(), this.ranges.stop(), this.#watches.stop()]);
    await this.#egress?.stop();
    await this.#events.flush();
    await this.client.close();
  }

  /** Whether the source cluster is known: before that nothing is mirrored. */
  get ready(): Health {
    const { ready } = this.#watches;
    if (!ready.ok || this.ranges.isSettled) return ready;
    return { ok: false, reason: "waiting for this cluster's own address ranges (Nodes, ServiceCIDRs)" };
  }

  /** Whether work goes on: a write that never ends means that this process should be started anew. */
  get live(): Health {
    const peers = [...this.runs].map(([key, { peer }]): [string, number] => [
      key,
      peer?.oldestRunningMs ?? 0,
    ]);
    const all: [string, number][] = [
      ...peers,
      ['links', this.#queue.oldestRunningMs],
      ['local members', this.#localMembers?.oldestRunningMs ?? 0],
    ];
    const stuck = all.find(([, ms]) => ms > WEDGED_MS);
    if (stuck === undefined) return { ok: true, reason: '' };
    return {
      ok: false,
      reason: `${stuck[0]}: a write has been under way for ${Math.round(stuck[1] / 1000)} s`,
    };
  }

  /** How the Events about Links get on. */
  get events(): Pick<EventRecorder, 'failures' | 'failure'> {
    return this.#events;
  }

  /** What is decided about local members of federated Services, while this replica keeps them. */
  get localMembers(): LocalMembers | undefined {
    return this.#localMembers;
  }

  #watchAll(): void {
    const { namespace, egressService } = this.options.settings;
    const { stores } = this.view;
    this.#watches.add(links, this.links, { namespace });
    this.#watches.add(leases, this.leases, { namespace, transform: keepMirrorLease });
    this.#watches.add(configMaps, this.#record, { namespace, labelSelector: RECORD_SELECTOR });
    this.#watches.add(namespaces, stores.namespaces, { transform: keepNamespaceName });
    const made = { labelSelector: MIRRORED_SELECTOR, keepManagedFields: true };
    this.#watches.add(services, stores.services, { ...made, transform: keepMaker<V1Service> });
    this.#watches.add(endpointSlices, stores.endpointSlices, {
      ...made,
      transform: keepMaker<V1EndpointSlice>,
    });
    this.#watches.add(endpoints, stores.endpoints, { ...made, transform: keepMaker<V1Endpoints> });
    const egress = new IndexedStore<NonNullable<(typeof endpointSlices)['__type']>>();
    egress.subscribe('controller: egress pods', () => {
      this.#egressAddresses = egressPods(egress.list());
      forEachIsolated('addresses of the egress', this.runs.values(), ({ peer }) => peer?.resync());
    });
    this.#watches.add(endpointSlices, egress, {
      namespace,
      labelSelector: `kubernetes.io/service-name=${egressService}`,
    });
    this.links.subscribe('controller: Links', (change) => {
      this.#credentials.want(new Set(this.links.list().flatMap((link) => credentialsOf(link) ?? [])));
      for (const key of sharingCluster(this.links, change)) this.#queue.add(key);
    });
    this.secrets.subscribe('controller: Secrets of Links', (change) => this.#secretChanged(change.key));
  }

  #begin(): void {
    if (this.#stopping) return;
    const { settings, clock, random, names, health, log } = this.options;
    const egress = new EgressAllocator({
      client: this.client,
      namespace: settings.namespace,
      store: this.#record,
      range: settings.egressRange,
      clock,
      random,
      log,
    });
    this.#egress = egress;
    egress.establish(() =>
      seedClaims(this.view.stores.services.list(), this.links.list(), settings.egressRange),
    );
    this.#dependencies = {
      local: this.client,
      view: this.view,
      pool: this.#pool,
      egress,
      egressAddresses: () => this.#egressAddresses,
      ranges: this.ranges,
      events: this.#events,
      names,
      health,
      total: new TotalBudget(settings.budgets.total),
      ageOf: (cluster) => ageOf(this.links, cluster),
      clock,
      random,
    };
    this.#localMembers = new LocalMembers({
      ...this.#dependencies,
      namespace: settings.namespace,
      replica: this.options.replica,
      selector: settings.federatedSelector,
      links: this.links,
      exclusions: settings.localExclusions,
      settings,
      lease: this.#lease(),
      log: log.child({ link: 'local' }),
    });
    this.#localMembers.start();
    log.info({ links: this.links.size }, 'source cluster listed');
    // Links that were deleted while nobody ran have left their mirrors.
    const made = [...makers(this.view).keys(), ...egress.links().keys()];
    for (const key of new Set([...this.links.keys(), ...made])) this.#queue.add(key);
  }

  #lease() {
    const { leaseMs } = this.options.settings;
    const jitter = (this.options.random() * CLAIM_DELAY_MS) / 2;
    return {
      store: this.leases,
      durationMs: leaseMs,
      renewDeadlineMs: leaseMs / 2,
      claimDelayMs: () => {
        const held = [...this.runs.values()].filter((run) => run.leader).length;
        return Math.min(MAX_CLAIM_DELAY_MS, CLAIM_DELAY_MS * held + jitter);
      },
    };
  }

  #secretChanged(secretKey: string): void {
    for (const link of this.links.list()) {
      const { namespace, name } = link.metadata ?? {};
      if (`${namespace ?? ''}/${credentialsOf(link) ?? ''}` === secretKey)
        this.#queue.add(`${namespace ?? ''}/${name ?? ''}`);
    }
  }

  async #reconcileLink(key: string): Promise<void> {
    if (this.#dependencies === undefined) return;
    const object = this.links.get(key);
    // What a Link of another namespace has made is not ours to remove.
    if (object === undefined && !key.startsWith(`${this.options.settings.namespace}/`)) return;
    const secret = object === undefined ? undefined : credentialsOf(object);
    // Its Secret is being read for the first time; `onKnown` puts the Link into the queue again.
    if (secret !== undefined && !this.#credentials.knows(secret)) return;
    const run = this.runs.get(key) ?? this.#newRun(key, this.#dependencies);
    await run.update(object, this.secrets, object === undefined ? undefined : olderRival(this.links, object));
    // A younger Link for the same cluster may take over now.
    if (object === undefined) for (const other of this.links.keys()) this.#queue.add(other);
  }

  #newRun(key: string, dependencies: TargetDependencies): LinkController {
    const { settings, replica, log } = this.options;
    const run = new LinkController({
      ...dependencies,
      key,
      settings,
      replica,
      lease: this.#lease(),
      isLinked: (cluster) => ageOf(this.links, cluster) !== undefined,
      onCollected: () => {
        if (this.links.get(key) === undefined) this.runs.delete(key);
        else this.#queue.add(key);
      },
      log: log.child({ link: key.slice(key.indexOf('/') + 1) }),
    });
    this.runs.set(key, run);
    return run;
  }
}

/** Name of the Secret that a Link names, if it names one. */
function credentialsOf({ spec }: LinkObject): string | undefined {
  const name = spec?.clusterCredentialsSecret;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

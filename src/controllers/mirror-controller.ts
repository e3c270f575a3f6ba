import { parseKey } from '../api/mirror/mirror-names.ts';
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
import { RECORD_SELECTOR } from '../api/egress/egress-record.ts';
import { MIRRORED_SELECTOR } from '../api/mirror/mirror-labels.ts';
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
import type { Health } from '../telemetry/admin.ts';
import { claimDelay } from './link/claim-delay.ts';
import { credentialsOf, CredentialsWatch } from './link/credentials-watch.ts';
import { makers } from './gc/garbage-collector.ts';
import { EgressAllocator } from './egress-ports/egress-allocator.ts';
import { EgressPods } from './reconcile/egress-pods.ts';
import { seedClaims } from './egress-ports/egress-seed.ts';
import { askEgress, EgressEvidence } from './gateway-health/egress-evidence.ts';
import { LinkController } from './link/link-controller.ts';
import { keepMirrorLease, keepNamespaceName, serviceIndexes } from './reconcile/local-indexes.ts';
import { BY_SERVICE, sliceService } from '../exports/slices-by-service.ts';
import { Apexes } from './apexes/apexes.ts';
import { LocalMembers } from './federated/local-members.ts';
import { livenessOf } from './live.ts';
import { LocalView } from './reconcile/local-view.ts';
import { PRIORITY } from './reconcile/reconciler.ts';
import { keepMaker } from '../api/mirror/ownership.ts';
import { SourceRanges } from './imports/source-ranges.ts';
import { SourceWatches } from './source-watches.ts';
import { DrainWatch } from './failover/drain-watch.ts';
import { NetworkWatch } from './failover/network-watch.ts';
import { FailoverBook } from './failover/failover-book.ts';
import { FailoverLinks } from '../discovery/failover-links.ts';
import type { MirrorControllerOptions } from './mirror-controller-options.ts';
import type { Weights } from './weights/weights.ts';
import type { TargetDependencies } from './settings/target-dependencies.ts';

/**
 * The mirror controller: one process for all Links. It keeps the stores of the source cluster, and one
 * `LinkController` for each Link, which does the rest.
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
  readonly #failover = new FailoverLinks(this.links);
  readonly failover: FailoverBook;
  #weights: Weights | undefined;
  #drains: DrainWatch | undefined;
  #dependencies: TargetDependencies | undefined;
  #localMembers: LocalMembers | undefined;
  #apexes: Apexes | undefined;
  readonly #egressPods = new EgressPods();
  /** Whether this cluster's own network is suspected. */
  readonly network: NetworkWatch;
  /** What the egress knows of gateways. */
  readonly trunks: EgressEvidence;
  #stopping = false;

  constructor(options: MirrorControllerOptions) {
    this.options = options;
    const { access, clock, random, log, settings } = options;
    // Some more than the writers need: for Leases, Events and status.
    const maxConnections = settings.totalConcurrency + 8;
    this.client = clientFor(access, { clock, random, log, maxConnections }, settings.namespaces);
    this.#watches = new SourceWatches({ client: this.client, clock, random, log });
    this.trunks = new EgressEvidence({
      clock,
      random,
      log,
      pods: () => this.#egressPods.admins,
      ask: askEgress({ clock, random }),
    });
    this.failover = new FailoverBook(this.#failover, this.trunks.demand);
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
    this.network = new NetworkWatch({ links: this.links, events: this.#events, clock, log });
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
      // Nodes and ServiceCIDRs are not in namespaces: an account with rights in some namespaces only cannot
      // read them, and has to be given the ranges by flags.
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

  /**
   * Starts watching; Links are begun when everything in the source cluster has been listed. Returns at once.
   */
  start(): void {
    this.#watches.start();
    this.ranges.start();
    Promise.all([this.#watches.whenSynced(), this.ranges.settled, this.#loadWeights()]).then(
      () => this.#begin(),
      (error: unknown) => {
        // A wait is rejected only by `stop`, when there is nothing to begin any more.
        if (!this.#stopping) throw error;
      },
    );
  }

  /** Stops every Link, giving its Lease back, then the watches. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#drains?.stop();
    this.trunks.stop();
    this.network.stop();
    await this.#queue.stop();
    const runs = [...this.runs.values()].map((run) => run.stop());
    await Promise.all([...runs, this.#localMembers?.stop(), this.#weights?.stop(), this.#apexes?.stop()]);
    await Promise.all([this.#credentials.stop(), this.ranges.stop(), this.#watches.stop()]);
    await this.#egress?.stop();
    await this.#events.flush();
    await this.client.close();
  }

  /** Whether the source cluster has been listed; nothing is mirrored before. */
  get ready(): Health {
    const { ready } = this.#watches;
    if (!ready.ok || this.ranges.isSettled) return ready;
    return { ok: false, reason: "waiting for this cluster's own address ranges (Nodes, ServiceCIDRs)" };
  }

  /** Whether work goes on: where a handler never ends, this process should be restarted. */
  get live(): Health {
    const peers = [...this.runs].map(([key, { peer }]): [string, number] => [
      key,
      peer?.oldestRunningMs ?? 0,
    ]);
    return livenessOf([
      ...peers,
      ['links', this.#queue.oldestRunningMs],
      ['local members', this.#localMembers?.oldestRunningMs ?? 0],
      ['weights', this.#weights?.oldestRunningMs ?? 0],
      ['apexes', this.#apexes?.oldestRunningMs ?? 0],
    ]);
  }

  /** Whether the Events about Links can be written. */
  get events(): Pick<EventRecorder, 'failures' | 'failure'> {
    return this.#events;
  }

  /**
   * The source cluster's own members of federated Services; undefined: the source cluster has not been
   * listed.
   */
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
    this.#egressPods.follow(() => {
      forEachIsolated('addresses of the egress', this.runs.values(), ({ peer }) => peer?.resync());
      this.#localMembers?.kept?.writer.resync(PRIORITY.change);
      this.#apexes?.resync();
    });
    this.#watches.add(endpointSlices, this.#egressPods.slices, {
      namespace,
      labelSelector: `kubernetes.io/service-name=${egressService}`,
    });
    this.links.subscribe('controller: Links', (change) => {
      this.#credentials.want(new Set(this.links.list().flatMap((link) => credentialsOf(link) ?? [])));
      for (const key of sharingCluster(this.links, change)) this.#queue.add(key);
    });
    this.#failover.follow(() => {
      forEachIsolated('failover of Links', this.runs.values(), ({ peer }) => peer?.resync());
      this.#localMembers?.kept?.writer.resync(PRIORITY.bulk);
      this.#weights?.resync();
      this.#apexes?.resync();
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
      egressAddresses: () => this.#egressPods.addresses,
      egressServesGroups: () => this.#egressPods.servesGroups,
      ranges: this.ranges,
      events: this.#events,
      names,
      ownNetwork: this.network,
      trunks: this.trunks,
      health,
      total: new TotalBudget(settings.budgets.total),
      ageOf: (cluster) => ageOf(this.links, cluster),
      failover: this.failover,
      ...(this.#weights === undefined ? {} : { weighed: this.#weights.weighed }),
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
    const { namespace } = settings;
    const { replica } = this.options;
    const drainsOf = (cluster: string) => this.#failover.said.get(cluster)?.drains;
    this.#drains = new DrainWatch({
      links: this.links,
      services: this.view.stores.services,
      events: this.#events,
      clock,
      tellsOfLink: (key) => this.runs.get(key)?.peer !== undefined,
      tellsOfService: (service) => this.failover.decides(service),
    });
    this.#weights?.begin({
      book: this.failover,
      drainsOf,
      view: this.view,
      events: this.#events,
      namespace,
      replica,
      lease: this.#lease(),
    });
    const [drains, demand] = [this.#drains, this.trunks.demand];
    const of = { client: this.client, drainsOf, drains, demand, namespace, replica, log };
    const apexes = { ...this.#dependencies, ...of };
    this.#apexes = new Apexes({ ...apexes, settings, lease: this.#lease() });
    this.#apexes.start();
    log.info({ links: this.links.size }, 'source cluster listed');
    // Links that were deleted while no controller ran have left their mirrors behind.
    const made = [...makers(this.view).keys(), ...egress.links().keys()];
    for (const key of new Set([...this.links.keys(), ...made])) this.#queue.add(key);
  }

  /** The code for weights is loaded where it is asked for. */
  async #loadWeights(): Promise<void> {
    const { clock, random, log, settings } = this.options;
    if (!settings.weights.enabled) return;
    const { Weights: Writer } = await import('./weights/weights.ts');
    this.#weights = new Writer({ client: this.client, clock, random, log }, settings.weights);
  }

  #lease() {
    const { leaseMs } = this.options.settings;
    const random = this.options.random();
    return {
      store: this.leases,
      durationMs: leaseMs,
      renewDeadlineMs: leaseMs / 2,
      claimDelayMs: () => claimDelay([...this.runs.values()].filter((run) => run.leader).length, random),
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
    // What a Link of another namespace has made belongs to another installation.
    if (object === undefined && !key.startsWith(`${this.options.settings.namespace}/`)) return;
    const secret = object === undefined ? undefined : credentialsOf(object);
    // Its Secret has not been read yet; `onKnown` adds the Link to the queue again.
    if (secret !== undefined && !this.#credentials.knows(secret)) return;
    const run = this.runs.get(key) ?? this.#newRun(key, this.#dependencies);
    await run.update(object, this.secrets, object === undefined ? undefined : olderRival(this.links, object));
    // Another Link for the same cluster may take over now.
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
      log: log.child({ link: parseKey(key).name }),
    });
    this.runs.set(key, run);
    return run;
  }
}

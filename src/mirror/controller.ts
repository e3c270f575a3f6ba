import type { V1Secret } from '@kubernetes/client-node';
import { hostname } from 'node:os';
import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { CREDENTIALS_SECRET_TYPE, MIRRORED_SERVICE_LABEL } from '../base/names.ts';
import type { ClusterAccess } from '../kube/access.ts';
import { KubeClient } from '../kube/client.ts';
import { EventRecorder } from '../kube/event-recorder.ts';
import { Reflector } from '../kube/reflector.ts';
import {
  endpoints,
  endpointSlices,
  namespaces,
  secrets,
  services,
  type KubeObject,
  type Resource,
} from '../kube/resource.ts';
import { IndexedStore } from '../kube/store.ts';
import { WorkQueue } from '../kube/work-queue.ts';
import { links, parseLink, type Link, type LinkObject } from '../link/schema.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { CLUSTER_INDEX, clusterOf, egressPods, keepNamespaceName } from './local-indexes.ts';
import { EgressAllocator } from './egress-allocator.ts';
import type { MirrorAddress } from './endpoints.ts';
import type { Resolver } from './gateway-addresses.ts';
import { LinkRun, type LinkSettings } from './link-run.ts';
import { BY_SERVICE, LocalView, sliceService } from './local-view.ts';

/** Settings of the controller; the CLI's flags. */
export interface ControllerSettings extends LinkSettings {
  /** Namespace of the Links, their Secrets and Leases, and of the egress Service. */
  readonly namespace: string;
  /** Service whose EndpointSlices are the egress pods. */
  readonly egressService: string;
}

export interface ControllerOptions {
  readonly access: ClusterAccess;
  readonly settings: ControllerSettings;
  /** Name of this replica, the holder of its Leases. */
  readonly replica: string;
  readonly resolver: Resolver;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * The mirror controller: one process for all Links. It keeps what the source cluster holds, and one `LinkRun` per Link; the rest happens there.
 */
export class Controller {
  readonly options: ControllerOptions;
  readonly client: KubeClient;
  readonly view: LocalView;
  readonly links = new IndexedStore<LinkObject>();
  readonly secrets = new IndexedStore<V1Secret>();
  readonly runs = new Map<string, LinkRun>();
  readonly #reflectors: Reflector<KubeObject>[] = [];
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  #egress: EgressAllocator | undefined;
  #egressAddresses: readonly MirrorAddress[] = [];
  #stopping = false;

  constructor(options: ControllerOptions) {
    this.options = options;
    const { access, clock, random, log } = options;
    this.client = new KubeClient(access, { clock, random, log, maxConnections: 64 });
    this.view = new LocalView(
      {
        services: new IndexedStore({ [CLUSTER_INDEX]: clusterOf }),
        endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
        endpoints: new IndexedStore(),
        namespaces: new IndexedStore(),
      },
      clock,
    );
    this.#events = new EventRecorder({
      client: this.client,
      component: 'linkspan-controller',
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
    this.#watchAll();
  }

  /** Starts watching; Links begin once everything local has been listed. Returns at once. */
  start(): void {
    for (const reflector of this.#reflectors) reflector.start();
    void Promise.all(this.#reflectors.map((reflector) => reflector.whenSynced())).then(() => this.#begin());
  }

  /** Stops every Link (handing over its Lease), then the watches. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#queue.stop();
    await Promise.all([...this.runs.values()].map((run) => run.stop()));
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
    await this.#events.flush();
    await this.client.close();
  }

  /** Whether the source cluster is known: before that nothing is mirrored. */
  get ready(): Health {
    const waiting = this.#reflectors.find((reflector) => !reflector.synced);
    if (waiting === undefined) return { ok: true, reason: '' };
    const { plural, group } = waiting.resource;
    const what = group === '' ? plural : `${plural}.${group}`;
    const why = waiting.error === undefined ? 'listing' : describeError(waiting.error);
    return { ok: false, reason: `waiting for ${what} of the source cluster: ${why}` };
  }

  #watchAll(): void {
    const { namespace, egressService } = this.options.settings;
    const mirrored = `${MIRRORED_SERVICE_LABEL}=true`;
    const { stores } = this.view;
    this.#watch(links, this.links, { namespace });
    this.#watch(secrets, this.secrets, { namespace, fieldSelector: `type=${CREDENTIALS_SECRET_TYPE}` });
    this.#watch(namespaces, stores.namespaces, { transform: keepNamespaceName });
    this.#watch(services, stores.services, { labelSelector: mirrored });
    this.#watch(endpointSlices, stores.endpointSlices, { labelSelector: mirrored });
    this.#watch(endpoints, stores.endpoints, { labelSelector: mirrored });
    const egress = new IndexedStore<NonNullable<(typeof endpointSlices)['__type']>>();
    egress.subscribe(() => {
      this.#egressAddresses = egressPods(egress.list());
      for (const run of this.runs.values()) run.peer?.resync();
    });
    this.#watch(endpointSlices, egress, {
      namespace,
      labelSelector: `kubernetes.io/service-name=${egressService}`,
    });
    this.links.subscribe((change) => this.#queue.add(change.key));
    this.secrets.subscribe((change) => this.#secretChanged(change.key));
  }

  #watch<T extends KubeObject>(
    resource: Resource<T>,
    store: IndexedStore<T>,
    options: {
      namespace?: string;
      labelSelector?: string;
      fieldSelector?: string;
      transform?: (object: T) => T | undefined;
    },
  ): void {
    const { clock, random, log } = this.options;
    const reflector = new Reflector<T>({
      client: this.client,
      resource,
      store,
      clock,
      random,
      log,
      ...options,
    });
    this.#reflectors.push(reflector as unknown as Reflector<KubeObject>);
  }

  #begin(): void {
    if (this.#stopping) return;
    this.#egress = new EgressAllocator(this.view.stores.services, this.options.settings.egressRange);
    this.options.log.info({ links: this.links.size }, 'source cluster listed');
    for (const key of this.links.keys()) this.#queue.add(key);
  }

  #secretChanged(secretKey: string): void {
    for (const link of this.links.list()) {
      const { namespace, name } = link.metadata ?? {};
      if (`${namespace ?? ''}/${link.spec?.clusterCredentialsSecret ?? ''}` === secretKey)
        this.#queue.add(`${namespace ?? ''}/${name ?? ''}`);
    }
  }

  async #reconcileLink(key: string): Promise<void> {
    if (this.#egress === undefined) return;
    const object = this.links.get(key);
    const run = this.runs.get(key) ?? this.#newRun(key, this.#egress);
    await run.update(object, this.secrets, object === undefined ? undefined : this.#olderRival(object));
    if (object === undefined) {
      this.runs.delete(key);
      // A younger Link for the same cluster may take over now.
      for (const other of this.links.keys()) this.#queue.add(other);
    }
  }

  #newRun(key: string, egress: EgressAllocator): LinkRun {
    const { settings, replica, resolver, clock, random, log } = this.options;
    const run = new LinkRun({
      key,
      settings,
      replica: replica === '' ? hostname() : replica,
      client: this.client,
      view: this.view,
      events: this.#events,
      egress,
      egressAddresses: () => this.#egressAddresses,
      resolver,
      clock,
      random,
      log: log.child({ link: key.slice(key.indexOf('/') + 1) }),
    });
    this.runs.set(key, run);
    return run;
  }

  /** The older Link that names the same target cluster, if there is one: two must not write the same mirrors. */
  #olderRival(object: LinkObject): string | undefined {
    const own = parseLink(object);
    if (!own.ok) return undefined;
    for (const other of this.links.list()) {
      const rival = parseLink(other);
      if (!rival.ok || rival.link.name === own.link.name) continue;
      if (rival.link.targetClusterName === own.link.targetClusterName && isOlder(rival.link, own.link))
        return rival.link.name;
    }
    return undefined;
  }
}

function isOlder(a: Link, b: Link): boolean {
  return a.createdAt === b.createdAt ? a.name < b.name : a.createdAt < b.createdAt;
}

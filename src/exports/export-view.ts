import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { notifyAll } from '../base/isolation.ts';
import type { Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { Reflector } from '../kube/informer/reflector.ts';
import { newest } from '../kube/objects/resource-version.ts';
import { endpointSlices, services, type KubeObject } from '../api/kubernetes/resource.ts';
import { IndexedStore, type StoreChange } from '../kube/informer/store.ts';
import { WorkQueue } from '../kube/queue/work-queue.ts';
import type { PeerReading } from '../kube/budget/peer-reading.ts';
import { reflectorLimits } from '../kube/budget/peer-reading.ts';
import type { Logger } from '../telemetry/log.ts';
import {
  countEndpoints,
  countLasting,
  hasPodSelector,
  isExternalName,
  type ServiceEndpoints,
} from './endpoint-slices.ts';
import { HandMadeSlices } from './hand-made-slices.ts';
import { costOfService, withinSize } from './service-size.ts';
import { BY_SERVICE, sliceService } from './slices-by-service.ts';
import { storedService, storedSlice } from './stored-shape.ts';

export type { ServiceEndpoints } from './endpoint-slices.ts';

export interface ExportViewOptions {
  readonly client: KubeClient;
  /**
   * Label selectors in the API server's syntax; a Service that any of them matches is exported. Empty ones
   * match nothing.
   */
  readonly selectors: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Called when `synced` or `error` may have changed. */
  readonly onState?: () => void;
  /** Limits on what the cluster may make us read and keep in memory; default none. */
  readonly limits?: PeerReading & {
    /** Bytes of labels and annotations of one Service. */
    readonly serviceMetadata: number;
  };
  /**
   * Exports by something else than labels (annotations). Where given, all Services are watched, and those
   * that neither a selector nor this exports are dropped on arrival. The slices of a Service that only this
   * exports lack the selector's labels, so each such Service has a watch of its own.
   */
  readonly unfiltered?: {
    /** Whether one of `selectors` matches. */
    readonly selected: (service: V1Service) => boolean;
    /** Whether a Service is exported without a matching selector. */
    readonly exported: (service: V1Service) => boolean;
  };
}

/**
 * How long a slice is kept after it left one selector, when its Service moved to another one, milliseconds:
 * the two watches are not synchronous.
 */
const MOVE_GRACE_MS = 5_000;
/** Most slices that are kept so at the same time; further ones are removed immediately. */
const MAX_MOVING = 1000;
/** Services that are looked up at the same time after they left a selector. */
const CONFIRMATIONS = 4;

/** One watch and its objects. */
interface Part<T extends KubeObject> {
  readonly selector: string;
  readonly store: IndexedStore<T>;
  readonly reflector: Reflector<T>;
}

/**
 * The exported Services of one cluster and their endpoints, watched with selectors that the API server
 * applies, so that a cluster of ten thousand Services of which ten are exported costs ten.
 *
 * kube's endpointslice controller copies a Service's labels to its slices, headless or not
 * (k8s.io/endpointslice `setEndpointSliceLabels`), so the same selectors find the slices. Slices made by hand
 * for a Service without `spec.selector` usually lack them: each such Service has a watch of its own.
 */
export class ExportView {
  /** Exported Services: the union over all selectors. */
  readonly services = new IndexedStore<V1Service>();
  readonly #options: ExportViewOptions;
  readonly #serviceParts: readonly Part<V1Service>[];
  readonly #sliceParts: readonly Part<V1EndpointSlice>[];
  readonly #handMade: HandMadeSlices;
  /** Slices that left a selector together with their Service and are expected in the watch of another. */
  readonly #moving = new Map<string, { readonly slice: V1EndpointSlice; readonly timer: Timer }>();
  readonly #confirmations: WorkQueue;
  readonly #listeners = new Set<(key: string) => void>();

  constructor(options: ExportViewOptions) {
    this.#options = options;
    const { client, clock, random, log } = options;
    const selectors = new Set(options.selectors.filter((selector) => selector.trim() !== ''));
    // Without a selector, one watch sees every Service, so that a label moved from one selector to another is
    // no event at all.
    const watched = options.unfiltered === undefined ? [...selectors] : [''];
    this.#serviceParts = watched.map((selector) => this.#servicePart(selector));
    this.#sliceParts = [...selectors].map((selector) => this.#slicePart(selector));
    this.#handMade = new HandMadeSlices({
      client,
      clock,
      random,
      log,
      limits: options.limits,
      onChange: (key) => this.#tell(key),
      onState: () => options.onState?.(),
    });
    this.#confirmations = new WorkQueue({
      handler: (key, signal) => this.#confirmGone(key, signal),
      concurrency: CONFIRMATIONS,
      backoff: { minMs: 500, maxMs: 30_000 },
      clock,
      random,
      log,
    });
    for (const part of this.#serviceParts)
      part.store.subscribe('exports: Services', (change) => this.#serviceChanged(change));
    for (const part of this.#sliceParts)
      part.store.subscribe('exports: EndpointSlices', (change) => this.#sliceChanged(part, change));
    if (options.onState !== undefined)
      for (const reflector of this.#reflectors()) reflector.subscribe(options.onState);
  }

  start(): void {
    for (const reflector of this.#reflectors()) reflector.start();
    // Whether endpoints are known depends on all watches, so listeners hear of them once the last is synced.
    // Rejects when it is stopped first.
    this.whenSynced().then(
      () => this.services.keys().forEach((key) => this.#tell(key)),
      () => undefined,
    );
  }

  async stop(): Promise<void> {
    this.#listeners.clear();
    for (const { timer } of this.#moving.values()) timer.cancel();
    this.#moving.clear();
    await Promise.all([
      this.#confirmations.stop(),
      this.#handMade.stop(),
      ...this.#reflectors().map((reflector) => reflector.stop()),
    ]);
  }

  /** A Service's slices, sorted by name. */
  slicesOf(key: string): readonly V1EndpointSlice[] {
    const service = this.services.get(key);
    if (service === undefined) return [];
    const found = this.#hasLabelledSlices(service) ? this.#labelledSlices(key) : this.#handMade.slicesOf(key);
    return found.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  }

  /** The numbers of a Service's endpoints; zero where they are not known (`endpointsKnown`). */
  endpointsOf(key: string): ServiceEndpoints {
    const service = this.services.get(key);
    return service === undefined ? { ready: 0, known: 0 } : countEndpoints(service, this.slicesOf(key));
  }

  /** How many of them are ready and not about to go. */
  lastingEndpointsOf(key: string): number {
    const service = this.services.get(key);
    return service === undefined ? 0 : countLasting(service, this.slicesOf(key));
  }

  /**
   * Whether `endpointsOf` and `slicesOf` reflect the cluster, so that no endpoints means there are none. kube
   * keeps at least one slice, if empty, for every Service with a selector; where there is none, the slices
   * have not been labelled or seen yet.
   */
  endpointsKnown(key: string): boolean {
    const service = this.services.get(key);
    if (service === undefined) return false;
    if (isExternalName(service)) return true;
    if (!this.#hasLabelledSlices(service)) return this.#handMade.known(key);
    return this.synced && this.#labelledSlices(key).length > 0;
  }

  /**
   * Whether every selector has been listed completely once. True without selectors, as nothing is exported.
   */
  get synced(): boolean {
    return this.#reflectors().every((reflector) => reflector.synced);
  }

  /** Rejects when the signal is aborted first. */
  async whenSynced(signal?: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors().map((reflector) => reflector.whenSynced(signal)));
  }

  /**
   * `clock.now()` at which the watch that has been silent longest last heard from the API server: all objects
   * here are at least as new. Undefined until every watch has heard once.
   */
  get lastHeard(): number | undefined {
    const words = this.#reflectors().map((reflector) => reflector.lastHeard);
    let oldest: number | undefined;
    for (const word of [...words, ...this.#handMade.lastWords()]) {
      if (word === undefined) return undefined;
      oldest = Math.min(oldest ?? word, word);
    }
    return oldest;
  }

  /**
   * Resumes every watch at once. For the time after the API server was unreachable, when a connection may be
   * dead without an error.
   */
  refresh(): void {
    for (const reflector of this.#reflectors()) reflector.refresh();
    this.#handMade.refresh();
  }

  /** Why a watch is failing at the moment; undefined when none is. */
  get error(): Error | undefined {
    for (const reflector of this.#reflectors()) if (reflector.error !== undefined) return reflector.error;
    return this.#handMade.error;
  }

  /**
   * Calls `listener` with the key of each Service whose object, slices or `endpointsKnown` has changed.
   * Returns the unsubscriber.
   */
  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #servicePart(selector: string): Part<V1Service> {
    const { unfiltered, limits, ...options } = this.#options;
    const store = new IndexedStore<V1Service>();
    const wanted = (service: V1Service) =>
      unfiltered === undefined || unfiltered.selected(service) || unfiltered.exported(service);
    const reflector = new Reflector<V1Service>({
      ...options,
      resource: services,
      store,
      ...(selector === '' ? {} : { labelSelector: selector }),
      ...reflectorLimits(limits, costOfService),
      transform: (service) => {
        if (!wanted(service)) return undefined;
        const kept = storedService(service);
        return limits === undefined ? kept : withinSize(kept, limits.serviceMetadata);
      },
    });
    return { selector, store, reflector };
  }

  #slicePart(selector: string): Part<V1EndpointSlice> {
    const { client, clock, random, log, limits } = this.#options;
    const store = new IndexedStore<V1EndpointSlice>({ [BY_SERVICE]: sliceService });
    const reflector = new Reflector<V1EndpointSlice>({
      client,
      clock,
      random,
      log,
      resource: endpointSlices,
      store,
      labelSelector: selector,
      transform: storedSlice,
      ...reflectorLimits<V1EndpointSlice>(limits),
    });
    return { selector, store, reflector };
  }

  #reflectors(): readonly (Reflector<V1Service> | Reflector<V1EndpointSlice>)[] {
    return [...this.#serviceParts, ...this.#sliceParts].map(({ reflector }) => reflector);
  }

  /**
   * Whether the selectors' watches have the Service's slices: it is exported by label, and kube has made the
   * slices with its labels.
   */
  #hasLabelledSlices(service: V1Service): boolean {
    return hasPodSelector(service) && (this.#options.unfiltered?.selected(service) ?? true);
  }

  #labelledSlices(key: string): V1EndpointSlice[] {
    const byName = new Map<string, V1EndpointSlice>();
    for (const part of this.#sliceParts) {
      for (const slice of part.store.byIndex(BY_SERVICE, key)) {
        const name = nameOf(slice);
        byName.set(name, newest([slice, byName.get(name)]) ?? slice);
      }
    }
    for (const { slice } of this.#moving.values()) {
      if (sliceService(slice)[0] === key && !byName.has(nameOf(slice))) byName.set(nameOf(slice), slice);
    }
    return [...byName.values()];
  }

  #serviceChanged({ key }: StoreChange<V1Service>): void {
    const held = newest(this.#serviceParts.map((part) => part.store.get(key)));
    if (held !== undefined) {
      if (held === this.services.get(key)) return;
      this.services.set(held);
      if (this.#hasLabelledSlices(held) || isExternalName(held)) this.#handMade.forget(key);
      else this.#handMade.follow(key);
    } else if (this.#serviceParts.length > 1) {
      // Deleted, or moved to another selector whose watch is behind: it is not removed until the API server
      // has been asked.
      this.#confirmations.add(key);
      return;
    } else {
      this.#remove(key);
    }
    this.#tell(key);
  }

  /**
   * Asks the API server for this one Service by each selector. A list without resourceVersion is at least as
   * new as any watch event.
   */
  async #confirmGone(key: string, signal: AbortSignal): Promise<void> {
    const [namespace = '', name = ''] = key.split('/');
    for (const part of this.#serviceParts) {
      if (part.store.get(key) !== undefined) return;
      const { items } = await this.#options.client.list(services, {
        namespace,
        labelSelector: part.selector,
        fieldSelector: `metadata.name=${name}`,
        limit: 1,
        signal,
      });
      // Still exported; the other watch will bring it.
      if (items.length > 0) return;
    }
    if (this.#serviceParts.some((part) => part.store.get(key) !== undefined)) return;
    this.#remove(key);
    this.#tell(key);
  }

  #remove(key: string): void {
    this.services.delete(key);
    this.#handMade.forget(key);
  }

  #sliceChanged(part: Part<V1EndpointSlice>, change: StoreChange<V1EndpointSlice>): void {
    const owner = sliceService(change.object)[0];
    if (owner === undefined) return;
    if (change.type !== 'deleted') {
      this.#arrived(change.key);
    } else if (this.#movesWithService(part.selector, owner)) {
      this.#hold(change.key, change.object, owner);
      return;
    }
    if (this.services.get(owner) !== undefined) this.#tell(owner);
  }

  /**
   * Whether a Service is still exported but not by this selector, so that its slices were relabelled rather
   * than deleted.
   */
  #movesWithService(selector: string, owner: string): boolean {
    if (this.#serviceParts.length < 2 || this.services.get(owner) === undefined) return false;
    return this.#serviceParts.find((part) => part.selector === selector)?.store.get(owner) === undefined;
  }

  #hold(key: string, slice: V1EndpointSlice, owner: string): void {
    this.#arrived(key);
    if (this.#moving.size >= MAX_MOVING) {
      this.#tell(owner);
      return;
    }
    const expire = () => {
      this.#moving.delete(key);
      this.#tell(owner);
    };
    this.#moving.set(key, {
      slice,
      timer: this.#options.clock.after(MOVE_GRACE_MS, expire, { unref: true }),
    });
  }

  #arrived(key: string): void {
    this.#moving.get(key)?.timer.cancel();
    this.#moving.delete(key);
  }

  #tell(key: string): void {
    notifyAll('listeners of exports', this.#listeners, key);
  }
}

function nameOf(slice: V1EndpointSlice): string {
  return slice.metadata?.name ?? '';
}

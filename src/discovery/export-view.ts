import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { KubeClient } from '../kube/client.ts';
import { Reflector } from '../kube/reflector.ts';
import { endpointSlices, services } from '../kube/resource.ts';
import { IndexedStore, type StoreChange } from '../kube/store.ts';
import { WorkQueue } from '../kube/work-queue.ts';
import type { Logger } from '../telemetry/log.ts';
import {
  countEndpoints,
  hasPodSelector,
  isExternalName,
  type ServiceEndpoints,
  SERVICE_NAME_LABEL,
} from './endpoint-slices.ts';
import { HandMadeSlices } from './hand-made-slices.ts';
import { newest } from './resource-version.ts';
import { storedService, storedSlice } from './stored-shape.ts';

export type { ServiceEndpoints } from './endpoint-slices.ts';

export interface ExportViewOptions {
  readonly client: KubeClient;
  /** Label selectors, as the API server reads them; an object that any of them matches is exported. Empty ones match nothing. */
  readonly selectors: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Further stripping of what is stored; undefined leaves the Service out. */
  readonly transform?: (service: V1Service) => V1Service | undefined;
}

const BY_SERVICE = 'service';
/** How long a slice that lost a label stays, when its Service's label moved from one selector to another: the two watches are not in step. */
const MOVE_GRACE_MS = 5_000;
/** Services that may be asked about at once after they left a selector. */
const CONFIRMATIONS = 4;

/** What one selector's watches hold. */
interface Part {
  readonly selector: string;
  readonly services: IndexedStore<V1Service>;
  readonly slices: IndexedStore<V1EndpointSlice>;
  readonly reflectors: readonly [Reflector<V1Service>, Reflector<V1EndpointSlice>];
}

/**
 * The exported Services of one cluster and their endpoints, watched with selectors that the API server applies, so that a cluster of
 * ten thousand Services of which ten are exported costs ten.
 *
 * kube's endpointslice controller copies a Service's labels to its slices, headless or not (k8s.io/endpointslice `setEndpointSliceLabels`),
 * so the same selectors find the slices. Slices made by hand for a Service without `spec.selector` usually lack them: each such
 * Service has a watch of its own.
 */
export class ExportView {
  /** Exported Services: the union over all selectors. */
  readonly services = new IndexedStore<V1Service>();
  readonly #options: ExportViewOptions;
  readonly #parts: readonly Part[];
  readonly #handMade: HandMadeSlices;
  /** Slices that left a selector together with their Service and are expected under another. */
  readonly #moving = new Map<string, { readonly slice: V1EndpointSlice; readonly timer: Timer }>();
  readonly #confirmations: WorkQueue;
  readonly #listeners = new Set<(key: string) => void>();

  constructor(options: ExportViewOptions) {
    this.#options = options;
    const { client, clock, random, log } = options;
    const selectors = new Set(options.selectors.filter((selector) => selector.trim() !== ''));
    this.#parts = [...selectors].map((selector) => this.#part(selector));
    this.#handMade = new HandMadeSlices({ client, clock, random, log, onChange: (key) => this.#tell(key) });
    this.#confirmations = new WorkQueue({
      handler: (key, signal) => this.#confirmGone(key, signal),
      concurrency: CONFIRMATIONS,
      backoff: { minMs: 500, maxMs: 30_000 },
      clock,
      random,
      log,
    });
    this.#parts.forEach((part) => {
      part.services.subscribe((change) => this.#serviceChanged(change));
      part.slices.subscribe((change) => this.#sliceChanged(part, change));
    });
  }

  start(): void {
    for (const reflector of this.#reflectors()) reflector.start();
    // Endpoints that were listed before the last of the watches was synced are known only now. Rejects when it is stopped first.
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
      ...this.#parts.flatMap((part) => part.reflectors.map((reflector) => reflector.stop())),
    ]);
  }

  /** A Service's slices, sorted by name. */
  slicesOf(key: string): readonly V1EndpointSlice[] {
    const service = this.services.get(key);
    if (service === undefined) return [];
    const found = hasPodSelector(service) ? this.#labelledSlices(key) : this.#handMade.slicesOf(key);
    return found.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  }

  /** Zero where nothing is known: see `endpointsKnown`. */
  endpointsOf(key: string): ServiceEndpoints {
    const service = this.services.get(key);
    return service === undefined ? { ready: 0, known: 0 } : countEndpoints(service, this.slicesOf(key));
  }

  /**
   * Whether `endpointsOf` and `slicesOf` are what the cluster says, so that none means none. kube keeps at least an empty slice for every
   * Service with a selector (a placeholder): without any, its slices have not been labelled or seen yet.
   */
  endpointsKnown(key: string): boolean {
    const service = this.services.get(key);
    if (service === undefined) return false;
    if (isExternalName(service)) return true;
    if (!hasPodSelector(service)) return this.#handMade.known(key);
    return this.synced && this.#labelledSlices(key).length > 0;
  }

  /** Every selector has been listed completely once. True at once without selectors: nothing is exported. */
  get synced(): boolean {
    return this.#reflectors().every((reflector) => reflector.synced);
  }

  /** Rejects when the signal is aborted first. */
  async whenSynced(signal?: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors().map((reflector) => reflector.whenSynced(signal)));
  }

  /** `clock.now()` of the oldest of the last words of all watches: everything here is at least as new. Undefined before each has had one. */
  get lastWord(): number | undefined {
    const words = this.#reflectors().map((reflector) => reflector.lastWord);
    let oldest: number | undefined;
    for (const word of [...words, ...this.#handMade.lastWords()]) {
      if (word === undefined) return undefined;
      oldest = Math.min(oldest ?? word, word);
    }
    return oldest;
  }

  /** Why some watch does not work at the moment. */
  get error(): Error | undefined {
    for (const reflector of this.#reflectors()) if (reflector.error !== undefined) return reflector.error;
    return this.#handMade.error;
  }

  /** Calls `listener` with the key of a Service whose object, slices or knowledge of endpoints has changed. Returns the unsubscriber. */
  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #part(selector: string): Part {
    const { client, clock, random, log, transform } = this.#options;
    const own = new IndexedStore<V1Service>();
    const slices = new IndexedStore<V1EndpointSlice>({ [BY_SERVICE]: serviceKeysOf });
    const common = { client, clock, random, log, labelSelector: selector };
    return {
      selector,
      services: own,
      slices,
      reflectors: [
        new Reflector({
          ...common,
          resource: services,
          store: own,
          transform: (service) => {
            const stored = storedService(service);
            return transform === undefined ? stored : transform(stored);
          },
        }),
        new Reflector({ ...common, resource: endpointSlices, store: slices, transform: storedSlice }),
      ],
    };
  }

  #reflectors(): readonly (Reflector<V1Service> | Reflector<V1EndpointSlice>)[] {
    return this.#parts.flatMap((part) => part.reflectors);
  }

  #labelledSlices(key: string): V1EndpointSlice[] {
    const byName = new Map<string, V1EndpointSlice>();
    for (const part of this.#parts) {
      for (const slice of part.slices.byIndex(BY_SERVICE, key)) {
        const name = nameOf(slice);
        byName.set(name, newest([slice, byName.get(name)]) ?? slice);
      }
    }
    for (const { slice } of this.#moving.values()) {
      if (serviceKeysOf(slice)[0] === key && !byName.has(nameOf(slice))) byName.set(nameOf(slice), slice);
    }
    return [...byName.values()];
  }

  #serviceChanged({ key }: StoreChange<V1Service>): void {
    const held = newest(this.#parts.map((part) => part.services.get(key)));
    if (held !== undefined) {
      if (held === this.services.get(key)) return;
      this.services.set(held);
      this.#handMade.follow(key, held);
    } else if (this.#parts.length > 1) {
      // Gone, or its label moved to another selector, whose watch is behind: no deletion until the API server has said which.
      this.#confirmations.add(key);
      return;
    } else {
      this.#remove(key);
    }
    this.#tell(key);
  }

  /** Asks each selector about this one Service. A list without resourceVersion is as new as any watch event. */
  async #confirmGone(key: string, signal: AbortSignal): Promise<void> {
    const [namespace = '', name = ''] = key.split('/');
    for (const part of this.#parts) {
      if (part.services.get(key) !== undefined) return;
      const { items } = await this.#options.client.list(services, {
        namespace,
        labelSelector: part.selector,
        fieldSelector: `metadata.name=${name}`,
        signal,
      });
      // Its watch will say so too.
      if (items.length > 0) return;
    }
    if (this.#parts.some((part) => part.services.get(key) !== undefined)) return;
    this.#remove(key);
    this.#tell(key);
  }

  #remove(key: string): void {
    this.services.delete(key);
    this.#handMade.forget(key);
  }

  #sliceChanged(part: Part, change: StoreChange<V1EndpointSlice>): void {
    const owner = serviceKeysOf(change.object)[0];
    if (owner === undefined) return;
    if (change.type !== 'deleted') {
      this.#arrived(change.key);
    } else if (this.#movesWithService(part, owner)) {
      this.#hold(change.key, change.object, owner);
      return;
    }
    if (this.services.get(owner) !== undefined) this.#tell(owner);
  }

  /** The Service is still exported, but no longer by this selector: its slices were relabelled rather than deleted. */
  #movesWithService(part: Part, owner: string): boolean {
    return (
      this.#parts.length > 1 &&
      this.services.get(owner) !== undefined &&
      part.services.get(owner) === undefined
    );
  }

  #hold(key: string, slice: V1EndpointSlice, owner: string): void {
    this.#arrived(key);
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
    for (const listener of this.#listeners) listener(key);
  }
}

/** Key of the Service that a slice belongs to, by its label. */
function serviceKeysOf(slice: V1EndpointSlice): string[] {
  const name = slice.metadata?.labels?.[SERVICE_NAME_LABEL];
  const namespace = slice.metadata?.namespace;
  return name === undefined || namespace === undefined ? [] : [`${namespace}/${name}`];
}

function nameOf(slice: V1EndpointSlice): string {
  return slice.metadata?.name ?? '';
}

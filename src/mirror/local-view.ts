import type { V1Endpoints, V1EndpointSlice, V1Namespace, V1Service } from '@kubernetes/client-node';
import type { Clock } from '../base/clock.ts';
import type { KubeObject } from '../kube/resource.ts';
import type { IndexedStore } from '../kube/store.ts';
import { SERVICE_NAME_LABEL } from './endpoints.ts';
import type { Kind, MirrorObject } from './plan.ts';

/** How long what a write answered is trusted over the watch, which should have told us the same long before. */
const OVERLAY_TTL_MS = 30_000;

/** Index of slices by `namespace/service`. */
export const BY_SERVICE = 'service';

/** The index function for a store of EndpointSlices. */
export function sliceService(slice: V1EndpointSlice): string[] {
  const service = slice.metadata?.labels?.[SERVICE_NAME_LABEL];
  return service === undefined ? [] : [`${slice.metadata?.namespace ?? ''}/${service}`];
}

/** What the source cluster holds, as far as mirrors are concerned. Stores are filled by reflectors. */
export interface LocalStores {
  readonly services: IndexedStore<V1Service>;
  readonly endpointSlices: IndexedStore<V1EndpointSlice>;
  readonly endpoints: IndexedStore<V1Endpoints>;
  readonly namespaces: IndexedStore<V1Namespace>;
}

interface Written {
  /** The object as the API server answered it; undefined = deleted. */
  readonly object: MirrorObject | undefined;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly until: number;
}

/**
 * The local stores with our own writes laid over them until the watch has caught up, so that a key that is handled again at once does not repeat
 * its writes.
 */
export class LocalView {
  readonly stores: LocalStores;
  readonly #clock: Clock;
  readonly #written: Record<Kind, Map<string, Written>> = {
    services: new Map(),
    endpointSlices: new Map(),
    endpoints: new Map(),
  };

  constructor(stores: LocalStores, clock: Clock) {
    this.stores = stores;
    this.#clock = clock;
    this.#forgetWhenSeen('services', stores.services);
    this.#forgetWhenSeen('endpointSlices', stores.endpointSlices);
    this.#forgetWhenSeen('endpoints', stores.endpoints);
  }

  service(namespace: string, name: string): V1Service | undefined {
    const key = `${namespace}/${name}`;
    return this.#overlaid('services', key, this.stores.services.get(key)) as V1Service | undefined;
  }

  endpoints(namespace: string, name: string): V1Endpoints | undefined {
    const key = `${namespace}/${name}`;
    return this.#overlaid('endpoints', key, this.stores.endpoints.get(key)) as V1Endpoints | undefined;
  }

  /** The slices of a Service. */
  slices(namespace: string, service: string): V1EndpointSlice[] {
    const found = new Map<string, V1EndpointSlice | undefined>();
    for (const slice of this.stores.endpointSlices.byIndex(BY_SERVICE, `${namespace}/${service}`)) {
      const key = `${namespace}/${slice.metadata?.name ?? ''}`;
      found.set(key, this.#overlaid('endpointSlices', key, slice) as V1EndpointSlice | undefined);
    }
    for (const [key, { object }] of this.#written.endpointSlices) {
      const slice = object as V1EndpointSlice | undefined;
      if (slice === undefined || found.has(key) || !sliceService(slice).includes(`${namespace}/${service}`))
        continue;
      found.set(key, this.#overlaid('endpointSlices', key, undefined) as V1EndpointSlice | undefined);
    }
    return [...found.values()].filter((slice) => slice !== undefined);
  }

  namespaceExists(name: string): boolean {
    const namespace = this.stores.namespaces.get(name);
    return namespace !== undefined && namespace.metadata?.deletionTimestamp === undefined;
  }

  /** Takes note of an object that the API server has just answered. */
  observe(kind: Kind, object: MirrorObject): void {
    this.#note(kind, object, object);
  }

  /** Takes note that an object is gone. */
  observeDeleted(kind: Kind, object: MirrorObject): void {
    this.#note(kind, object, undefined);
  }

  #note(kind: Kind, object: MirrorObject, now: MirrorObject | undefined): void {
    const metadata = object.metadata;
    this.#written[kind].set(`${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`, {
      object: now,
      uid: metadata?.uid ?? '',
      resourceVersion: metadata?.resourceVersion ?? '',
      until: this.#clock.monotonic() + OVERLAY_TTL_MS,
    });
  }

  #overlaid(kind: Kind, key: string, stored: MirrorObject | undefined): MirrorObject | undefined {
    const written = this.#written[kind].get(key);
    if (written === undefined) return stored;
    if (this.#clock.monotonic() > written.until || isNewer(stored, written)) {
      this.#written[kind].delete(key);
      return stored;
    }
    return written.object;
  }

  #forgetWhenSeen<T extends KubeObject>(kind: Kind, store: IndexedStore<T>): void {
    const written = this.#written[kind];
    store.subscribe((change) => {
      const entry = written.get(change.key);
      if (entry === undefined) return;
      const sameObject = change.object.metadata?.uid === entry.uid;
      if (change.type === 'deleted' ? sameObject : isNewer(change.object, entry)) written.delete(change.key);
    });
  }
}

/** Whether the watch has shown something at least as new as what was written. */
function isNewer(stored: KubeObject | undefined, written: Written): boolean {
  if (stored?.metadata === undefined) return false;
  if (written.object === undefined) return stored.metadata.uid !== written.uid;
  return compareVersions(stored.metadata.resourceVersion ?? '', written.resourceVersion) >= 0;
}

/** Orders resourceVersions, which are decimal numbers for every served kind (KEP-5504). */
export function compareVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : Number(a > b);
}

import { addTo } from '../../base/multimap.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import type { V1Endpoints, V1EndpointSlice, V1Namespace, V1Service } from '@kubernetes/client-node';
import type { Clock } from '../../base/clock.ts';
import { compareVersions } from '../../kube/objects/resource-version.ts';
import { keyOf, type KubeObject } from '../../api/kubernetes/resource.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import type { LocalPart, NamespaceState } from './mirror-facts.ts';
import { HEADLESS_INDEX, headlessMirrorOf } from './local-indexes.ts';
import { BY_SERVICE, sliceService } from '../../exports/slices-by-service.ts';
import { keepMaker } from '../../api/mirror/ownership.ts';
import type { Kind, MirrorObject } from './steps.ts';

/**
 * How long the answer to a write is believed over the store, milliseconds; the watch should have brought it
 * long before.
 */
const OVERLAY_TTL_MS = 30_000;

/** The source cluster's objects that mirroring made, and all Namespaces. Reflectors fill the stores. */
export interface LocalStores {
  /** With `serviceIndexes`. */
  readonly services: IndexedStore<V1Service>;
  /** Indexed by Service (`BY_SERVICE`). */
  readonly endpointSlices: IndexedStore<V1EndpointSlice>;
  readonly endpoints: IndexedStore<V1Endpoints>;
  readonly namespaces: IndexedStore<V1Namespace>;
}

/** A write of ours that the watch has not brought yet. */
interface Written {
  /** The object as the API server answered it; undefined: it was deleted. */
  readonly object: MirrorObject | undefined;
  readonly uid: string;
  readonly resourceVersion: string;
  /** When it is no longer believed (monotonic milliseconds). */
  readonly until: number;
  /** Under which value of the store's index it is found. */
  readonly group: string | undefined;
}

/**
 * The local stores with our own writes laid over them until the watch has brought them, so that a key that is
 * reconciled again at once does not repeat its writes.
 */
export class LocalView {
  readonly stores: LocalStores;
  readonly #clock: Clock;
  readonly #services: Overlay<V1Service>;
  readonly #slices: Overlay<V1EndpointSlice>;
  readonly #endpoints: Overlay<V1Endpoints>;
  readonly #namespaces: Overlay<V1Namespace>;

  constructor(stores: LocalStores, clock: Clock) {
    this.stores = stores;
    this.#clock = clock;
    this.#services = new Overlay(stores.services, clock, {
      index: HEADLESS_INDEX,
      groupsOf: headlessMirrorOf,
    });
    this.#slices = new Overlay(stores.endpointSlices, clock, { index: BY_SERVICE, groupsOf: sliceService });
    this.#endpoints = new Overlay(stores.endpoints, clock);
    this.#namespaces = new Overlay(stores.namespaces, clock);
  }

  service(namespace: string, name: string): V1Service | undefined {
    return this.#services.get(`${namespace}/${name}`);
  }

  endpoints(namespace: string, name: string): V1Endpoints | undefined {
    return this.#endpoints.get(`${namespace}/${name}`);
  }

  /** The slices of a Service. */
  slices(namespace: string, service: string): V1EndpointSlice[] {
    return this.#slices.group(`${namespace}/${service}`);
  }

  /** The endpoint mirrors of a headless mirror. */
  endpointMirrors(namespace: string, headlessMirror: string): V1Service[] {
    return this.#services.group(`${namespace}/${headlessMirror}`);
  }

  /** A Service by name, with its slices and Endpoints. */
  part(namespace: string, name: string): LocalPart {
    return {
      service: this.service(namespace, name),
      slices: this.slices(namespace, name),
      endpoints: this.endpoints(namespace, name),
    };
  }

  /** Whether there is a namespace, and whether it is being deleted. */
  namespace(name: string): NamespaceState {
    const namespace = this.#namespaces.get(name);
    if (namespace === undefined) return 'absent';
    return namespace.metadata?.deletionTimestamp === undefined ? 'present' : 'terminating';
  }

  /**
   * Whether the change of which a store is just telling its subscribers is a write of ours that the watch has
   * brought back, so that there is nothing to do.
   */
  isEcho(kind: Kind, object: KubeObject): boolean {
    return this.#overlay(kind).echo === object;
  }

  /** The API server has just answered with this object. */
  observe(kind: Kind, object: MirrorObject): void {
    keepMaker(object);
    this.#overlay(kind).note(object, object, this.#clock.monotonic() + OVERLAY_TTL_MS);
  }

  /** The API server has just answered that this object is deleted, or not there. */
  observeDeleted(kind: Kind, object: MirrorObject): void {
    this.#overlay(kind).note(object, undefined, this.#clock.monotonic() + OVERLAY_TTL_MS);
  }

  #overlay(kind: Kind): Overlay<MirrorObject> {
    const overlays = {
      services: this.#services,
      endpointSlices: this.#slices,
      endpoints: this.#endpoints,
      namespaces: this.#namespaces,
    };
    return overlays[kind] as unknown as Overlay<MirrorObject>;
  }
}

/** The store of one kind with our latest writes over it. */
class Overlay<T extends KubeObject> {
  readonly #store: IndexedStore<T>;
  readonly #clock: Clock;
  readonly #grouping: { index: string; groupsOf: (object: T) => string[] } | undefined;
  readonly #written = new Map<string, Written>();
  /** Keys in `#written` by `Written.group`. */
  readonly #groups = new Map<string, Set<string>>();
  /**
   * The object of the store's last change, if that was the version that a write of ours was answered with.
   */
  echo: KubeObject | undefined;

  constructor(
    store: IndexedStore<T>,
    clock: Clock,
    grouping?: { index: string; groupsOf: (object: T) => string[] },
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#grouping = grouping;
    store.subscribe('controller: mirrors as they are', (change) => {
      const entry = this.#written.get(change.key);
      this.echo = undefined;
      if (entry === undefined) return;
      const sameObject = change.object.metadata?.uid === entry.uid;
      const written =
        entry.object === undefined ? change.type === 'deleted' : isVersion(change.object, entry);
      if (sameObject && written) this.echo = change.object;
      if (change.type === 'deleted' ? sameObject : isNewer(change.object, entry)) this.#forget(change.key);
    });
  }

  get(key: string): T | undefined {
    return this.#overlaid(key, this.#store.get(key));
  }

  group(value: string): T[] {
    const { index, groupsOf } = this.#grouping ?? {};
    if (index === undefined || groupsOf === undefined) return [];
    const found = new Map<string, T | undefined>();
    for (const object of this.#store.byIndex(index, value)) {
      const key = keyOf(object);
      found.set(key, this.#overlaid(key, object));
    }
    // `get` may delete from the set that we iterate over, which a Set allows.
    for (const key of this.#groups.get(value) ?? []) {
      if (!found.has(key)) found.set(key, this.get(key));
    }
    return [...found.values()].filter(
      (object): object is T => object !== undefined && groupsOf(object).includes(value),
    );
  }

  note(object: T, now: T | undefined, until: number): void {
    const key = keyOf(object);
    this.#forget(key);
    const group = this.#grouping?.groupsOf(object)[0];
    const { uid = '', resourceVersion = '' } = object.metadata ?? {};
    // The watch was faster than the answer: it has brought this write already, and maybe a deletion after it.
    // It brings only objects that it selects.
    const shown = now !== undefined && isWatched(now);
    if (shown && compareVersions(this.#store.version, resourceVersion) >= 0) return;
    this.#written.set(key, { object: now as MirrorObject | undefined, uid, resourceVersion, until, group });
    if (group !== undefined) addTo(this.#groups, group, key);
  }

  #overlaid(key: string, stored: T | undefined): T | undefined {
    const written = this.#written.get(key);
    if (written === undefined) return stored;
    if (this.#clock.monotonic() > written.until || isNewer(stored, written)) {
      this.#forget(key);
      return stored;
    }
    return written.object as T | undefined;
  }

  #forget(key: string): void {
    const entry = this.#written.get(key);
    if (entry === undefined) return;
    this.#written.delete(key);
    if (entry.group === undefined) return;
    const keys = this.#groups.get(entry.group);
    keys?.delete(key);
    if (keys?.size === 0) this.#groups.delete(entry.group);
  }
}

/**
 * Whether the store's watch selects the object: all Namespaces, and of the other kinds what is labelled as
 * mirrored.
 */
function isWatched(object: KubeObject): boolean {
  return object.metadata?.namespace === undefined || isMirrored(object);
}

function isVersion(object: KubeObject, { resourceVersion }: Written): boolean {
  return object.metadata?.resourceVersion === resourceVersion;
}

/** Whether the store has something at least as new as what was written. */
function isNewer(stored: KubeObject | undefined, written: Written): boolean {
  if (stored?.metadata === undefined) return false;
  if (written.object === undefined) return stored.metadata.uid !== written.uid;
  return compareVersions(stored.metadata.resourceVersion ?? '', written.resourceVersion) >= 0;
}

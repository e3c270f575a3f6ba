import type { WrittenWeight } from '../../api/failover/backend-weights.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import { writtenTexts } from '../../api/mirror/failover-texts.ts';
import { WEIGHTED_KINDS } from '../../api/routing/weighted-kinds.ts';
import { notifyAll } from '../../base/isolation.ts';
import { InstalledKinds } from '../../kube/informer/installed-kinds.ts';
import { WatchedKind, type WatchParts } from '../../kube/informer/watched-kind.ts';
import { MAX_STANDBYS_PPM } from '../../policy/failover/route-weights.ts';
import type { WeighedServices } from '../failover/weighed-services.ts';
import {
  readLists,
  type WeightedKind,
  weightedKind,
  type WeightedObject,
} from '../../policy/weights/weighted-object.ts';
import { keptOf } from '../../policy/weights/release.ts';
import { controllerOf } from './weights-verdict.ts';

/** One kind of objects with weights, in one group. */
export interface WatchedWeights {
  readonly kind: WeightedKind;
  readonly watched: WatchedKind<WeightedObject>;
}

/** An object that is managed, or was. */
export interface FoundObject extends WatchedWeights {
  readonly object: WeightedObject;
}

/** The index of objects by the Services that are their backends, `namespace/name`. */
const BY_BACKEND = 'backend';
const BY_NAMESPACE = 'namespace';

export interface WeightedObjectsOptions extends WatchParts {
  readonly clusterDomain: string;
  /** As `InstalledKindsOptions.lookMs`. */
  readonly lookMs?: number | undefined;
}

/**
 * The TrafficSplits, routes and ServiceProfiles whose weights are managed, or were, of kinds that are
 * installed. Every replica follows them, as whoever mirrors a backend must know that its facts are asked for;
 * one writes.
 */
export class WeightedObjects implements WeighedServices {
  readonly #kinds: readonly WatchedWeights[];
  readonly #installed: InstalledKinds;
  readonly #clusterDomain: string;
  readonly #listeners = new Set<(service: string) => void>();
  readonly #objectListeners = new Set<(key: string) => void>();

  constructor(options: WeightedObjectsOptions) {
    this.#clusterDomain = options.clusterDomain;
    this.#kinds = WEIGHTED_KINDS.map(({ group, plural, kind: name }) => {
      const kind = weightedKind(name);
      const backendsOf = (object: WeightedObject) => servicesOf(kind, object, options.clusterDomain);
      const watched = new WatchedKind<WeightedObject>(
        options,
        { group, kind: kind.kind, plural, namespaced: true },
        {
          onSynced: () => undefined,
          transform: keepManaged,
          keepManagedFields: true,
          indexes: { [BY_BACKEND]: backendsOf, [BY_NAMESPACE]: namespaceOf },
        },
      );
      watched.store.subscribe('weights: objects', ({ key, object, previous }) => {
        notifyAll('listeners of weights', this.#objectListeners, idOf({ group, plural }, key));
        const backends = new Set([
          ...backendsOf(object),
          ...(previous === undefined ? [] : backendsOf(previous)),
        ]);
        for (const service of backends) notifyAll('listeners of weighed Services', this.#listeners, service);
      });
      return { kind, watched };
    });
    this.#installed = new InstalledKinds({ ...options, kinds: this.#kinds.map(({ watched }) => watched) });
  }

  start(): void {
    this.#installed.start();
  }

  async stop(): Promise<void> {
    await this.#installed.stop();
  }

  /** An object by its id; undefined: it is gone, or not managed. */
  get(id: string): FoundObject | undefined {
    const [group = '', plural = '', namespace = '', name = ''] = id.split('/');
    const found = this.#kinds.find(({ watched }) => watched.group === group && watched.plural === plural);
    const object = found?.watched.store.get(`${namespace}/${name}`);
    return found === undefined || object === undefined ? undefined : { ...found, object };
  }

  /** Ids of all of them. */
  ids(): string[] {
    return this.#kinds.flatMap(({ watched }) => [...watched.store.keys()].map((key) => idOf(watched, key)));
  }

  /** Ids of those of a namespace. */
  idsIn(namespace: string): string[] {
    return this.#kinds.flatMap(({ watched }) =>
      watched.store.byIndex(BY_NAMESPACE, namespace).map((object) => idOf(watched, keyOf(object))),
    );
  }

  /** Ids of those that a Service (`namespace/name`) is a backend of. */
  idsOf(service: string): string[] {
    return this.#kinds.flatMap(({ watched }) =>
      watched.store.byIndex(BY_BACKEND, service).map((object) => idOf(watched, keyOf(object))),
    );
  }

  /** Whether a Service is a backend whose weight is managed, or that stands in tiers. */
  has(service: string): boolean {
    return this.#kinds.some(({ watched }) => watched.store.byIndex(BY_BACKEND, service).length > 0);
  }

  /** Whether any object gives it more than a standby has, so that sidecars send it requests. */
  isServing(service: string): boolean {
    return this.#kinds.some(({ kind, watched }) =>
      watched.store
        .byIndex(BY_BACKEND, service)
        .filter((object) => controllerOf(object) !== undefined)
        .some((object) => weightsOf(kind, object, service, this.#clusterDomain).some(isShare)),
    );
  }

  /** Calls `listener` with the id of each object that changes. Returns the unsubscriber. */
  subscribe(listener: (id: string) => void): () => void {
    this.#objectListeners.add(listener);
    return () => this.#objectListeners.delete(listener);
  }

  /** Calls `listener` with each Service for which `has` may have changed. Returns the unsubscriber. */
  follow(listener: (service: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function namespaceOf({ metadata }: WeightedObject): string[] {
  return [metadata?.namespace ?? ''];
}

function idOf({ group, plural }: { readonly group: string; readonly plural: string }, key: string): string {
  return `${group}/${plural}/${key}`;
}

/**
 * Objects that nobody asked us about are not kept: of a thousand routes those that are managed cost memory.
 * Those with tiers are for clients of the egress: their weights are nobody's business, but the facts of their
 * backends are asked for.
 */
function keepManaged(object: WeightedObject): WeightedObject | undefined {
  const isOurs = controllerOf(object) !== undefined || keptOf(object).size > 0;
  return isOurs || isTiered(object) ? object : undefined;
}

function isTiered({ metadata }: WeightedObject): boolean {
  return writtenTexts(metadata?.annotations).tiers !== undefined;
}

function servicesOf(kind: WeightedKind, object: WeightedObject, clusterDomain: string): string[] {
  if (controllerOf(object) === undefined && !isTiered(object)) return [];
  const { lists } = readLists(kind, object, clusterDomain);
  return [...new Set(lists.flatMap(({ backends }) => backends.map(({ service }) => service)))];
}

function weightsOf(
  kind: WeightedKind,
  object: WeightedObject,
  service: string,
  clusterDomain: string,
): WrittenWeight[] {
  const backends = readLists(kind, object, clusterDomain).lists.flatMap((list) => list.backends);
  return backends.filter((backend) => backend.service === service).map(({ weight }) => weight);
}

/** A weight that its author has not written stands for 1, and a quantity is not one of ours. */
function isShare(weight: WrittenWeight): boolean {
  return typeof weight !== 'number' || weight > MAX_STANDBYS_PPM;
}

import type { KubeObject, Resource } from '../../api/kubernetes/resource.ts';
import { Patience } from './patience.ts';
import { Reflector } from './reflector.ts';
import { IndexedStore, type StoreChange } from './store.ts';
import type { WatchParts } from './watched-kind.ts';

/** What is watched in each namespace, and who hears of it. */
export interface WatchedNamespacesOptions<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** As of `IndexedStore`. */
  readonly indexes?: Readonly<Record<string, (object: T) => string[]>>;
  /** As `ReflectorOptions.transform`. */
  readonly transform: (object: T) => T | undefined;
  /** Whose watches they are and what of, constant, for the log. */
  readonly name: string;
  /** Called after every change of an object. */
  readonly onChange: (change: StoreChange<T>, namespace: string) => void;
  /** Called after each failure of the first list of a namespace, and when that is complete. */
  readonly onNamespace: (namespace: string, watched: WatchedNamespace<T>) => void;
}

/** The objects of one namespace. */
export interface WatchedNamespace<T extends KubeObject> {
  readonly store: Pick<IndexedStore<T>, 'get' | 'byIndex'>;
  /** Whether all of them are known: what is not in the store is not there. */
  readonly synced: boolean;
  /** What is wrong now. */
  readonly error: Error | undefined;
  /** Whether they are known, or nobody is to wait for that any more (`Patience`). */
  readonly settled: boolean;
}

/**
 * One kind of object in those namespaces that somebody asks for, with a watch for each: no label finds these
 * objects, and a watch of all namespaces would hold what nobody needs.
 */
export class WatchedNamespaces<T extends KubeObject> {
  readonly #parts: WatchParts;
  readonly #options: WatchedNamespacesOptions<T>;
  readonly #watches = new Map<string, NamespaceWatch<T>>();
  readonly #stopping = new Set<Promise<void>>();

  constructor(parts: WatchParts, options: WatchedNamespacesOptions<T>) {
    const { client, clock, random, log } = parts;
    this.#parts = { client, clock, random, log };
    this.#options = options;
  }

  /** What is known of a namespace; its watch begins now if there is none. */
  watch(namespace: string): WatchedNamespace<T> {
    return this.#watches.get(namespace) ?? this.#begin(namespace);
  }

  /** What is known of a namespace; undefined: it is not watched. */
  get(namespace: string): WatchedNamespace<T> | undefined {
    return this.#watches.get(namespace);
  }

  /** All that are watched, by name. */
  entries(): Iterable<[string, WatchedNamespace<T>]> {
    return this.#watches.entries();
  }

  /** Ends the watch of a namespace, if there is one, and forgets its objects; nothing is told of it. */
  end(namespace: string): void {
    const watch = this.#watches.get(namespace);
    if (watch === undefined) return;
    this.#watches.delete(namespace);
    const stopped = watch.reflector.stop().finally(() => this.#stopping.delete(stopped));
    this.#stopping.add(stopped);
  }

  /** Ends all watches. Resolves when none is left, also of those that were ended before. */
  async stop(): Promise<void> {
    for (const namespace of this.#watches.keys()) this.end(namespace);
    await Promise.all(this.#stopping);
  }

  #begin(namespace: string): NamespaceWatch<T> {
    const { resource, indexes, transform, name, onChange, onNamespace } = this.#options;
    const store = new IndexedStore<T>(indexes);
    store.subscribe(name, (change) => onChange(change, namespace));
    const reflector = new Reflector<T>({ ...this.#parts, resource, namespace, store, transform });
    const watch = new NamespaceWatch(store, reflector, new Patience(this.#parts.clock));
    this.#watches.set(namespace, watch);
    // Later failures take nothing away that is known.
    const unsubscribe = reflector.subscribe(() => {
      if (reflector.synced) unsubscribe();
      onNamespace(namespace, watch);
    });
    reflector.start();
    return watch;
  }
}

class NamespaceWatch<T extends KubeObject> implements WatchedNamespace<T> {
  readonly store: IndexedStore<T>;
  readonly reflector: Reflector<T>;
  readonly #patience: Patience;

  constructor(store: IndexedStore<T>, reflector: Reflector<T>, patience: Patience) {
    this.store = store;
    this.reflector = reflector;
    this.#patience = patience;
  }

  get synced(): boolean {
    return this.reflector.synced;
  }

  get error(): Error | undefined {
    return this.reflector.error;
  }

  get settled(): boolean {
    return this.synced || this.#patience.livesWith(this.error);
  }
}

import { reportContained } from '../../base/isolation.ts';
import { addTo, removeFrom } from '../../base/multimap.ts';
import { keyOf, type KubeObject } from '../../api/kubernetes/resource.ts';

/** A difference that a store has just taken in. */
export interface StoreChange<T> {
  readonly type: 'added' | 'updated' | 'deleted';
  readonly key: string;
  /** The object as it is now, or as it last was. */
  readonly object: T;
  readonly previous?: T;
}

type IndexFunction<T> = (object: T) => string[];

/** Objects of one kind by key (`namespace/name`) and by any number of indexes. A reflector fills it. */
export class IndexedStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #functions: ReadonlyMap<string, IndexFunction<T>>;
  readonly #indexes = new Map<string, Map<string, Set<string>>>();
  readonly #listeners = new Map<(change: StoreChange<T>) => void, string>();

  constructor(indexes: Readonly<Record<string, IndexFunction<T>>> = {}) {
    this.#functions = new Map(Object.entries(indexes));
    for (const name of this.#functions.keys()) this.#indexes.set(name, new Map());
  }

  /**
   * resourceVersion up to which the store is known to follow its collection; empty before the first list. The
   * reflector sets it, before it tells of the change.
   */
  version = '';

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /** The stored object where it is the same version of the same object, as `set` would leave it. */
  unchanged(object: T): T | undefined {
    const stored = this.#objects.get(keyOf(object));
    return stored !== undefined && sameVersion(stored, object) ? stored : undefined;
  }

  /** The object that has been here longest. */
  get first(): T | undefined {
    return this.#objects.values().next().value;
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  keys(): string[] {
    return [...this.#objects.keys()];
  }

  /** Objects whose index function gave `value`. */
  byIndex(index: string, value: string): T[] {
    const found: T[] = [];
    for (const key of this.#indexes.get(index)?.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  /**
   * Calls `listener` after every change. What it throws is surfaced with its name, and harms nobody else:
   * neither other listeners nor whoever fills the store.
   * @param name whose it is and what it does, constant, for the log
   * @returns what ends the subscription
   */
  subscribe(name: string, listener: (change: StoreChange<T>) => void): () => void {
    this.#listeners.set(listener, name);
    return () => this.#listeners.delete(listener);
  }

  /** Adds or updates; an object of the same UID and resourceVersion as the stored one is no change. */
  set(object: T): void {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous !== undefined && sameVersion(previous, object)) return;
    if (previous !== undefined) this.#unindex(key, previous);
    this.#objects.set(key, object);
    this.#index(key, object);
    this.#emit(
      previous === undefined ? { type: 'added', key, object } : { type: 'updated', key, object, previous },
    );
  }

  delete(key: string): void {
    const previous = this.#objects.get(key);
    if (previous === undefined) return;
    this.#objects.delete(key);
    this.#unindex(key, previous);
    this.#emit({ type: 'deleted', key, object: previous, previous });
  }

  /** Makes the store hold exactly these objects, telling only what differs. */
  replace(objects: readonly T[]): void {
    const keep = new Set(objects.map((object) => keyOf(object)));
    for (const key of this.#objects.keys()) if (!keep.has(key)) this.delete(key);
    for (const object of objects) this.set(object);
  }

  #index(key: string, object: T): void {
    for (const [name, values] of this.#valuesOf(object)) {
      const index = this.#indexes.get(name);
      if (index !== undefined) for (const value of values) addTo(index, value, key);
    }
  }

  #unindex(key: string, object: T): void {
    for (const [name, values] of this.#valuesOf(object)) {
      const index = this.#indexes.get(name);
      if (index !== undefined) for (const value of values) removeFrom(index, value, key);
    }
  }

  *#valuesOf(object: T): Generator<[string, string[]]> {
    for (const [name, valuesOf] of this.#functions) {
      let values: string[] = [];
      try {
        values = valuesOf(object);
      } catch (error) {
        // The object is in no index then, and is found by its key only.
        reportContained(error, 'indexes of a store', { index: name, key: keyOf(object) });
      }
      yield [name, values];
    }
  }

  #emit(change: StoreChange<T>): void {
    for (const [listener, subscriber] of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        reportContained(error, 'subscribers of a store', { subscriber, key: change.key });
      }
    }
  }
}

function sameVersion(a: KubeObject, b: KubeObject): boolean {
  const version = a.metadata?.resourceVersion;
  return (
    version !== undefined && version === b.metadata?.resourceVersion && a.metadata?.uid === b.metadata?.uid
  );
}

import { reportContained } from '../../base/isolation.ts';
import { addTo, removeFrom } from '../../base/multimap.ts';
import { keyOf, type KubeObject } from '../../api/kubernetes/resource.ts';

/** One change of a store. */
export interface StoreChange<T> {
  readonly type: 'added' | 'updated' | 'deleted';
  readonly key: string;
  /** The object as it is now; of one that was deleted, as it last was. */
  readonly object: T;
  /** The object before the change; absent for one that was added. */
  readonly previous?: T;
}

/** The values under which an index has an object (client-go's IndexFunc). */
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
   * resourceVersion up to which the store has followed its collection; empty before the first list. The
   * reflector sets it before the change that brought it, so that subscribers of that change see it.
   */
  version = '';

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /**
   * The stored object, where it is the same version of the same object (UID), so that `set` would change
   * nothing.
   */
  unchanged(object: T): T | undefined {
    const stored = this.#objects.get(keyOf(object));
    return stored !== undefined && sameVersion(stored, object) ? stored : undefined;
  }

  /** The object that has been in the store longest. */
  get first(): T | undefined {
    return this.#objects.values().next().value;
  }

  /** All objects, those that have been in the store longest first; a copy. */
  list(): T[] {
    return [...this.#objects.values()];
  }

  /** Their keys, in the same order; a copy. */
  keys(): string[] {
    return [...this.#objects.keys()];
  }

  /** The objects that an index has under `value`. */
  byIndex(index: string, value: string): T[] {
    const found: T[] = [];
    for (const key of this.#indexes.get(index)?.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  /**
   * Calls `listener` after every change, in the same turn. What it throws is logged with its name and reaches
   * neither other listeners nor whoever fills the store.
   * @param name whose listener it is and what it does, constant, for the log
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

  /** Removes an object, if it is there. */
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
        // The object is left out of this index, and still found by its key.
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

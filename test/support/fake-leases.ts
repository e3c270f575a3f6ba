import type { V1Lease } from '@kubernetes/client-node';
import { sleep, type Clock } from '../../src/base/clock.ts';
import { statusError } from '../../src/kube/client/api-error.ts';
import { keyOf, type KubeObject, type ObjectRef, type Resource } from '../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../src/kube/informer/store.ts';

type Verb = 'get' | 'create' | 'replace' | 'delete';

/** What becomes of one request, as a test decides it. Delays are milliseconds of the test's clock. */
export interface Fate {
  /** Until the API server does it. */
  readonly before?: number;
  /** From then until the answer arrives; Infinity = never. */
  readonly after?: number;
  /** Refused before anything is done. */
  readonly error?: Error;
}

/**
 * The Leases of an API server, in memory: resourceVersions, conflicts, preconditions, and requests that take
 * long, fail, or are carried out although their caller has long given up. Deaf to signals, as a server is.
 */
export class FakeLeases {
  readonly #clock: Clock;
  readonly #leases = new Map<string, V1Lease>();
  readonly #stores = new Set<{ store: IndexedStore<V1Lease>; delay: () => number; last: number }>();
  #version = 0;
  #uid = 0;
  /** Every request, as `who verb`. */
  readonly calls: string[] = [];
  fate: (who: string, verb: Verb) => Fate = () => ({});

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A reflector's store of the Leases; each change reaches it after `delay`, in order. */
  store(delay: () => number = () => 0): IndexedStore<V1Lease> {
    const store = new IndexedStore<V1Lease>();
    for (const lease of this.#leases.values()) store.set(structuredClone(lease));
    this.#stores.add({ store, delay, last: 0 });
    return store;
  }

  get(name = 'lease'): V1Lease | undefined {
    return this.#leases.get(`ns/${name}`);
  }

  /** Writes as somebody else does. */
  put(spec: V1Lease['spec'], name = 'lease'): void {
    const before = this.get(name);
    const metadata = { namespace: 'ns', name, uid: before?.metadata?.uid ?? `u${++this.#uid}` };
    this.#set({ metadata, ...(spec === undefined ? {} : { spec }) });
  }

  remove(name = 'lease'): void {
    this.#delete(`ns/${name}`);
  }

  client(who: string) {
    return {
      get: <T extends KubeObject>(_: Resource<T>, ref: ObjectRef) =>
        this.#request<T>(who, 'get', () => this.#find(keyOf(ref)) as unknown as T),
      create: <T extends KubeObject>(_: Resource<T>, object: T) =>
        this.#request<T>(who, 'create', () => {
          if (this.#leases.has(keyOf(object))) throw refusal(409, 'AlreadyExists');
          const metadata = { ...object.metadata, uid: `u${++this.#uid}` };
          return this.#set({ ...object, metadata } as V1Lease) as unknown as T;
        }),
      replace: <T extends KubeObject>(_: Resource<T>, object: T) =>
        this.#request<T>(who, 'replace', () => {
          const { resourceVersion, uid } = this.#find(keyOf(object)).metadata ?? {};
          if (object.metadata?.uid !== uid) throw refusal(409, 'Conflict');
          if (object.metadata?.resourceVersion !== resourceVersion) throw refusal(409, 'Conflict');
          return this.#set(object) as unknown as T;
        }),
      delete: (
        _: Resource<KubeObject>,
        ref: ObjectRef,
        { uid, resourceVersion }: { uid?: string; resourceVersion?: string } = {},
      ) =>
        this.#request<void>(who, 'delete', () => {
          const { metadata } = this.#find(keyOf(ref));
          if (uid !== undefined && uid !== metadata?.uid) throw refusal(409, 'Conflict');
          if (resourceVersion !== undefined && resourceVersion !== metadata?.resourceVersion)
            throw refusal(409, 'Conflict');
          this.#delete(keyOf(ref));
        }),
    };
  }

  async #request<T>(who: string, verb: Verb, act: () => T): Promise<T> {
    this.calls.push(`${who} ${verb}`);
    const { before = 0, after = 0, error } = this.fate(who, verb);
    if (before > 0) await sleep(this.#clock, before);
    else await Promise.resolve();
    if (error !== undefined) throw error;
    let done: { readonly value: T } | { readonly error: unknown };
    try {
      done = { value: structuredClone(act()) };
    } catch (refused) {
      done = { error: refused };
    }
    if (after === Infinity) await new Promise<never>(() => undefined);
    if (after > 0) await sleep(this.#clock, after);
    if ('error' in done) throw done.error;
    return done.value;
  }

  #find(key: string): V1Lease {
    const lease = this.#leases.get(key);
    if (lease === undefined) throw refusal(404, 'NotFound');
    return lease;
  }

  #set(lease: V1Lease): V1Lease {
    const stored = structuredClone(lease);
    stored.metadata = { ...stored.metadata, resourceVersion: String(++this.#version) };
    this.#leases.set(keyOf(stored), stored);
    this.#tell((store) => store.set(structuredClone(stored)));
    return stored;
  }

  #delete(key: string): void {
    this.#leases.delete(key);
    this.#tell((store) => store.delete(key));
  }

  #tell(change: (store: IndexedStore<V1Lease>) => void): void {
    for (const entry of this.#stores) {
      entry.last = Math.max(entry.last, this.#clock.monotonic() + entry.delay());
      this.#clock.after(entry.last - this.#clock.monotonic(), () => change(entry.store));
    }
  }
}

function refusal(status: number, reason: string): Error {
  return statusError(status, JSON.stringify({ kind: 'Status', reason, message: reason }), 'lease', undefined);
}

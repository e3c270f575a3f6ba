import { statusError } from '../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../src/kube/client/kube-client.ts';
import { parseSelector, parseSelectorText } from '../../src/api/kubernetes/label-selector.ts';
import type { KubeObject, ObjectRef, Resource } from '../../src/api/kubernetes/resource.ts';

interface WatchOptions {
  resourceVersion?: string;
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  signal?: AbortSignal;
  keep?: (object: KubeObject) => KubeObject | undefined;
}

interface Event {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: KubeObject;
}

/** A write as watches see it. */
interface Change {
  readonly version: number;
  readonly plural: string;
  readonly before: KubeObject | undefined;
  readonly after: KubeObject | undefined;
}

interface Watcher {
  readonly plural: string;
  readonly options: WatchOptions;
  readonly queue: Event[];
  wake: () => void;
  /** Ended by the test. */
  cut: boolean;
}

/**
 * The part of an API server that list and watch need, in memory and without a socket: label selectors, the
 * field `metadata.name`, one resourceVersion for the whole cluster, and a watch that says
 * DELETED for an object that leaves its selector. A test can hold the watches of a selector back, or let
 * calls fail, to get the orders of events that a real server gives once in a thousand times.
 */
export class FakeCluster {
  readonly #objects = new Map<string, KubeObject>();
  readonly #watchers = new Set<Watcher>();
  readonly #held = new Set<string>();
  #version = 100;
  /** What the next lists throw, for as long as it is set. */
  listError: Error | undefined;
  /** Every list that was asked for, as `plural selector`. */
  readonly lists: string[] = [];

  readonly #log: Change[] = [];
  #compacted = 0;
  /** Runs before every write and every read of one object; what it throws is what the caller gets. */
  beforeCall: (verb: string, plural: string, subresource?: string) => void = () => undefined;
  /** Address families that a Service gets which is made; undefined: nothing is said of them. */
  ipFamilies: string[] | undefined;
  /** Runs after a write was carried out: to lose an answer. */
  afterWrite: (verb: string) => void = () => undefined;

  /** As `KubeClient`: list and watch, and the writes that mirroring makes, with their preconditions. */
  get client(): KubeClient {
    return {
      server: 'fake',
      // No group of kinds is installed.
      raw: () => Promise.reject(apiError(404, 'NotFound')),
      list: (resource: Resource<KubeObject>, options: WatchOptions) => this.#list(resource, options),
      watch: (resource: Resource<KubeObject>, options: WatchOptions) => this.#watch(resource, options),
      get: async (resource: Resource<KubeObject>, ref: ObjectRef) => {
        await Promise.resolve();
        this.beforeCall('get', resource.plural);
        return structuredClone(this.#mustFind(resource, ref));
      },
      create: async (resource: Resource<KubeObject>, object: KubeObject) => {
        await Promise.resolve();
        this.beforeCall('create', resource.plural);
        const created = this.#create(resource, object);
        this.afterWrite('create');
        return created;
      },
      patch: async (
        resource: Resource<KubeObject>,
        ref: ObjectRef,
        patch: KubeObject,
        { subresource }: { readonly subresource?: string } = {},
      ) => {
        await Promise.resolve();
        this.beforeCall('patch', resource.plural, subresource);
        const patched = this.#patch(resource, ref, patch);
        this.afterWrite('patch');
        return patched;
      },
      delete: async (resource: Resource<KubeObject>, ref: ObjectRef, options: { uid?: string } = {}) => {
        await Promise.resolve();
        this.beforeCall('delete', resource.plural);
        const held = this.#delete(resource, ref, options.uid);
        this.afterWrite('delete');
        return held;
      },
    } as unknown as KubeClient;
  }

  /** Objects of a kind, by key. */
  all<T extends KubeObject>(plural: string): Map<string, T> {
    const found = [...this.#objects].filter(([key]) => key.startsWith(`${plural} `));
    return new Map(
      found.map(([key, object]) => [key.slice(plural.length + 1), structuredClone(object) as T]),
    );
  }

  /** One object of a kind; of a large cluster that is cheaper than all. */
  find(plural: string, { namespace = '', name }: ObjectRef): KubeObject | undefined {
    return structuredClone(this.#objects.get(keyOf(plural, { metadata: { namespace, name } })));
  }

  /** Ends every watch; what happens before the next one begins is seen only if it is listed or replayed. */
  cutWatches(): void {
    for (const watcher of this.#watchers) {
      watcher.cut = true;
      watcher.wake();
    }
  }

  /** Forgets the past: a watch that was cut before cannot go on and has to list again. */
  compact(): void {
    this.#compacted = this.#version;
    this.#log.length = 0;
  }

  #create(resource: Resource<KubeObject>, object: KubeObject): KubeObject {
    const { plural } = resource;
    const key = keyOf(plural, object);
    if (this.#objects.has(key)) throw apiError(409, 'AlreadyExists');
    const stored = structuredClone(object);
    const uid = `uid-${++this.#version}`;
    const families = this.ipFamilies === undefined ? {} : { ipFamilies: this.ipFamilies };
    const clusterIP =
      plural === 'services'
        ? {
            spec: {
              clusterIP: `10.96.0.${this.#version % 250}`,
              ...families,
              ...(stored as { spec?: object }).spec,
            },
          }
        : {};
    this.put(plural, { ...stored, ...clusterIP, metadata: { ...stored.metadata, uid } });
    return structuredClone(this.#objects.get(key) ?? {});
  }

  #patch({ plural }: Resource<KubeObject>, ref: ObjectRef, patch: KubeObject): KubeObject {
    const found = this.#mustFind({ plural }, ref);
    const { uid, resourceVersion } = patch.metadata ?? {};
    if (uid !== undefined && uid !== found.metadata?.uid) throw apiError(409, 'Conflict');
    if (resourceVersion !== undefined && resourceVersion !== found.metadata?.resourceVersion)
      throw apiError(409, 'Conflict');
    this.put(plural, merge(found, patch));
    return structuredClone(this.#mustFind({ plural }, ref));
  }

  #delete({ plural }: Resource<KubeObject>, ref: ObjectRef, uid: string | undefined): KubeObject | undefined {
    const found = this.#mustFind({ plural }, ref);
    if (uid !== undefined && uid !== found.metadata?.uid) throw apiError(409, 'Conflict');
    if ((found.metadata?.finalizers ?? []).length === 0) {
      this.remove(plural, ref.namespace ?? '', ref.name);
      return undefined;
    }
    if (found.metadata?.deletionTimestamp === undefined)
      this.put(plural, { ...found, metadata: { ...found.metadata, deletionTimestamp: new Date(0) } });
    return structuredClone(this.#mustFind({ plural }, ref));
  }

  #mustFind({ plural }: { plural: string }, { namespace = '', name }: ObjectRef): KubeObject {
    const found = this.#objects.get(keyOf(plural, { metadata: { namespace, name } }));
    if (found === undefined) throw apiError(404, 'NotFound');
    return found;
  }

  /** Watches that are open now, as `plural selector`. */
  get watches(): string[] {
    return [...this.#watchers]
      .map(({ plural, options }) => `${plural} ${options.labelSelector ?? ''}`)
      .sort();
  }

  put(plural: string, object: KubeObject): void {
    const key = keyOf(plural, object);
    const before = this.#objects.get(key);
    const stored = structuredClone(object);
    stored.metadata = Object.assign(stored.metadata ?? {}, { resourceVersion: String(++this.#version) });
    this.#objects.set(key, stored);
    this.#announce(plural, before, stored);
  }

  remove(plural: string, namespace: string, name: string): void {
    const key = keyOf(plural, { metadata: { namespace, name } });
    const before = this.#objects.get(key);
    this.#objects.delete(key);
    this.#version++;
    if (before !== undefined) this.#announce(plural, before, undefined);
  }

  /** Events of watches with this selector wait until `release`. */
  hold(labelSelector: string): void {
    this.#held.add(labelSelector);
  }

  release(labelSelector: string): void {
    this.#held.delete(labelSelector);
    for (const watcher of this.#watchers) watcher.wake();
  }

  async #list(resource: Resource<KubeObject>, options: WatchOptions) {
    this.lists.push(`${resource.plural} ${options.labelSelector ?? ''}`);
    await Promise.resolve();
    if (this.listError !== undefined) throw this.listError;
    const items = [...this.#objects]
      .filter(([key, object]) => key.startsWith(`${resource.plural} `) && matches(object, options))
      .map(([, object]) => structuredClone(object))
      .flatMap((object) => (options.keep === undefined ? object : (options.keep(object) ?? [])));
    return { items, resourceVersion: String(this.#version), continueToken: undefined };
  }

  async *#watch(resource: Resource<KubeObject>, options: WatchOptions) {
    const watcher: Watcher = {
      plural: resource.plural,
      options,
      queue: [],
      wake: () => undefined,
      cut: false,
    };
    const since = Number(options.resourceVersion ?? this.#version);
    if (since < this.#compacted) throw apiError(410, 'Expired');
    for (const change of this.#log) if (change.version > since) offer(watcher, change);
    this.#watchers.add(watcher);
    const onAbort = () => watcher.wake();
    options.signal?.addEventListener('abort', onAbort);
    try {
      while (options.signal?.aborted !== true && !watcher.cut) {
        const held = this.#held.has(options.labelSelector ?? '');
        const event = held ? undefined : watcher.queue.shift();
        if (event === undefined) await new Promise<void>((resolve) => void (watcher.wake = resolve));
        else yield structuredClone(event);
      }
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      this.#watchers.delete(watcher);
    }
  }

  #announce(plural: string, before: KubeObject | undefined, after: KubeObject | undefined): void {
    const change = { version: this.#version, plural, before, after };
    this.#log.push(change);
    for (const watcher of this.#watchers) {
      offer(watcher, change);
      watcher.wake();
    }
  }
}

/**
 * Puts a write into a watch, as the API server says it: DELETED also for what leaves the selector, with the
 * version of that write.
 */
function offer({ plural, options, queue }: Watcher, change: Change): void {
  if (plural !== change.plural) return;
  const { before, after, version } = change;
  const was = before !== undefined && matches(before, options);
  const is = after !== undefined && matches(after, options);
  if (is) queue.push({ type: was ? 'MODIFIED' : 'ADDED', object: after });
  else if (was)
    queue.push({
      type: 'DELETED',
      object: { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } },
    });
}

export function apiError(status: number, reason: string): Error {
  return statusError(status, JSON.stringify({ kind: 'Status', reason, message: reason }), 'fake', undefined);
}

/** JSON merge patch, RFC 7396. */
function merge(target: object, patch: object): object {
  const result: Record<string, unknown> = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined && typeof value === 'object' && !Array.isArray(value))
      result[key] = merge((result[key] ?? {}) as object, value as object);
    else if (value !== undefined) result[key] = value;
  }
  return result;
}

function keyOf(plural: string, object: KubeObject): string {
  return `${plural} ${object.metadata?.namespace ?? ''}/${object.metadata?.name ?? ''}`;
}

function matches(object: KubeObject, { namespace, labelSelector, fieldSelector }: WatchOptions): boolean {
  const { labels, name, namespace: own } = object.metadata ?? {};
  if (namespace !== undefined && namespace !== own) return false;
  if (fieldSelector !== undefined && fieldSelector !== `metadata.name=${name ?? ''}`) return false;
  return selects(labelSelector ?? '', labels);
}

const selectors = new Map<string, (labels: Readonly<Record<string, string>> | undefined) => boolean>();

function selects(text: string, labels: Readonly<Record<string, string>> | undefined): boolean {
  let selector = selectors.get(text);
  if (selector === undefined) {
    const parsed = parseSelector(parseSelectorText(text));
    selector = parsed.empty ? () => true : (its) => parsed.matches(its);
    selectors.set(text, selector);
  }
  return selector(labels);
}

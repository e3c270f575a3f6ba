import type { KubeClient } from '../../src/kube/client.ts';
import type { KubeObject, Resource } from '../../src/kube/resource.ts';

interface WatchOptions {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  signal?: AbortSignal;
}

interface Event {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: KubeObject;
}

interface Watcher {
  readonly plural: string;
  readonly options: WatchOptions;
  readonly queue: Event[];
  wake: () => void;
}

/**
 * The part of an API server that list and watch need, in memory and without a socket: label selectors of the form `a=b,c=d`, the
 * field `metadata.name`, one resourceVersion for the whole cluster, and a watch that says DELETED for an object that leaves its selector. A test
 * can hold the watches of a selector back, or let calls fail, to get the orders of events that a real server gives once in a thousand times.
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

  /** As `KubeClient`, as far as reflectors use one. */
  get client(): KubeClient {
    return {
      list: (resource: Resource<KubeObject>, options: WatchOptions) => this.#list(resource, options),
      watch: (resource: Resource<KubeObject>, options: WatchOptions) => this.#watch(resource, options),
    } as unknown as KubeClient;
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
      .map(([, object]) => structuredClone(object));
    return { items, resourceVersion: String(this.#version), continueToken: undefined };
  }

  async *#watch(resource: Resource<KubeObject>, options: WatchOptions) {
    const watcher: Watcher = { plural: resource.plural, options, queue: [], wake: () => undefined };
    this.#watchers.add(watcher);
    const onAbort = () => watcher.wake();
    options.signal?.addEventListener('abort', onAbort);
    try {
      while (options.signal?.aborted !== true) {
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
    for (const watcher of this.#watchers) {
      if (watcher.plural !== plural) continue;
      const was = before !== undefined && matches(before, watcher.options);
      const is = after !== undefined && matches(after, watcher.options);
      if (is) watcher.queue.push({ type: was ? 'MODIFIED' : 'ADDED', object: after });
      else if (was) watcher.queue.push({ type: 'DELETED', object: before });
      watcher.wake();
    }
  }
}

function keyOf(plural: string, object: KubeObject): string {
  return `${plural} ${object.metadata?.namespace ?? ''}/${object.metadata?.name ?? ''}`;
}

function matches(object: KubeObject, { namespace, labelSelector, fieldSelector }: WatchOptions): boolean {
  const { labels, name, namespace: own } = object.metadata ?? {};
  if (namespace !== undefined && namespace !== own) return false;
  if (fieldSelector !== undefined && fieldSelector !== `metadata.name=${name ?? ''}`) return false;
  return (labelSelector ?? '').split(',').every((term) => {
    const [key = '', value] = term.split('=');
    return key === '' || labels?.[key] === value;
  });
}

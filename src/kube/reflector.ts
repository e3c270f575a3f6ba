import { backoffDelay, type Random } from '../base/backoff.ts';
import { sleep, type Clock } from '../base/clock.ts';
import type { Logger } from '../telemetry/log.ts';
import { isGone, type KubeClient, type WatchEvent } from './client.ts';
import { keyOf, type KubeObject, type Resource } from './resource.ts';
import type { IndexedStore } from './store.ts';

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  /** Only this namespace; default all. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Strips what is not used; undefined leaves the object out. Runs after managedFields and kubectl's last-applied copy are gone. */
  readonly transform?: (object: T) => T | undefined;
  readonly store: IndexedStore<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Objects per page of a list; default 500. */
  readonly pageSize?: number;
}

const BACKOFF = { minMs: 200, maxMs: 30_000 };
/** A watch that held this long was healthy: the next failure starts with the shortest delay again. */
const HEALTHY_MS = 10_000;
const WATCH_SECONDS = { min: 300, max: 600 };
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * Keeps a store equal to a collection of an API server: lists it in pages, then watches, for ever, whatever goes wrong in between.
 *
 * A list becomes visible as a whole and only when it is complete; a failure leaves the store as it is. So what is absent from a store that is
 * `synced` was absent over there at `lastWord`, and nobody has to act on ignorance.
 */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #stop = new AbortController();
  readonly #waiters = new Set<{ resolve: () => void; reject: (reason: Error) => void }>();
  readonly #listeners = new Set<() => void>();
  #running: Promise<void> | undefined;
  #synced = false;
  #lastWord: number | undefined;
  #error: Error | undefined;
  /** Where the next watch begins; undefined = list first. */
  #version: string | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
  }

  get resource(): Resource<T> {
    return this.#options.resource;
  }

  /** Whether the first complete list is in the store. Stays true through later failures. */
  get synced(): boolean {
    return this.#synced;
  }

  /** When the server last said anything (list, event, bookmark), milliseconds since the epoch. */
  get lastWord(): number | undefined {
    return this.#lastWord;
  }

  /** What is wrong now; undefined while the server answers. */
  get error(): Error | undefined {
    return this.#error;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the watch; the store keeps what it holds and changes no more. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('reflector stopped'));
    for (const waiter of this.#waiters) waiter.reject(new Error('reflector stopped'));
    this.#waiters.clear();
    await this.#running;
  }

  /** Resolves with the first complete list; rejects when the signal aborts or the reflector is stopped before. */
  whenSynced(signal?: AbortSignal): Promise<void> {
    if (this.#synced) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', () => {
        if (this.#waiters.delete(waiter)) reject(signal.reason as Error);
      });
    });
  }

  /** Calls `listener` when `synced` or `error` changes. @returns what ends the subscription */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #run(): Promise<void> {
    const { clock, random, log, resource, client } = this.#options;
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      const started = clock.monotonic();
      try {
        if (this.#version === undefined) this.#version = await this.#list();
        await this.#watch(this.#version);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        const gone = isGone(error);
        if (gone) this.#version = undefined;
        if (clock.monotonic() - started > HEALTHY_MS) failures = 0;
        // One 410 is the ordinary way to be told to list again; only a repeated one is worth waiting for.
        if (gone && failures === 0) {
          failures = 1;
          continue;
        }
        this.#fail(error as Error);
        log.warn(
          { resource: resource.plural, server: client.server, err: error, failures },
          'watch failed, trying again',
        );
        await sleep(clock, backoffDelay(failures++, BACKOFF, random), signal).catch(() => undefined);
      }
    }
  }

  async #list(): Promise<string> {
    const { client, resource, store, pageSize = 500 } = this.#options;
    const items: T[] = [];
    let continueToken: string | undefined;
    let version = '';
    do {
      const page = await client.list(resource, {
        ...this.#selection(),
        limit: pageSize,
        signal: this.#stop.signal,
        ...(continueToken === undefined ? {} : { continueToken }),
      });
      for (const item of page.items) {
        const kept = this.#transform(item);
        if (kept !== undefined) items.push(kept);
      }
      // All pages are of the first one's moment.
      version = version === '' ? page.resourceVersion : version;
      continueToken = page.continueToken;
    } while (continueToken !== undefined);
    this.#stop.signal.throwIfAborted();
    store.replace(items);
    this.#heard();
    this.#markSynced();
    return version;
  }

  async #watch(resourceVersion: string): Promise<void> {
    const { client, resource, random } = this.#options;
    const timeoutSeconds = Math.round(WATCH_SECONDS.min + random() * (WATCH_SECONDS.max - WATCH_SECONDS.min));
    const options = { ...this.#selection(), resourceVersion, timeoutSeconds, signal: this.#stop.signal };
    for await (const event of client.watch(resource, options)) {
      if (this.#stop.signal.aborted) return;
      this.#take(event);
    }
  }

  #take(event: WatchEvent<T>): void {
    const { store } = this.#options;
    const version = event.object.metadata?.resourceVersion;
    if (version !== undefined) this.#version = version;
    this.#heard();
    if (event.type === 'BOOKMARK') return;
    const kept = event.type === 'DELETED' ? undefined : this.#transform(event.object);
    if (kept === undefined) store.delete(keyOf(event.object));
    else store.set(kept);
  }

  #transform(object: T): T | undefined {
    const { metadata } = object;
    if (metadata !== undefined) {
      delete metadata.managedFields;
      if (metadata.annotations !== undefined) delete metadata.annotations[LAST_APPLIED];
    }
    return this.#options.transform === undefined ? object : this.#options.transform(object);
  }

  #selection(): { namespace?: string; labelSelector?: string; fieldSelector?: string } {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }

  #heard(): void {
    this.#lastWord = this.#options.clock.now();
    if (this.#error === undefined) return;
    this.#error = undefined;
    this.#tell();
  }

  #fail(error: Error): void {
    this.#error = error;
    this.#tell();
  }

  #markSynced(): void {
    if (this.#synced) return;
    this.#synced = true;
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters.clear();
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

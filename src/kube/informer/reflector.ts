import { notifyAll } from '../../base/isolation.ts';
import { backoffDelay, type Random } from '../../base/backoff.ts';
import { sleep, type Clock, type Timer } from '../../base/clock.ts';
import { codeOf, describeError, LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { Logger } from '../../telemetry/log.ts';
import { isOverLimit } from '../client/answer-limits.ts';
import { isGone, type KubeClient, type WatchEvent } from '../client/kube-client.ts';
import { listPages } from '../client/list-pages.ts';
import { slowDown, type Pace } from '../budget/pace.ts';
import type { BudgetShare } from '../budget/peer-budget.ts';
import { compareVersions } from '../objects/resource-version.ts';
import { follows } from './followed.ts';
import { HasSynced } from './has-synced.ts';
import { ObjectTransform } from './object-transform.ts';
import { keyOf, type KubeObject, type Resource } from '../../api/kubernetes/resource.ts';
import type { IndexedStore } from './store.ts';

/** Which collection is followed, into which store, and within which limits. */
export interface ReflectorOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  /** Only this namespace; default all. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /**
   * Strips what is not used; undefined leaves the object out. Runs after managedFields and kubectl's
   * last-applied copy are gone.
   */
  readonly transform?: (object: T) => T | undefined;
  /** Leaves managedFields for `transform`, which then has to strip them itself; default false. */
  readonly keepManagedFields?: boolean;
  readonly store: IndexedStore<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Objects per page of a list; default 500. */
  readonly pageSize?: number;
  /** Most pages of one list; default 10,000. */
  readonly maxPages?: number;
  /**
   * How much may be held; default: everything. Over it nothing more is taken in, and the collection is listed
   * anew after a long back-off: see `BudgetShare.over`.
   */
  readonly budget?: BudgetShare<T>;
  /** How fast it may be read; default: as fast as it comes. */
  readonly pace?: Pace;
  /**
   * A watch on which nothing came for so long (milliseconds) is taken for dead and resumed; default 100,000.
   * API servers send bookmarks about every minute.
   */
  readonly silenceMs?: number;
}

const BACKOFF = { minMs: 200, maxMs: 30_000 };
/** Waits between two lists of a collection that is over budget: each list may cost as much as the budget. */
const OVER_BACKOFF = { minMs: 10_000, maxMs: 600_000 };
/** A watch that lasted this long was healthy: the next failure starts with the shortest delay again. */
const HEALTHY_MS = 10_000;
/**
 * A watch that ends sooner than this without an event is a failure, which waits: whatever answers like that
 * is no API server in order, and would be asked in a tight loop.
 */
const SHORT_MS = 1000;
const SILENCE_MS = 100_000;
/** The reason by which a watch is aborted that is to be resumed at once. */
const RESUME = new Error('watch resumed');
/**
 * How long a watch is asked for, drawn at random so that watches do not all end together (client-go's range).
 */
const WATCH_SECONDS = { min: 300, max: 600 };

/**
 * Keeps a store equal to a collection of an API server: lists it in pages, then watches, for ever, whatever
 * goes wrong in between.
 *
 * A list becomes visible as a whole and only when it is complete; a failure leaves the store as it is. So
 * what is absent from a store that is `synced` was absent at the server at `lastHeard`, and nobody takes what
 * was never read for something that was deleted.
 */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #transform: ObjectTransform<T>;
  readonly #stop = new AbortController();
  readonly #hasSynced = new HasSynced();
  readonly #listeners = new Set<() => void>();
  #running: Promise<void> | undefined;
  #unfollow: (() => void) | undefined;
  /** Aborts the watch that is under way, or the wait after a failure. */
  #turn = new AbortController();
  #lastHeard: number | undefined;
  /** The same by the monotonic clock; also when the watch began. */
  #heardAt = 0;
  #error: Error | undefined;
  /** Where the next watch begins; undefined = list first. */
  #version: string | undefined;
  /** How often in a row something was over budget. */
  #parkedInARow = 0;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#transform = new ObjectTransform(options);
  }

  get resource(): Resource<T> {
    return this.#options.resource;
  }

  /** Whether the first complete list is in the store. Stays true through later failures. */
  get synced(): boolean {
    return this.#hasSynced.yes;
  }

  /** When something last came (a complete list, an event, a bookmark), milliseconds since the epoch. */
  get lastHeard(): number | undefined {
    return this.#lastHeard;
  }

  /** What is wrong now; undefined while the server answers, also while it is over budget. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** In words, for people who wait until it is synced: that it is listing, or what is wrong. */
  get state(): string {
    return this.#error === undefined ? 'listing' : describeError(this.#error);
  }

  start(): void {
    if (this.#running !== undefined) return;
    this.#unfollow = follows(this.#options.client, this);
    this.#running = this.#run();
  }

  /** Ends the watch; the store keeps what it holds and changes no more. */
  async stop(): Promise<void> {
    const reason = new Error('reflector stopped');
    this.#stop.abort(reason);
    this.#turn.abort(reason);
    this.#hasSynced.never(reason);
    this.#unfollow?.();
    await this.#running;
  }

  /**
   * Ends the watch and resumes it on a new request from the last version that is known: for when the
   * connection is known, or suspected, to be dead. It lists nothing again and is no error. A wait after a
   * failure ends at once, one because of a budget does not.
   */
  refresh(): void {
    this.#turn.abort(RESUME);
  }

  /**
   * Resolves with the first complete list; rejects when the signal aborts or the reflector is stopped before.
   */
  whenSynced(signal?: AbortSignal): Promise<void> {
    return this.#hasSynced.wait(signal);
  }

  /** Calls `listener` when `synced` or `error` changes. @returns what ends the subscription */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      this.#turn = new AbortController();
      const started = clock.monotonic();
      try {
        await this.#follow();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (error === RESUME) continue;
        const gone = isGone(error);
        if (gone) this.#version = undefined;
        if (this.#isOver(error)) {
          await this.#park(error);
          continue;
        }
        if (clock.monotonic() - started > HEALTHY_MS) failures = 0;
        // One 410 is the ordinary way to be told to list again; only a repeated one is worth waiting for.
        if (gone && failures === 0) {
          failures = 1;
          continue;
        }
        this.#failed(error as Error, failures);
        const wait = backoffDelay(failures++, BACKOFF, random);
        await sleep(clock, wait, this.#turn.signal).catch(() => undefined);
      }
    }
  }

  /** Lists, where that is needed, and watches until the watch ends. */
  async #follow(): Promise<void> {
    if (this.#version !== undefined && !(await this.#historyGoesOn(this.#version))) this.#version = undefined;
    this.#version ??= await this.#list();
    await this.#watch(this.#version);
  }

  #isOver(error: unknown): error is LinkspanError {
    if (this.#options.budget === undefined) return false;
    return isOverLimit(error) || codeOf(error) === 'PEER_OVER_BUDGET';
  }

  /**
   * Over budget: takes nothing in for a while. What the store holds stays. Then it lists, because a watch
   * would be resumed at the very event that did not fit.
   */
  async #park(over: LinkspanError): Promise<void> {
    const { log, resource, client, budget, clock, random } = this.#options;
    this.#version = undefined;
    this.#error = undefined;
    budget?.exceeded(over);
    const wait = backoffDelay(this.#parkedInARow++, OVER_BACKOFF, random);
    const what = { resource: resource.plural, server: client.server, err: over, waitMs: Math.round(wait) };
    log.warn(what, 'over budget, nothing more is taken in');
    this.#tell();
    await sleep(clock, wait, this.#stop.signal).catch(ignored);
  }

  #failed(error: Error, failures: number): void {
    const { log, resource, client, budget } = this.#options;
    budget?.givenUp();
    this.#error = error;
    this.#tell();
    const what = { resource: resource.plural, server: client.server, err: error, failures };
    log.warn(what, 'watch failed, trying again');
  }

  /**
   * Whether the server is still at or past a version. One whose data was restored from a backup, or lost, is
   * at a lower one; it accepts a watch from a version of its future, and sends nothing until it has caught
   * up: what the store holds would be wrong for hours. Lists one key, which need not exist, for the answer's
   * resourceVersion.
   */
  async #historyGoesOn(version: string): Promise<boolean> {
    const { client, resource, namespace, log } = this.#options;
    const { resourceVersion } = await client.list(resource, {
      ...(resource.namespaced ? { namespace: namespace ?? 'default' } : {}),
      fieldSelector: 'metadata.name=default',
      limit: 1,
      signal: this.#turn.signal,
    });
    if (compareVersions(resourceVersion, version) >= 0) return true;
    log.warn(
      { resource: resource.plural, server: client.server, was: version, is: resourceVersion },
      'server has lost or restored its data, listing again',
    );
    return false;
  }

  async #list(): Promise<string> {
    const { client, resource, store, pageSize, maxPages, budget, pace, clock } = this.#options;
    const items: T[] = [];
    const counted = budget?.list();
    const { signal } = this.#stop;
    let version = '';
    const pages = listPages(client, resource, {
      ...this.#selection(),
      signal,
      ...(pageSize === undefined ? {} : { pageSize }),
      ...(maxPages === undefined ? {} : { maxPages }),
      keep: (item: T) => {
        const kept = this.#transform.of(item);
        if (kept === undefined) return undefined;
        // An object that the store has in this very version is taken from there: one copy in memory, counted
        // once.
        const held = store.unchanged(kept) ?? kept;
        counted?.add(held);
        return held;
      },
    });
    for await (const page of pages) {
      for (const item of page.items) items.push(item);
      // A list in pages is a snapshot: every page is of the version that the first one names.
      if (version === '') version = page.resourceVersion;
      await slowDown(pace, page.bytes, clock, signal);
    }
    signal.throwIfAborted();
    counted?.done();
    this.#parkedInARow = 0;
    store.version = version;
    store.replace(items);
    this.#heard();
    this.#markSynced();
    return version;
  }

  async #watch(resourceVersion: string): Promise<void> {
    const { client, resource, random, clock, pace } = this.#options;
    const { signal } = this.#turn;
    const timeoutSeconds = Math.round(WATCH_SECONDS.min + random() * (WATCH_SECONDS.max - WATCH_SECONDS.min));
    const options = { ...this.#selection(), resourceVersion, timeoutSeconds, signal };
    const started = clock.monotonic();
    const silence = this.#endWhenSilent(this.#turn);
    // The server has answered before it was asked to watch, and does not end it: where nothing happens no
    // event would ever say that what was wrong is over.
    const goesOn = clock.after(SHORT_MS, () => this.#recovered(), { unref: true });
    let events = 0;
    try {
      for await (const event of client.watch(resource, options)) {
        if (this.#stop.signal.aborted) return;
        events++;
        this.#take(event);
        await slowDown(pace, event.bytes, clock, signal);
      }
    } finally {
      silence.cancel();
      goesOn.cancel();
    }
    if (events > 0 || signal.aborted || clock.monotonic() - started >= SHORT_MS) return;
    throw new LinkspanError(
      'KUBE_WATCH_BROKEN',
      `watch ${resource.plural} at ${client.server}: ended at once`,
    );
  }

  #endWhenSilent(turn: AbortController): Timer {
    const { clock, silenceMs = SILENCE_MS } = this.#options;
    this.#heardAt = clock.monotonic();
    const arm = (ms: number): Timer => clock.after(ms, look, { unref: true });
    // One timer that looks again, instead of a new one for each event.
    const look = (): void => {
      const left = this.#heardAt + silenceMs - clock.monotonic();
      if (left > 0) timer = arm(left);
      else turn.abort(RESUME);
    };
    let timer = arm(silenceMs);
    return { cancel: () => timer.cancel() };
  }

  #take(event: WatchEvent<T>): void {
    const { store, budget } = this.#options;
    const key = keyOf(event.object);
    const gone = event.type === 'BOOKMARK' || event.type === 'DELETED';
    const kept = gone ? undefined : this.#transform.of(event.object);
    if (kept !== undefined && store.unchanged(kept) === undefined) budget?.admit(kept, store.get(key));
    const version = event.object.metadata?.resourceVersion;
    if (version !== undefined) {
      this.#version = version;
      store.version = version;
    }
    this.#heard();
    if (event.type === 'BOOKMARK') return;
    if (event.type === 'DELETED') this.#transform.forget(event.object);
    if (kept === undefined) {
      budget?.release(store.get(key));
      store.delete(key);
    } else store.set(kept);
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
    this.#lastHeard = this.#options.clock.now();
    this.#heardAt = this.#options.clock.monotonic();
    this.#recovered();
  }

  /** What was wrong is over. */
  #recovered(): void {
    if (this.#error === undefined) return;
    this.#error = undefined;
    this.#tell();
  }

  #markSynced(): void {
    if (this.#hasSynced.yes) return;
    this.#hasSynced.mark();
    this.#tell();
  }

  #tell(): void {
    notifyAll('listeners of a reflector', this.#listeners);
  }
}

/** A wait that ends because the reflector stops is no error. */
function ignored(): void {}

import { backoffDelay, type BackoffOptions, type Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../telemetry/log.ts';

export interface WorkQueueOptions {
  /** Does the work of one key. The signal aborts when the queue stops. */
  readonly handler: (key: string, signal: AbortSignal) => Promise<void>;
  /** Keys that are worked on at once. */
  readonly concurrency: number;
  readonly backoff: BackoffOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Told about every failure; default: a warning in the log. The key is tried again in any case. */
  readonly onError?: (key: string, error: unknown) => void;
}

/**
 * A queue of keys, not events: a key that is added many times is handled once. No key is handled twice at the same time; one that is added while it is being
 * handled is handled again after. Higher priorities go first, equal ones in order of arrival. A key whose handler fails comes back after a growing
 * delay, for ever: nothing is dropped.
 *
 * p-queue bounds concurrency of independent promises but knows neither keys nor raised priorities, which are the point here.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Map<number, Set<string>>();
  readonly #priorities = new Map<string, number>();
  readonly #running = new Set<string>();
  readonly #again = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, Timer>();
  readonly #stop = new AbortController();
  readonly #idle = new Set<() => void>();
  #scheduled = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that wait or are being worked on. */
  get depth(): number {
    return this.#priorities.size + this.#running.size;
  }

  /** Adds a key, or raises its priority. A key that waits after a failure is tried at once. */
  add(key: string, priority = 0): void {
    if (this.#stop.signal.aborted) return;
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
    if (this.#running.has(key)) {
      this.#again.set(key, Math.max(priority, this.#again.get(key) ?? priority));
      return;
    }
    const waiting = this.#priorities.get(key);
    if (waiting !== undefined && waiting >= priority) return;
    if (waiting !== undefined) this.#waiting.get(waiting)?.delete(key);
    this.#enqueue(key, priority);
  }

  /** Adds a key after `ms`, unless it is added before. */
  addAfter(key: string, ms: number): void {
    if (this.#stop.signal.aborted) return;
    this.#timers.get(key)?.cancel();
    const timer = this.#options.clock.after(ms, () => this.add(key), { unref: true });
    this.#timers.set(key, timer);
  }

  /** Resolves when nothing waits and nothing is being worked on (delayed keys do not count). */
  idle(): Promise<void> {
    return this.depth === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.add(resolve));
  }

  /** Drops what waits, aborts and awaits what is being worked on. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('queue stopped'));
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#priorities.clear();
    this.#waiting.clear();
    this.#again.clear();
    await this.idle();
  }

  #enqueue(key: string, priority: number): void {
    this.#priorities.set(key, priority);
    const keys = this.#waiting.get(priority);
    if (keys === undefined) this.#waiting.set(priority, new Set([key]));
    else keys.add(key);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#fill();
    });
  }

  #fill(): void {
    while (this.#running.size < this.#options.concurrency) {
      const key = this.#take();
      if (key === undefined) return;
      this.#running.add(key);
      void this.#work(key);
    }
  }

  #take(): string | undefined {
    let best: number | undefined;
    for (const [priority, keys] of this.#waiting) {
      if (keys.size === 0) this.#waiting.delete(priority);
      else if (best === undefined || priority > best) best = priority;
    }
    const keys = best === undefined ? undefined : this.#waiting.get(best);
    const [key] = keys ?? [];
    if (key === undefined) return undefined;
    keys?.delete(key);
    this.#priorities.delete(key);
    return key;
  }

  async #work(key: string): Promise<void> {
    const { handler, onError, log } = this.#options;
    try {
      await handler(key, this.#stop.signal);
      this.#failures.delete(key);
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        if (onError === undefined) log.warn({ key, err: error }, 'work failed, trying again');
        else onError(key, error);
        this.#retryLater(key);
      }
    }
    this.#running.delete(key);
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again !== undefined) this.add(key, again);
    this.#fill();
    if (this.depth === 0) this.#tellIdle();
  }

  #retryLater(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    if (this.#again.has(key)) {
      // It was added while it failed; with the delay, or a quick failure would spin.
      this.#again.delete(key);
    }
    this.addAfter(key, backoffDelay(failures, this.#options.backoff, this.#options.random));
  }

  #tellIdle(): void {
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }
}

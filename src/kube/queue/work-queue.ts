import { backoffDelay, type BackoffOptions, type Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import { PriorityLane } from './priority-lane.ts';
import type { Pace } from '../budget/pace.ts';
import { WorkerPool, type PoolMember } from './worker-pool.ts';

/** What is done with keys, how many at once and how fast. */
export interface WorkQueueOptions {
  /** Does the work of one key. The signal aborts when the queue stops. */
  readonly handler: (key: string, signal: AbortSignal) => Promise<void>;
  /** Most keys that are worked on at once. */
  readonly concurrency: number;
  readonly backoff: BackoffOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Called for every failure instead of a warning in the log. The key is tried again in any case. */
  readonly onError?: (key: string, error: unknown) => void;
  /**
   * Bounds several queues together; `concurrency` is then the most that this queue may have of it. Default: a
   * pool of its own.
   */
  readonly pool?: WorkerPool;
  /**
   * How fast keys may be begun: none while the pace is in debt. The handler spends for what it does. Default:
   * without a limit.
   */
  readonly pace?: Pick<Pace, 'waitMs'>;
  /** Called when the queue gets its first key, and when it has none any more. */
  readonly onBacklog?: () => void;
}

/**
 * A queue of keys, not events: a key that is added many times is handled once. No key is handled twice at the
 * same time; one that is added while it is being handled is handled again after. Higher priorities go first;
 * among equal ones the oldest and the newest waiting key take turns, so that a single change is served soon
 * although thousands wait, and the oldest still advance. Taking a key costs O(number of priorities in use),
 * however many wait. A key whose handler fails comes back with its priority after a growing delay, for ever:
 * nothing is dropped.
 *
 * Written here because p-queue bounds the concurrency of independent promises, but knows neither keys nor
 * priorities that are raised later.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #pool: WorkerPool;
  readonly #member: PoolMember;
  readonly #lanes = new Map<number, PriorityLane>();
  /** The priority of each key that waits. */
  readonly #priorities = new Map<string, number>();
  /** When each key that is being worked on began (monotonic), the earliest first. */
  readonly #running = new Map<string, number>();
  /** Keys that were added while they were being worked on, with the priority for the next time. */
  readonly #again = new Map<string, number>();
  /** How often in a row a key has failed. */
  readonly #failures = new Map<string, number>();
  /** Keys that are added later: after a failure, or by `addAfter`. */
  readonly #timers = new Map<string, Timer>();
  readonly #stop = new AbortController();
  /** Who waits in `idle`. */
  readonly #idle = new Set<() => void>();
  /** Runs while the pace allows no key. */
  #pause: Timer | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#pool = options.pool ?? new WorkerPool({ size: options.concurrency });
    const nextPriority = () => this.#nextPriority();
    this.#member = {
      get nextPriority() {
        return nextPriority();
      },
      start: () => this.#start(),
    };
  }

  /** Keys that wait or are being worked on. */
  get depth(): number {
    return this.#priorities.size + this.#running.size;
  }

  /**
   * For how many milliseconds the longest of the running handlers has run; 0 when none does. A liveness check
   * looks at it: a handler that never ends holds its key for ever.
   */
  get oldestRunningMs(): number {
    const [started] = this.#running.values();
    return started === undefined ? 0 : this.#options.clock.monotonic() - started;
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
    if (waiting !== undefined) this.#lanes.get(waiting)?.delete(key);
    this.#enqueue(key, priority);
  }

  /** Adds a key after `ms` milliseconds, unless it is added before. */
  addAfter(key: string, ms: number, priority = 0): void {
    if (this.#stop.signal.aborted) return;
    this.#timers.get(key)?.cancel();
    const timer = this.#options.clock.after(ms, () => this.add(key, priority), { unref: true });
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
    this.#pause?.cancel();
    this.#pool.withdraw(this.#member);
    this.#priorities.clear();
    this.#lanes.clear();
    this.#again.clear();
    if (this.depth === 0) this.#tellIdle();
    await this.idle();
  }

  #enqueue(key: string, priority: number, end: 'newest' | 'oldest' = 'newest'): void {
    const begins = this.depth === 0;
    this.#priorities.set(key, priority);
    let lane = this.#lanes.get(priority);
    if (lane === undefined) this.#lanes.set(priority, (lane = new PriorityLane()));
    if (end === 'newest') lane.add(key);
    else lane.addFirst(key);
    if (begins) this.#options.onBacklog?.();
    this.#pool.offer(this.#member);
  }

  /** Priority of what could start now; undefined when nothing waits, or nothing may start now. */
  #nextPriority(): number | undefined {
    if (this.#running.size >= this.#options.concurrency || this.#mustWait()) return undefined;
    let best: number | undefined;
    for (const [priority, lane] of this.#lanes) {
      if (lane.size === 0) this.#lanes.delete(priority);
      else if (best === undefined || priority > best) best = priority;
    }
    return best;
  }

  #mustWait(): boolean {
    const { pace, clock } = this.#options;
    const wait = pace?.waitMs ?? 0;
    if (wait === 0) return false;
    this.#pause ??= clock.after(
      wait,
      () => {
        this.#pause = undefined;
        if (this.#priorities.size > 0) this.#pool.offer(this.#member);
      },
      { unref: true },
    );
    return true;
  }

  #start(): void {
    const priority = this.#nextPriority() ?? 0;
    const key = this.#lanes.get(priority)?.take() ?? '';
    this.#priorities.delete(key);
    this.#running.set(key, this.#options.clock.monotonic());
    void this.#work(key, priority);
  }

  async #work(key: string, priority: number): Promise<void> {
    const { handler, onError, log } = this.#options;
    try {
      await handler(key, this.#stop.signal);
      this.#failures.delete(key);
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        if (onError === undefined) log.warn({ key, err: error }, 'work failed, trying again');
        else onError(key, error);
        this.#retryLater(key, priority);
      }
    } finally {
      this.#ended(key);
    }
  }

  #ended(key: string): void {
    this.#running.delete(key);
    const again = this.#again.get(key);
    this.#again.delete(key);
    // As the oldest, because every second key that is taken is the newest: bulk work whose keys are added
    // again while they run would otherwise always be ahead of a single change.
    if (again !== undefined && !this.#stop.signal.aborted) this.#enqueue(key, again, 'oldest');
    if (this.#priorities.size > 0) this.#pool.offer(this.#member);
    this.#pool.done();
    if (this.depth === 0) this.#tellIdle();
  }

  #retryLater(key: string, priority: number): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    // A key that was added again while its handler ran waits for the delay too: else a handler that fails at
    // once would be called without pause.
    const again = this.#again.get(key) ?? priority;
    this.#again.delete(key);
    const delay = backoffDelay(failures, this.#options.backoff, this.#options.random);
    this.addAfter(key, delay, Math.max(priority, again));
  }

  #tellIdle(): void {
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
    this.#options.onBacklog?.();
  }
}

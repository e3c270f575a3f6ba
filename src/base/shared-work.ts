import PQueue from 'p-queue';
import type { Clock } from './clock.ts';

export interface SharedWorkOptions {
  readonly clock: Clock;
  /** How long an outcome is given to later callers too, milliseconds. */
  readonly keepMs: number;
  /** Pieces of work that are under way at once; others wait for their turn. */
  readonly concurrency: number;
}

/**
 * Expensive work that any client may request: it is done once for all callers that ask for the same key at
 * the same time or within `keepMs`, and at most `concurrency` pieces at a time. So a page of an admin port
 * does a bounded amount of work, however often it is requested.
 */
export class SharedWork<T> {
  readonly #options: SharedWorkOptions;
  /** Under way, or just done. */
  readonly #known = new Map<string, Promise<T>>();
  readonly #queue: PQueue;

  constructor(options: SharedWorkOptions) {
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.concurrency });
  }

  /**
   * The outcome of `work`, or of earlier work for the same key that is still under way or recent. A failure
   * is given to those who wait for it and is not kept.
   */
  run(key: string, work: () => Promise<T>): Promise<T> {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const outcome = this.#queue.add(work);
    this.#known.set(key, outcome);
    const { clock, keepMs } = this.#options;
    outcome.then(
      () => clock.after(keepMs, () => this.#known.delete(key), { unref: true }),
      () => this.#known.delete(key),
    );
    return outcome;
  }
}

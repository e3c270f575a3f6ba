import PQueue from 'p-queue';
import type { Clock } from './clock.ts';

export interface SharedWorkOptions {
  readonly clock: Clock;
  /** How long an outcome is good for those who ask again, milliseconds. */
  readonly keepMs: number;
  /** Pieces of work that are under way at once; others wait for their turn. */
  readonly concurrency: number;
}

/**
 * Work that anybody may ask for, and that costs more than asking: done once for all who ask for the same at
 * the same time or shortly after, and a few at a time. So a page of an admin port makes no more work than its
 * period allows, however often it is asked for.
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
   * The outcome of `work`, or of the one for the same key that somebody else has asked for. One that failed
   * is not kept.
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

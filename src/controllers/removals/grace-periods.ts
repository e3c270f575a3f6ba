import type { Clock } from '../../base/clock.ts';

/**
 * Grace periods by key: something that may be over in a moment is acted on only when it has lasted for so
 * long.
 */
export class GracePeriods {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #since = new Map<string, number>();

  /** @param ms length of each period */
  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  /** Milliseconds until the period of a key is over; 0: it is. The first call for a key begins it. */
  left(key: string): number {
    const now = this.#clock.monotonic();
    const since = this.#since.get(key) ?? now;
    this.#since.set(key, since);
    return Math.max(0, since + this.#ms - now);
  }

  /** What was waited out has not lasted: the next `left` begins a new period. */
  end(key: string): void {
    this.#since.delete(key);
  }
}

import type { Clock } from '../../base/clock.ts';

/** How long something has gone on, key by key, so that it can be waited out. */
export class GracePeriods {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  /** It goes on: milliseconds until it counts; 0 when it does. The first call for a key begins. */
  left(key: string): number {
    const now = this.#clock.monotonic();
    const since = this.#since.get(key) ?? now;
    this.#since.set(key, since);
    return Math.max(0, since + this.#ms - now);
  }

  /** It is over, or has never been. */
  end(key: string): void {
    this.#since.delete(key);
  }
}

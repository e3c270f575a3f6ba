import type { Clock } from '../../base/clock.ts';

/** What facts are gathered for: to act on them, or only for somebody to see, which changes nothing at all. */
export type Sight = 'act' | 'look';

/** Periods of grace by key: something that has begun counts only when it has lasted for a while. */
export class GracePeriods {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  /**
   * Milliseconds of grace that a key has left; 0: the time is over. The first call for a key begins its
   * grace.
   * @param sight `look`: nothing begins
   */
  left(key: string, sight: Sight = 'act'): number {
    const now = this.#clock.monotonic();
    const since = this.#since.get(key) ?? now;
    if (sight === 'act') this.#since.set(key, since);
    return Math.max(0, since + this.#ms - now);
  }

  /**
   * What a key had grace for has ended, or was never there: the next time begins anew.
   * @param sight `look`: nothing ends
   */
  end(key: string, sight: Sight = 'act'): void {
    if (sight === 'act') this.#since.delete(key);
  }
}

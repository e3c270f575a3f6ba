import type { Clock } from '../../base/clock.ts';

/** What facts are gathered for: to act on them, or only for somebody to see, which changes nothing at all. */
export type Sight = 'act' | 'look';

/** How long something has gone on, key by key, so that it can be waited out. */
export class GracePeriods {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  /**
   * It goes on: milliseconds until it counts; 0 when it does. The first call for a key begins.
   * @param sight `look`: nothing begins
   */
  left(key: string, sight: Sight = 'act'): number {
    const now = this.#clock.monotonic();
    const since = this.#since.get(key) ?? now;
    if (sight === 'act') this.#since.set(key, since);
    return Math.max(0, since + this.#ms - now);
  }

  /** It is over, or has never been. @param sight `look`: nothing ends */
  end(key: string, sight: Sight = 'act'): void {
    if (sight === 'act') this.#since.delete(key);
  }
}

import type { Clock } from '../../../base/clock.ts';
import type { Effort } from '../../../base/linear-regex.ts';

/**
 * What finding the route of one request may cost, over all expressions: some 20 ms. 256 routes of usual
 * expressions and a path of 2,000 characters take half of it.
 */
const MAX_EFFORT = 400_000;
/**
 * What the expressions of one Service may cost in each second: a quarter of a process' time, some 1,500
 * requests with a hundred expressions each.
 */
const PER_MS = 5000;
/** What they may cost at once: some 50 ms. */
const BURST = 1_000_000;

/**
 * What the regular expressions of one Service may cost: whoever writes dear ones, or sends requests that make
 * them dear, takes no more than a part of the time that all Services share.
 */
export class MatchingAllowance {
  readonly #clock: Clock;
  #left = BURST;
  #at: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#at = clock.monotonic();
  }

  /** What one request may cost; undefined: the Service has used up what it has. To be given to `end`. */
  begin(): Effort | undefined {
    const now = this.#clock.monotonic();
    this.#left = Math.min(BURST, this.#left + (now - this.#at) * PER_MS);
    this.#at = now;
    return this.#left <= 0 ? undefined : { left: MAX_EFFORT };
  }

  end({ left }: Effort): void {
    this.#left -= MAX_EFFORT - Math.max(0, left);
  }
}

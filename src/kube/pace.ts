import type { Clock } from '../base/clock.ts';

/** How much may be done at once, and how much lasting. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/**
 * A token bucket that may go into debt: work is paid for when its price is known, and the next piece waits until the debt is paid. So nothing is refused, and whoever asks for more than its rate
 * gets its rate.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #rate: Rate;
  #tokens: number;
  #at: number;

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
    this.#tokens = rate.burst;
    this.#at = clock.monotonic();
  }

  spend(price: number): void {
    this.#refill();
    this.#tokens -= price;
  }

  /** Milliseconds until something may be done again; 0 = now. */
  get waitMs(): number {
    this.#refill();
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / this.#rate.perSecond);
  }

  #refill(): void {
    const now = this.#clock.monotonic();
    const { perSecond, burst } = this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * perSecond) / 1000);
    this.#at = now;
  }
}

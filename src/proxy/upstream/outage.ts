import { backoffDelay, type Random } from '../../base/backoff.ts';
import { type Clock, sleep } from '../../base/clock.ts';

/** Waits between rounds over endpoints none of which could be connected to (Linkerd's). */
const RECONNECT = { minMs: 100, maxMs: 500 } as const;
/** When rounds have not failed for so long, the next that fails begins a new outage; milliseconds. */
const OUTAGE_OVER_MS = 10_000;

/**
 * The time in which none of the endpoints (or none of a group's backends) can be connected to. Pods that are
 * being replaced are back in a moment, so requests go over the endpoints in several rounds until the failfast
 * time is over. From then on each fails after its first round, until an endpoint is connected to.
 */
export class Outage {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #failfastMs: number;
  /** Since when, and when last, no endpoint could be connected to (monotonic milliseconds). */
  #current: { readonly since: number; last: number } | undefined;
  #waiting = 0;

  /** @param failfastMs how long after its beginning requests still get another round, milliseconds */
  constructor(clock: Clock, random: Random, failfastMs: number) {
    this.#clock = clock;
    this.#random = random;
    this.#failfastMs = failfastMs;
  }

  /** How many requests wait between two rounds. */
  get waiting(): number {
    return this.#waiting;
  }

  /** An endpoint was connected to: the outage is over. */
  over(): void {
    this.#current = undefined;
  }

  /**
   * Whether the failfast time is over, and no endpoint was connected to since: there is no other round.
   * @param now monotonic milliseconds
   */
  lasts(now: number): boolean {
    const current = this.#current;
    if (current === undefined || now - current.last > OUTAGE_OVER_MS) return false;
    if (now - current.since <= this.#failfastMs) return false;
    current.last = now;
    return true;
  }

  /**
   * Waits before another round over all endpoints, none of which could be connected to.
   * @param round how many rounds there were before the one that has failed
   * @returns false, without waiting, where that would be after the failfast time since the outage began
   */
  async mayTryAgain(round: number): Promise<boolean> {
    const now = this.#clock.monotonic();
    if (this.#current === undefined || now - this.#current.last > OUTAGE_OVER_MS)
      this.#current = { since: now, last: now };
    this.#current.last = now;
    const delay = backoffDelay(round, RECONNECT, this.#random);
    if (now - this.#current.since + delay > this.#failfastMs) return false;
    this.#waiting++;
    await sleep(this.#clock, delay);
    this.#waiting--;
    return true;
  }
}

import { sleep, type Clock } from '../../base/clock.ts';

/** A sustained rate, and the burst that may come on top of it. */
export interface PaceRate {
  readonly perSecond: number;
  readonly burst: number;
}

/**
 * A token bucket that may go into debt: work is paid for when it is done and its price is known, and the next
 * piece of work waits until the debt is paid. So nothing is refused, and whoever asks for more than its rate
 * gets its rate.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #rate: PaceRate;
  #tokens: number;
  #at: number;

  constructor(rate: PaceRate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
    this.#tokens = rate.burst;
    this.#at = clock.monotonic();
  }

  /** Pays for work that has been done. @param price tokens; may be more than there are */
  spend(price: number): void {
    this.#refill();
    this.#tokens -= price;
  }

  /** Milliseconds until the next piece of work may begin; 0 = now. */
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

/** Reading an event or a page costs one token, and one more for each so many bytes of it. */
const BYTES_PER_TOKEN = 4096;

/**
 * Pays for an event or a page that was read, and waits where it came faster than the pace. While nobody
 * reads, the connection fills up and the server waits too.
 * @param pace undefined: as fast as it comes
 * @param bytes of the event or page on the wire; undefined where that is not known
 * @param signal rejects with its reason when it aborts during the wait
 */
export async function slowDown(
  pace: Pace | undefined,
  bytes: number | undefined,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (pace === undefined) return;
  pace.spend(1 + (bytes ?? 0) / BYTES_PER_TOKEN);
  for (let wait = pace.waitMs; wait > 0 && !signal.aborted; wait = pace.waitMs)
    await sleep(clock, wait, signal);
}

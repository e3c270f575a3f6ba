import type { Clock } from '../../base/clock.ts';
import type { Testimony } from '../gateway-health/witnesses.ts';

/** What is known of one membership beside the witnesses. */
export interface Absence {
  /** `namespace/name` of the export. */
  readonly key: string;
  /** How long both witnesses must have said the same, milliseconds. */
  readonly delayMs: number;
  /** Whether the Service would have a member without this one. */
  readonly hasOthers: boolean;
}

/**
 * Which members are left out because their cluster is lost, where requests do not pass through the egress:
 * when both witnesses have said so for the delay of the Service's policy, and never the last one. They come
 * back when both have said for as long that it is there, or at once where there is nobody else any more.
 */
export class Departures {
  readonly #witnesses: Testimony;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #left = new Set<string>();

  constructor(witnesses: Testimony, clock: Pick<Clock, 'monotonic'>) {
    this.#witnesses = witnesses;
    this.#clock = clock;
  }

  /**
   * Whether a member is left out now.
   * @returns `waitMs`: after how long that changes if both go on saying what they say; undefined: it does not
   */
  look({ key, delayMs, hasOthers }: Absence): {
    readonly gone: boolean;
    readonly waitMs: number | undefined;
  } {
    const { lostSince, backSince } = this.#witnesses;
    const wasGone = this.#left.has(key);
    const since = wasGone ? backSince : lostSince;
    const waitMs = since === undefined ? undefined : Math.max(0, since + delayMs - this.#clock.monotonic());
    const turns = waitMs === 0;
    if (!hasOthers || (wasGone && turns)) {
      this.#left.delete(key);
      return { gone: false, waitMs: undefined };
    }
    if (!wasGone && turns) this.#left.add(key);
    return { gone: wasGone || turns, waitMs: turns ? undefined : waitMs };
  }

  /** The export is gone. */
  forget(key: string): void {
    this.#left.delete(key);
  }
}

import type { Clock } from '../../base/clock.ts';
import { ConnectionError, ErrorCode } from './errors.ts';

/** How much of something a peer may do at once, and how much comes back per second. */
export interface AbuseLimit {
  readonly burst: number;
  readonly perSecond: number;
}

/** Streams that the peer resets before they are done; nghttp2's limit against rapid reset (CVE-2023-44487). */
export const RESET_LIMIT: AbuseLimit = { burst: 1000, perSecond: 33 };
/** Frames that make work and carry nothing: PING, SETTINGS, PRIORITY, empty DATA, WINDOW_UPDATE, frames of streams that are over. Paid back by frames that carry something. */
export const IDLE_FRAME_LIMIT: AbuseLimit = { burst: 2000, perSecond: 100 };

/** A bucket of tokens: what is done within the limit is free, what goes beyond it is an attack. */
export class AbuseBudget {
  readonly #limit: AbuseLimit;
  readonly #clock: Clock;
  #tokens: number;
  #at: number;

  constructor(limit: AbuseLimit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
    this.#tokens = limit.burst;
    this.#at = clock.monotonic();
  }

  /** @returns false when there is nothing left */
  spend(): boolean {
    if (this.#tokens < 1) {
      const now = this.#clock.monotonic();
      const earned = ((now - this.#at) / 1000) * this.#limit.perSecond;
      this.#tokens = Math.min(this.#limit.burst, this.#tokens + earned);
      this.#at = now;
      if (this.#tokens < 1) return false;
    }
    this.#tokens--;
    return true;
  }

  earn(): void {
    if (this.#tokens < this.#limit.burst) this.#tokens++;
  }
}

/** What one peer may still do that costs more than it carries. Whoever goes beyond it loses the connection. */
export class PeerBudget {
  readonly #resets: AbuseBudget;
  readonly #idleFrames: AbuseBudget;

  /** @param resets default `RESET_LIMIT` */
  constructor(clock: Clock, resets: AbuseLimit = RESET_LIMIT) {
    this.#resets = new AbuseBudget(resets, clock);
    this.#idleFrames = new AbuseBudget(IDLE_FRAME_LIMIT, clock);
  }

  /** A frame that makes work and carries nothing. @throws ConnectionError ENHANCE_YOUR_CALM */
  spendIdleFrame(): void {
    if (!this.#idleFrames.spend())
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many frames that carry nothing');
  }

  /** A stream that ends before its time by the peer's doing. @throws ConnectionError ENHANCE_YOUR_CALM */
  spendReset(): void {
    if (!this.#resets.spend())
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many streams are given up');
  }

  /** A frame that carries something, either way. */
  earn(): void {
    this.#idleFrames.earn();
  }
}

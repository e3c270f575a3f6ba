import type { Rate } from '../../policy/rate-limits/rate-limits.ts';

/**
 * Rounding error of the arithmetic, milliseconds: a request that comes exactly at its time passes.
 */
const ROUNDING_MS = 1e-3;

/** A rate as its limiter calculates with it. */
export class BucketPace {
  /** The rate as it was set. */
  readonly rate: Rate;
  /** Between two that come as fast as they may, milliseconds. */
  readonly intervalMs: number;
  /** How far ahead of that a burst may be, milliseconds. */
  readonly toleranceMs: number;

  /**
   * @param shares how many share the rate; this is the pace of one of them. Each can have a burst of at least
   * 1
   */
  constructor(rate: Rate, shares = 1) {
    this.rate = rate;
    this.intervalMs = (1000 * shares) / rate.perSecond;
    this.toleranceMs = (Math.max(1, Math.floor(rate.burst / shares)) - 1) * this.intervalMs;
  }
}

/**
 * The generic cell rate algorithm (ITU-T I.371; Linkerd's proxies limit by it, too): a token bucket that is
 * one number, the moment at which it is full again. In any time t no more than `burst + t × perSecond` are
 * let through, and whoever comes no faster than the rate always is.
 */
export class TokenBucket {
  readonly pace: BucketPace;
  /** Monotonic milliseconds. */
  #fullAt = -Infinity;

  constructor(pace: BucketPace) {
    this.pace = pace;
  }

  /** Milliseconds until the next one may pass; 0 = it may now. Takes nothing. */
  wait(now: number): number {
    const early = this.#fullAt - now - this.pace.toleranceMs;
    return early <= ROUNDING_MS ? 0 : early;
  }

  /** Counts one request. Call it only when `wait` returns 0. */
  take(now: number): void {
    this.#fullAt = Math.max(this.#fullAt, now) + this.pace.intervalMs;
  }

  /** Whether it is as good as new. */
  isFull(now: number): boolean {
    return this.#fullAt <= now;
  }
}

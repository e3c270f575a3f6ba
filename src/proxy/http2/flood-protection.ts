import type { Clock } from '../../base/clock.ts';
import { ConnectionError, Http2ErrorCode } from './errors.ts';

/** How much of something a peer may do at once, and how much comes back per second. */
export interface FloodLimit {
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * Streams that the peer resets at once, before there was an answer (rapid reset, CVE-2023-44487). What was
 * answered, or was waited for, is given up by people and deadlines, and costs nothing; each stream that comes
 * to its end earns one back.
 */
export const RESET_LIMIT: FloodLimit = { burst: 1000, perSecond: 100 };
/**
 * A stream that lived this long was not opened in order to be reset: the limit on open streams bounds how
 * many there can be of those. An attacker's reset comes in the packet of its request; below this are no
 * deadlines of people who measure theirs in milliseconds.
 */
export const RAPID_MS = 4;
/**
 * Age of a stream below which we do not reset it: clients of ours that give up at once must not make us look
 * like an attacker to a proxy, or an application, that others share the connection to. Several times
 * `RAPID_MS`, for what we send may come in bursts; h2 (Linkerd's proxies) allows 20 resets of streams that it
 * has not come to yet.
 */
export const GIVE_UP_MS = 25;
/**
 * Frames that make work and carry nothing: PING, SETTINGS, PRIORITY, empty DATA, frames of streams that are
 * over, WINDOW_UPDATEs beyond what we have sent. Paid back by frames that carry something.
 */
export const IDLE_FRAME_LIMIT: FloodLimit = { burst: 2000, perSecond: 100 };
/**
 * WINDOW_UPDATEs that a DATA frame of ours may be answered with: ten times the one for the stream and the one
 * for the connection, and one more for each 128 bytes. Readers credit what they have read when they have read
 * it (RFC 9113 section 6.9 leaves to them how often): Go's after each 4 KiB, one update for the stream and
 * one for the connection; grpc-go after each frame while it measures the bandwidth. `scripts/http2-limits.ts`
 * measures how near they come.
 */
export const UPDATES_PER_FRAME = 20;
export const UPDATE_BYTES_SHIFT = 7;

/** A bucket of tokens: what is done within the limit is free, what goes beyond it is an attack. */
export class FloodBudget {
  readonly #limit: FloodLimit;
  readonly #clock: Clock;
  #tokens: number;
  #at: number;

  constructor(limit: FloodLimit, clock: Clock) {
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

/**
 * What one peer may still do that costs more than it carries. Whoever goes beyond it loses the connection.
 */
export class FloodProtection {
  readonly #resets: FloodBudget;
  readonly #idleFrames: FloodBudget;
  /** WINDOW_UPDATEs that what was sent explains and that have not come. */
  #updates = 0;

  /** @param resets default `RESET_LIMIT` */
  constructor(clock: Clock, resets: FloodLimit = RESET_LIMIT) {
    this.#resets = new FloodBudget(resets, clock);
    this.#idleFrames = new FloodBudget(IDLE_FRAME_LIMIT, clock);
  }

  /** A frame that makes work and carries nothing. @throws ConnectionError ENHANCE_YOUR_CALM */
  spendIdleFrame(): void {
    if (!this.#idleFrames.spend())
      throw new ConnectionError(Http2ErrorCode.ENHANCE_YOUR_CALM, 'too many frames that carry nothing');
  }

  /** A stream that ends before its time by the peer's doing. @throws ConnectionError ENHANCE_YOUR_CALM */
  spendReset(): void {
    if (!this.#resets.spend())
      throw new ConnectionError(Http2ErrorCode.ENHANCE_YOUR_CALM, 'too many streams are given up');
  }

  /** A stream that came to its end. */
  streamDone(): void {
    this.#resets.earn();
  }

  /** A frame that carries something, of the peer's. */
  earn(): void {
    this.#idleFrames.earn();
  }

  /**
   * A DATA frame of ours is out, which the peer will credit: what it may say for that has no bound but what
   * was sent.
   * @param dribbled the peer's window made it tiny (CVE-2019-9511): it earns nothing
   */
  sentData(bytes: number, dribbled: boolean): void {
    if (dribbled) return;
    this.#idleFrames.earn();
    this.#updates += UPDATES_PER_FRAME + (bytes >> UPDATE_BYTES_SHIFT);
  }

  /**
   * A WINDOW_UPDATE.
   * @throws ConnectionError ENHANCE_YOUR_CALM when there are more than all that was sent can explain
   */
  spendWindowUpdate(): void {
    if (this.#updates > 0) this.#updates--;
    else this.spendIdleFrame();
  }
}

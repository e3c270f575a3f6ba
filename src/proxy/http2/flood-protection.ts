import type { Clock } from '../../base/clock.ts';
import { ConnectionError, Http2ErrorCode } from './errors.ts';

/** A token bucket: how often a peer may do something at once, and how much of that comes back per second. */
export interface FloodLimit {
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * Streams that the peer resets right after it began them, before there was an answer (rapid reset,
 * CVE-2023-44487). Resetting a stream that was answered, or waited for (`RAPID_MS`), costs nothing: people
 * and deadlines do that. Each stream that comes to its end earns one back.
 */
export const RESET_LIMIT: FloodLimit = { burst: 1000, perSecond: 100 };
/**
 * A stream that is reset after this many milliseconds or more was not opened in order to be reset; the limit
 * on open streams bounds how many of those there can be. An attacker's reset comes in the packet of its
 * request, and hardly anybody sets a deadline that is shorter than this.
 */
export const RAPID_MS = 4;
/**
 * Age in milliseconds before which we do not reset a stream of ours: clients that give up at once must not
 * make us look like an attacker to a proxy or an application, to which other clients share the connection.
 * Several times `RAPID_MS`, because what we send may arrive in bursts; h2 (Linkerd's proxies) allows 20
 * resets of streams that it has not looked at yet.
 */
export const GIVE_UP_MS = 25;
/**
 * Frames that make work and carry nothing: PING, SETTINGS, PRIORITY, empty DATA, frames of streams that are
 * over, and more WINDOW_UPDATEs than what we have sent explains. Each frame that carries something earns one
 * back.
 */
export const IDLE_FRAME_LIMIT: FloodLimit = { burst: 2000, perSecond: 100 };
/**
 * How many WINDOW_UPDATEs a DATA frame of ours explains: ten for the stream and ten for the connection, and
 * one more for each 128 bytes (2 to the power of `UPDATE_BYTES_SHIFT`). RFC 9113 section 6.9 leaves to
 * readers how often they send them: Go's after each 4 KiB, one for the stream and one for the connection;
 * grpc-go's after each frame while it measures the bandwidth. `scripts/http2-limits.ts` measures how near
 * they come.
 */
export const UPDATES_PER_FRAME = 20;
export const UPDATE_BYTES_SHIFT = 7;

/** The tokens that are left of a `FloodLimit`: whoever asks for more than there are is an attacker. */
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

  /** Takes a token. @returns false when there is none left */
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

  /** Gives a token back, up to the burst. */
  earn(): void {
    if (this.#tokens < this.#limit.burst) this.#tokens++;
  }
}

/**
 * What one peer may still do that costs us more than it carries: a peer that goes beyond it loses the
 * connection (ADR 0016).
 */
export class FloodProtection {
  readonly #resets: FloodBudget;
  readonly #idleFrames: FloodBudget;
  /** WINDOW_UPDATEs that what we have sent explains and that have not come. */
  #updates = 0;

  /** @param resets default `RESET_LIMIT` */
  constructor(clock: Clock, resets: FloodLimit = RESET_LIMIT) {
    this.#resets = new FloodBudget(resets, clock);
    this.#idleFrames = new FloodBudget(IDLE_FRAME_LIMIT, clock);
  }

  /** A frame has come that makes work and carries nothing. @throws ConnectionError ENHANCE_YOUR_CALM */
  spendIdleFrame(): void {
    if (!this.#idleFrames.spend())
      throw new ConnectionError(Http2ErrorCode.ENHANCE_YOUR_CALM, 'too many frames that carry nothing');
  }

  /** A stream has ended early by the peer's doing. @throws ConnectionError ENHANCE_YOUR_CALM */
  spendReset(): void {
    if (!this.#resets.spend())
      throw new ConnectionError(Http2ErrorCode.ENHANCE_YOUR_CALM, 'too many streams are given up');
  }

  /** A stream has come to its proper end. */
  streamDone(): void {
    this.#resets.earn();
  }

  /** A frame of the peer has come that carries something. */
  earn(): void {
    this.#idleFrames.earn();
  }

  /**
   * A DATA frame of ours has been sent, which the peer will answer with WINDOW_UPDATEs.
   * @param dribbled the peer's window, and not the end of the data, made it tiny (CVE-2019-9511): it explains
   * none
   */
  sentData(bytes: number, dribbled: boolean): void {
    if (dribbled) return;
    this.#idleFrames.earn();
    this.#updates += UPDATES_PER_FRAME + (bytes >> UPDATE_BYTES_SHIFT);
  }

  /**
   * A WINDOW_UPDATE has come.
   * @throws ConnectionError ENHANCE_YOUR_CALM when there are far more than what we have sent explains
   */
  spendWindowUpdate(): void {
    if (this.#updates > 0) this.#updates--;
    else this.spendIdleFrame();
  }
}

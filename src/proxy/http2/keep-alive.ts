import type { Clock, Timer } from '../../base/clock.ts';
import { frame, FrameType } from './frames.ts';

/** The PING that asks the peer whether it is still there. */
export const PING = frame(FrameType.PING, 0, 0, Buffer.from('linkspan', 'latin1'));

/** How a peer is watched while streams are open. */
export interface BusyWatch {
  /** Silence after which it is sent a PING, milliseconds. */
  readonly periodMs: number;
  /** How long it may take to send anything after that, milliseconds. */
  readonly timeoutMs: number;
}

/** How a connection is kept alive. */
export interface KeepAliveOptions {
  readonly clock: Clock;
  /**
   * Silence after which the peer is asked whether it is still there; up to twice as long, as it is looked at
   * once a period.
   */
  readonly periodMs: number;
  /** How long the peer may take to send anything after that. */
  readonly timeoutMs: number;
  /** How the peer is watched while `busy`; default: as at other times. */
  readonly whileBusy?: BusyWatch | undefined;
  /** Whether a stream is open. */
  readonly busy: () => boolean;
  /**
   * Whether bytes wait because the kernel has no room for them; default: they never do. It makes room for
   * what the peer's kernel has acknowledged.
   */
  readonly congested?: () => boolean;
  /**
   * Bytes of bodies that were sent and that the peer has not said to have read; default 0. A PING may wait
   * behind them.
   */
  readonly unconfirmed?: () => number;
  /** Sends a PING. */
  readonly ask: () => void;
  /** The peer has sent nothing in time. */
  readonly onDead: () => void;
}

/** Time between two looks at a peer while streams are open, milliseconds. */
const TICK_MS = 100;
/** Looks without an answer after which a peer is doubted: longer than any round trip on earth takes. */
const DOUBT_TICKS = 3;
/**
 * How fast a line is at least, bytes in a millisecond (1 Mbit/s): a peer behind it gets the time for what was
 * sent before the PING, until it has had as much time as one with which nothing is in hand.
 */
const SLOW_LINE = 128;

/**
 * Notices that a peer has vanished: a node that lost its power, a firewall that forgot the connection.
 * Silence is measured in timer ticks, not by the clock: if this process was late itself, it had no chance to
 * read the answer, and the peer is not to blame.
 */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  #timer: Timer | undefined;
  #heard = false;
  #asked = false;
  /** Whether bytes waited for room at the last look. */
  #waited = false;
  /**
   * While streams are open, and afterwards until the peer has sent anything: looks since it has, since the
   * first stream began, or since the PING, whichever is the latest. Otherwise undefined.
   */
  #ticks: number | undefined;
  /** When the next of these looks is due (monotonic milliseconds). */
  #due = 0;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    this.#wait(options.periodMs);
  }

  /** Whether a PING was sent while a stream was open, and the answer takes longer than a round trip can. */
  get doubtful(): boolean {
    return this.#asked && this.#ticks !== undefined && this.#ticks >= DOUBT_TICKS;
  }

  /** The peer has sent something. */
  heard(): void {
    this.#heard = true;
  }

  /**
   * Bytes that waited for room have gone out. Where they did so at the last look already, the peer's kernel
   * takes them, slowly, and a PING waits behind them; where not, nothing is known of the peer.
   */
  drained(): void {
    if (this.#waited) this.#heard = true;
  }

  /** A stream is opened. */
  begins(): void {
    if (this.#ticks !== undefined || this.#options.whileBusy === undefined) return;
    this.#timer?.cancel();
    this.#ticks = 0;
    this.#heard = false;
    this.#asked = false;
    this.#due = this.#options.clock.monotonic();
    this.#waitForTick();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #wait(ms: number): void {
    this.#timer = this.#options.clock.after(ms, () => this.#look(), { unref: true });
  }

  #look(): void {
    const { periodMs, timeoutMs, whileBusy, busy, congested, ask, onDead } = this.#options;
    this.#waited = congested?.() === true;
    if (whileBusy !== undefined && this.#ticks !== undefined) {
      if (busy()) return this.#lookClosely(whileBusy, this.#ticks);
      // Clients that give up sooner than this does must not begin the watch anew, each with its request: it
      // goes on, with more patience, until something is heard.
      if (!this.#heard) return this.#lookClosely({ periodMs, timeoutMs }, this.#ticks);
      this.#ticks = undefined;
      this.#asked = false;
      return this.#wait(periodMs);
    }
    if (!this.#heard && this.#asked) return onDead();
    this.#asked = !this.#heard;
    this.#heard = false;
    if (this.#asked) ask();
    this.#wait(this.#asked ? timeoutMs : periodMs);
  }

  #lookClosely({ periodMs, timeoutMs }: BusyWatch, before: number): void {
    const { ask, unconfirmed, onDead } = this.#options;
    const ticks = this.#heard ? 0 : before + 1;
    if (this.#heard) this.#asked = false;
    this.#heard = false;
    this.#ticks = ticks;
    const over = ticks * TICK_MS - timeoutMs;
    if (this.#asked && over >= 0 && over >= this.#patience(unconfirmed?.() ?? 0, periodMs + timeoutMs))
      return onDead();
    if (!this.#asked && ticks * TICK_MS >= periodMs) {
      this.#asked = true;
      this.#ticks = 0;
      ask();
    }
    this.#waitForTick();
  }

  /**
   * Waits for the next tick, which is due a tick after the last one was, however late that came: a few
   * milliseconds with each of fifteen would add up. Where it came very late there is half a tick in between,
   * in which the answer can be read.
   */
  #waitForTick(): void {
    const now = this.#options.clock.monotonic();
    this.#due = Math.max(this.#due + TICK_MS, now + TICK_MS / 2);
    this.#wait(this.#due - now);
  }

  /** How much longer the peer gets, milliseconds. @param longest that it gets with nothing unconfirmed */
  #patience(unconfirmed: number, longest: number): number {
    const { periodMs, timeoutMs } = this.#options;
    return Math.min(Math.max(0, 2 * periodMs + timeoutMs - longest), unconfirmed / SLOW_LINE);
  }
}

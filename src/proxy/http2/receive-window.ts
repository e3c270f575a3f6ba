import { ConnectionError, Http2ErrorCode } from './errors.ts';
import { DEFAULT_WINDOW } from './frames.ts';

/** Sizes of a connection's receive window, in bytes. */
export interface ReceiveWindowOptions {
  /** Bytes that the peer may send before a WINDOW_UPDATE lets it go on. */
  readonly size: number;
  /** Above so many unconsumed bytes there is no WINDOW_UPDATE. */
  readonly maxUnconsumed: number;
  /** Sends a WINDOW_UPDATE of so many bytes. */
  readonly onUpdate: (increment: number) => void;
}

/**
 * What a peer may send on a whole connection (RFC 9113 section 5.2). The window is given back when bytes
 * arrive, not when they are consumed, so that a stream that nobody reads does not stall the others; only
 * while too many bytes of all streams are unconsumed, it is not.
 */
export class ReceiveWindow {
  readonly #options: ReceiveWindowOptions;
  /** Bytes that the peer may still send. */
  #left: number;
  /** Bytes that came and for which no WINDOW_UPDATE has been sent. */
  #credit = 0;
  #unconsumed = 0;

  constructor(options: ReceiveWindowOptions) {
    this.#options = options;
    this.#left = options.size;
  }

  /** A DATA frame of so many bytes begins. @throws ConnectionError when it is larger than the window */
  take(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0)
      throw new ConnectionError(
        Http2ErrorCode.FLOW_CONTROL_ERROR,
        'more came than the connection window allows',
      );
  }

  /** All of the frame has come. */
  came(bytes: number): void {
    this.#credit += bytes;
    this.#giveBack();
  }

  /** So many bytes that came are to be consumed. */
  hold(bytes: number): void {
    this.#unconsumed += bytes;
  }

  /** So many of them have been consumed, or will never be. */
  release(bytes: number): void {
    this.#unconsumed -= bytes;
    this.#giveBack();
  }

  #giveBack(): void {
    const { size, maxUnconsumed, onUpdate } = this.#options;
    if (this.#credit < size / 2 || this.#unconsumed > maxUnconsumed) return;
    const increment = this.#credit;
    this.#left += increment;
    this.#credit = 0;
    onUpdate(increment);
  }
}

/**
 * The connection window to use where `wanted` is asked for: at least the initial one, which cannot be made
 * smaller.
 */
export function connectionWindowOf(wanted: number): number {
  return Math.max(DEFAULT_WINDOW, wanted);
}

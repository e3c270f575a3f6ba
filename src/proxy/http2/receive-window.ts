import { ConnectionError, Http2ErrorCode } from './errors.ts';
import { DEFAULT_WINDOW } from './frames.ts';

export interface ReceiveWindowOptions {
  /** Bytes that the peer may send before it is told to go on. */
  readonly size: number;
  /** Unconsumed bytes from which it is not told any more. */
  readonly maxUnconsumed: number;
  /** Tells it to send so many more. */
  readonly onUpdate: (increment: number) => void;
}

/**
 * What a peer may send on a whole connection (RFC 9113 section 5.2). It is given back on arrival, so that a
 * stream that nobody reads does not stall the others, as long as what nobody has taken yet stays within
 * bounds.
 */
export class ReceiveWindow {
  readonly #options: ReceiveWindowOptions;
  #left: number;
  /** Bytes that came and that the peer has not been told to send again. */
  #credit = 0;
  #unconsumed = 0;

  constructor(options: ReceiveWindowOptions) {
    this.#options = options;
    this.#left = options.size;
  }

  /** A DATA frame of so many bytes begins. @throws ConnectionError when it is larger than allowed */
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

  /** Some of it waits to be consumed. */
  hold(bytes: number): void {
    this.#unconsumed += bytes;
  }

  /** It has been consumed, or is not waited for any more. */
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

/** @returns the connection window to ask for: never less than the initial one, which cannot be taken back */
export function connectionWindowOf(wanted: number): number {
  return Math.max(DEFAULT_WINDOW, wanted);
}

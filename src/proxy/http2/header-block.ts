import { ConnectionError, Http2ErrorCode } from './errors.ts';
import { Flag } from './frames.ts';

/**
 * Longest header block on the wire, in bytes, and most CONTINUATION frames of one (CVE-2024-27316: a flood of
 * them).
 */
export const MAX_BLOCK = 64 * 1024;
export const MAX_CONTINUATIONS = 16;
const EMPTY = Buffer.alloc(0);

/** Puts a header block together that may come in several frames (RFC 9113 section 4.3). */
export class HeaderBlock {
  #streamId = 0;
  #endStream = false;
  #parts: Buffer[] = [];
  #size = 0;
  /**
   * The whole block is `bytes[start, end)`, once `begin` or `continue` has returned true and until the next
   * call.
   */
  bytes: Buffer = EMPTY;
  start = 0;
  end = 0;

  /** Whether a block is incomplete, so that only a CONTINUATION frame of its stream may come. */
  get open(): boolean {
    return this.#streamId !== 0;
  }

  /** The stream whose block is incomplete; 0: none is. */
  get streamId(): number {
    return this.#streamId;
  }

  /** Whether the HEADERS frame of the last block had END_STREAM. */
  get endStream(): boolean {
    return this.#endStream;
  }

  /**
   * A HEADERS frame with its payload in `bytes[start, end)`.
   * @returns whether the block ends here
   * @throws ConnectionError
   */
  begin(streamId: number, flags: number, bytes: Buffer, start: number, end: number): boolean {
    this.#strip(flags, bytes, start, end);
    this.#endStream = (flags & Flag.END_STREAM) !== 0;
    if (flags & Flag.END_HEADERS) return true;
    this.#streamId = streamId;
    this.#parts = [Buffer.from(bytes.subarray(this.start, this.end))];
    this.#size = this.end - this.start;
    return false;
  }

  /** A CONTINUATION frame. @returns whether the block ends here @throws ConnectionError */
  continue(streamId: number, flags: number, payload: Buffer): boolean {
    if (!this.open || streamId !== this.#streamId)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'a CONTINUATION frame continues nothing');
    this.#size += payload.length;
    if (this.#size > MAX_BLOCK || this.#parts.length > MAX_CONTINUATIONS)
      throw new ConnectionError(Http2ErrorCode.ENHANCE_YOUR_CALM, 'a header block does not end');
    this.#parts.push(Buffer.from(payload));
    if ((flags & Flag.END_HEADERS) === 0) return false;
    this.bytes = Buffer.concat(this.#parts, this.#size);
    this.start = 0;
    this.end = this.#size;
    this.#streamId = 0;
    this.#parts = [];
    return true;
  }

  /** Finds the block's part in a HEADERS frame: without padding and priority. */
  #strip(flags: number, bytes: Buffer, start: number, end: number): void {
    let from = start;
    let padding = 0;
    if (flags & Flag.PADDED) padding = from < end ? (bytes[from++] ?? 0) : tooShort();
    if (flags & Flag.PRIORITY) from += 5;
    if (from > end) tooShort();
    if (from + padding > end)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'a frame has more padding than payload');
    this.bytes = bytes;
    this.start = from;
    this.end = end - padding;
  }
}

function tooShort(): never {
  throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'a HEADERS frame is too short');
}

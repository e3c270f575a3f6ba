import { ConnectionError, ErrorCode } from './errors.ts';
import { Flag } from './frames.ts';

/** Longest header block as it is on the wire, and how many CONTINUATION frames it may take (CVE-2024-27316: floods of them). */
const MAX_BLOCK = 64 * 1024;
const MAX_CONTINUATIONS = 16;

/** Puts a header block together that may come in several frames (RFC 9113 section 4.3). */
export class HeaderBlock {
  #streamId = 0;
  #endStream = false;
  #parts: Buffer[] = [];
  #size = 0;

  /** Whether a block is under way: only its CONTINUATION may come now. */
  get open(): boolean {
    return this.#streamId !== 0;
  }

  get streamId(): number {
    return this.#streamId;
  }

  get endStream(): boolean {
    return this.#endStream;
  }

  /** A HEADERS frame. @returns the whole block when it ends here @throws ConnectionError */
  begin(streamId: number, flags: number, payload: Buffer): Buffer | undefined {
    const fragment = headersFragment(flags, payload);
    this.#endStream = (flags & Flag.END_STREAM) !== 0;
    if (flags & Flag.END_HEADERS) return fragment;
    this.#streamId = streamId;
    this.#parts = [Buffer.from(fragment)];
    this.#size = fragment.length;
    return undefined;
  }

  /** A CONTINUATION frame. @throws ConnectionError */
  continue(streamId: number, flags: number, payload: Buffer): Buffer | undefined {
    if (!this.open || streamId !== this.#streamId)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a CONTINUATION frame continues nothing');
    this.#size += payload.length;
    if (this.#size > MAX_BLOCK || this.#parts.length > MAX_CONTINUATIONS)
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'a header block does not end');
    this.#parts.push(Buffer.from(payload));
    if ((flags & Flag.END_HEADERS) === 0) return undefined;
    const block = Buffer.concat(this.#parts, this.#size);
    this.#streamId = 0;
    this.#parts = [];
    return block;
  }
}

/** The block's part in a HEADERS frame: without padding and priority. */
function headersFragment(flags: number, payload: Buffer): Buffer {
  let from = 0;
  let padding = 0;
  if (flags & Flag.PADDED) {
    padding = payload[0] ?? 0;
    from = 1;
  }
  if (flags & Flag.PRIORITY) from += 5;
  if (from > payload.length)
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a HEADERS frame is too short');
  if (from + padding > payload.length)
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a frame has more padding than payload');
  return payload.subarray(from, payload.length - padding);
}

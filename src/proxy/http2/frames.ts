import { ConnectionError, Http2ErrorCode } from './errors.ts';

/** Frame types (RFC 9113 section 6). */
export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
  /** Our own, of the range for experiments (0xf0 to 0xff): in which cluster an egress is. */
  CLUSTER: 0xf1,
} as const;

/** Flags of frames (RFC 9113 section 6); which of them a frame may have depends on its type. */
export const Flag = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

/** Settings (RFC 9113 section 6.5.2). */
export const Setting = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
  /**
   * Our own, from the range that IANA has reserved for experiments (0xf000 to 0xffff). 1: the sender reads
   * `:alternatives` (ADR 0036).
   */
  ALTERNATIVES: 0xf15a,
} as const;

/** What a client sends first (RFC 9113 section 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Bytes of a frame's header. */
export const FRAME_HEADER = 9;
/** Largest payload that is taken and sent: SETTINGS_MAX_FRAME_SIZE's initial value, which we never raise. */
export const MAX_FRAME = 16_384;
/** Initial flow-control window of a stream and of a connection, bytes (RFC 9113 section 6.9.2). */
export const DEFAULT_WINDOW = 65_535;
/** Largest flow-control window, and largest stream id. */
export const MAX_WINDOW = 2 ** 31 - 1;

const EMPTY = Buffer.alloc(0);

/** Gets what a `FrameReader` finds. */
export interface FrameSink {
  /** A whole frame other than DATA. Its payload is in `bytes[start, end)`, during the call only. */
  // oxlint-disable-next-line max-params -- a view or an object for each frame would be the costliest part of it
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** A DATA frame begins. @param length its payload with padding: what flow control counts */
  onDataStart(streamId: number, length: number): void;
  /** Bytes of that frame's data, as they came. */
  onDataBytes(streamId: number, chunk: Buffer): void;
  /** The DATA frame is complete. @param length as `onDataStart` was given */
  onDataEnd(streamId: number, length: number, endStream: boolean): void;
}

/**
 * Finds frames in bytes that come in any pieces. DATA is passed on piece by piece, neither copied nor waited
 * for; other frames are given whole. The sink may end it from within a call by `stop()`.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #header = Buffer.alloc(FRAME_HEADER);
  #headerLength = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  #length = 0;
  /** Payload bytes still to come; -1: a header comes next. */
  #left = -1;
  /** The beginning of a frame's payload that comes in several pieces. */
  #held: Buffer = EMPTY;
  #heldLength = 0;
  /** Bytes of padding at the end of a DATA frame; -1: the byte that says how many has not come. */
  #padding = 0;
  #stopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Looks at no more bytes. */
  stop(): void {
    this.#stopped = true;
  }

  /** @throws ConnectionError for a frame that is too large or malformed, and whatever the sink throws */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      at = this.#left < 0 ? this.#readHeader(chunk, at) : this.#readPayload(chunk, at);
    }
  }

  #readHeader(chunk: Buffer, at: number): number {
    const taken = Math.min(FRAME_HEADER - this.#headerLength, chunk.length - at);
    let header: Buffer = this.#header;
    let from = 0;
    if (this.#headerLength === 0 && taken === FRAME_HEADER) {
      header = chunk;
      from = at;
    } else {
      chunk.copy(this.#header, this.#headerLength, at, at + taken);
      this.#headerLength += taken;
      if (this.#headerLength < FRAME_HEADER) return at + taken;
    }
    this.#headerLength = 0;
    this.#length = numberAt(header, from, 3);
    this.#type = header[from + 3] ?? 0;
    this.#flags = header[from + 4] ?? 0;
    this.#streamId = numberAt(header, from + 5, 4) & 0x7fffffff;
    if (this.#length > MAX_FRAME)
      throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, `a frame has ${this.#length} bytes`);
    this.#begin();
    return at + taken;
  }

  #begin(): void {
    this.#left = this.#length;
    if (this.#type === FrameType.DATA) {
      this.#padding = this.#flags & Flag.PADDED ? -1 : 0;
      if (this.#padding < 0 && this.#length === 0)
        throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'a padded frame has no room for padding');
      this.#sink.onDataStart(this.#streamId, this.#length);
    }
    if (this.#left === 0) this.#finish(EMPTY, 0, 0);
  }

  #readPayload(chunk: Buffer, at: number): number {
    if (this.#type === FrameType.DATA) return this.#readData(chunk, at);
    const taken = Math.min(this.#left, chunk.length - at);
    if (this.#heldLength === 0 && taken === this.#left) {
      this.#left = 0;
      this.#finish(chunk, at, at + taken);
      return at + taken;
    }
    if (this.#heldLength === 0) this.#held = Buffer.allocUnsafe(this.#length);
    chunk.copy(this.#held, this.#heldLength, at, at + taken);
    this.#heldLength += taken;
    this.#left -= taken;
    if (this.#left === 0) {
      const whole = this.#held;
      this.#held = EMPTY;
      this.#heldLength = 0;
      this.#finish(whole, 0, whole.length);
    }
    return at + taken;
  }

  #readData(chunk: Buffer, at: number): number {
    if (this.#padding < 0) {
      this.#padding = chunk[at] ?? 0;
      this.#left--;
      if (this.#padding > this.#left)
        throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, 'a frame has more padding than payload');
      if (this.#left === 0) this.#finish(EMPTY, 0, 0);
      return at + 1;
    }
    const taken = Math.min(this.#left, chunk.length - at);
    const data = Math.min(taken, this.#left - this.#padding);
    this.#left -= taken;
    if (data > 0) this.#sink.onDataBytes(this.#streamId, chunk.subarray(at, at + data));
    if (this.#left === 0 && !this.#stopped) this.#finish(EMPTY, 0, 0);
    return at + taken;
  }

  #finish(bytes: Buffer, start: number, end: number): void {
    this.#left = -1;
    if (this.#type === FrameType.DATA)
      this.#sink.onDataEnd(this.#streamId, this.#length, (this.#flags & Flag.END_STREAM) !== 0);
    else this.#sink.onFrame(this.#type, this.#flags, this.#streamId, bytes, start, end);
  }
}

function numberAt(bytes: Buffer, at: number, length: number): number {
  let value = 0;
  for (let index = at; index < at + length; index++) value = (value << 8) | (bytes[index] ?? 0);
  return value;
}

/** Writes a frame's header: `FRAME_HEADER` bytes. */
// oxlint-disable-next-line max-params -- an object for each frame would be the costliest part of it
export function writeFrameHeader(
  into: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  into[at] = length >> 16;
  into[at + 1] = length >> 8;
  into[at + 2] = length;
  into[at + 3] = type;
  into[at + 4] = flags;
  into[at + 5] = streamId >> 24;
  into[at + 6] = streamId >> 16;
  into[at + 7] = streamId >> 8;
  into[at + 8] = streamId;
}

/** A whole frame with a copy of its payload. */
export function frame(type: number, flags: number, streamId: number, payload: Buffer = EMPTY): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER + payload.length);
  writeFrameHeader(bytes, 0, payload.length, type, flags, streamId);
  payload.copy(bytes, FRAME_HEADER);
  return bytes;
}

/** A header block as HEADERS and as many CONTINUATION frames as it takes. */
export function headerFrames(streamId: number, block: Buffer, endStream: boolean): Buffer {
  const count = Math.max(1, Math.ceil(block.length / MAX_FRAME));
  const bytes = Buffer.allocUnsafe(block.length + count * FRAME_HEADER);
  let at = 0;
  for (let index = 0; index < count; index++) {
    const from = index * MAX_FRAME;
    const length = Math.min(MAX_FRAME, block.length - from);
    const last = index === count - 1 ? Flag.END_HEADERS : 0;
    const flags = last | (index === 0 && endStream ? Flag.END_STREAM : 0);
    const type = index === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
    writeFrameHeader(bytes, at, length, type, flags, streamId);
    block.copy(bytes, at + FRAME_HEADER, from, from + length);
    at += FRAME_HEADER + length;
  }
  return bytes;
}

/** A frame whose payload is one 32-bit number: RST_STREAM, WINDOW_UPDATE. */
export function numberFrame(type: number, streamId: number, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER + 4);
  writeFrameHeader(bytes, 0, 4, type, 0, streamId);
  bytes.writeUInt32BE(value, FRAME_HEADER);
  return bytes;
}

/** A SETTINGS frame. */
export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(settings.length * 6);
  for (const [index, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return frame(FrameType.SETTINGS, 0, 0, payload);
}

/** A GOAWAY frame. @param why debug data, for people who look at the wire; cut at 200 characters */
export function goAwayFrame(lastStreamId: number, code: number, why: string): Buffer {
  const text = Buffer.from(why.slice(0, 200), 'latin1');
  const payload = Buffer.allocUnsafe(8 + text.length);
  payload.writeUInt32BE(lastStreamId, 0);
  payload.writeUInt32BE(code, 4);
  text.copy(payload, 8);
  return frame(FrameType.GOAWAY, 0, 0, payload);
}

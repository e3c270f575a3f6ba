import { ConnectionError, Http2ErrorCode } from './errors.ts';
import { Flag, FrameType, PREFACE, Setting, settingsFrame } from './frames.ts';

/** What a frame has to be, beside its type. @throws ConnectionError */
type Check = (streamId: number, length: number, flags: number) => void;

const CHECKS: Readonly<Record<number, Check>> = {
  [FrameType.RST_STREAM]: (streamId, length) => {
    if (length !== 4) throw wrongSize('RST_STREAM is malformed');
    if (streamId === 0) throw misplaced('RST_STREAM has no stream');
  },
  [FrameType.SETTINGS]: (streamId, length, flags) => {
    if (streamId !== 0) throw misplaced('SETTINGS have a stream');
    if (flags & Flag.ACK && length > 0) throw wrongSize('an ACK has a payload');
  },
  [FrameType.PING]: (streamId, length) => {
    if (streamId !== 0) throw misplaced('PING has a stream');
    if (length !== 8) throw wrongSize('PING is malformed');
  },
  [FrameType.GOAWAY]: (streamId, length) => {
    if (streamId !== 0) throw misplaced('GOAWAY has a stream');
    if (length < 8) throw wrongSize('GOAWAY is cut short');
  },
  [FrameType.WINDOW_UPDATE]: (_, length) => {
    if (length !== 4) throw wrongSize('WINDOW_UPDATE is malformed');
  },
  [FrameType.PUSH_PROMISE]: () => {
    throw misplaced('nothing may be pushed');
  },
  [FrameType.PRIORITY]: (streamId, length) => {
    if (length !== 5 || streamId === 0) throw wrongSize('a PRIORITY frame is malformed');
  },
};

/**
 * Refuses a frame, neither HEADERS nor DATA, that is no valid one of its type (RFC 9113 section 6). Unknown
 * types are ignored (section 4.1).
 * @param length of its payload, bytes
 * @throws ConnectionError
 */
export function assertControlFrame(type: number, flags: number, streamId: number, length: number): void {
  CHECKS[type]?.(streamId, length, flags);
}

function wrongSize(text: string): ConnectionError {
  return new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, text);
}

function misplaced(text: string): ConnectionError {
  return new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, text);
}

/** What we tell the peer first. @param own what it may send us */
export function firstSettings(
  role: 'client' | 'server',
  own: { readonly maxStreams: number; readonly window: number; readonly maxHeaderList: number },
): Buffer {
  return settingsFrame([
    role === 'client' ? [Setting.ENABLE_PUSH, 0] : [Setting.MAX_CONCURRENT_STREAMS, own.maxStreams],
    [Setting.INITIAL_WINDOW_SIZE, own.window],
    [Setting.MAX_HEADER_LIST_SIZE, own.maxHeaderList],
  ]);
}

/** Server: takes the connection preface (RFC 9113 section 3.4) off what a client sends first. */
export class PrefaceReader {
  /** Bytes of it that have come. */
  #came = 0;

  /** @returns what stands behind it @throws ConnectionError */
  after(chunk: Buffer): Buffer {
    if (this.#came === PREFACE.length) return chunk;
    const length = Math.min(PREFACE.length - this.#came, chunk.length);
    if (PREFACE.compare(chunk, 0, length, this.#came, this.#came + length) !== 0)
      throw misplaced('the connection preface is missing');
    this.#came += length;
    return chunk.subarray(length);
  }
}

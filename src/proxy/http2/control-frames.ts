import { ConnectionError, Http2ErrorCode } from './errors.ts';
import { DEFAULT_WINDOW, Flag, FrameType, numberFrame, PREFACE, Setting, settingsFrame } from './frames.ts';

/** Checks a frame of one type. @throws ConnectionError */
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
 * Refuses what a peer sends before its SETTINGS (RFC 9113 section 3.4), or into a header block (section 4.3).
 * @throws ConnectionError
 */
export function assertOrder(settingsCame: boolean, inBlock: boolean, type: number, flags: number): void {
  if (!settingsCame && (type !== FrameType.SETTINGS || flags & Flag.ACK))
    throw misplaced('the first frame is not SETTINGS');
  if (inBlock && type !== FrameType.CONTINUATION) throw misplaced('a header block is interrupted');
}

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

/** What a peer may send us: streams at a time, bytes per stream, of all and of a header list. */
export interface OwnSettings {
  readonly maxStreams: number;
  readonly window: number;
  readonly connectionWindow: number;
  readonly maxHeaderList: number;
  readonly takesAlternatives: boolean;
}

/** What we send first: as a client the preface, then SETTINGS, and more room for all streams together. */
export function greeting(role: 'client' | 'server', own: OwnSettings): readonly Buffer[] {
  const more = own.connectionWindow - DEFAULT_WINDOW;
  return [
    ...(role === 'client' ? [PREFACE] : []),
    firstSettings(role, own),
    ...(more > 0 ? [numberFrame(FrameType.WINDOW_UPDATE, 0, more)] : []),
  ];
}

/** Our first SETTINGS frame. */
export function firstSettings(role: 'client' | 'server', own: Omit<OwnSettings, 'connectionWindow'>): Buffer {
  return settingsFrame([
    role === 'client' ? [Setting.ENABLE_PUSH, 0] : [Setting.MAX_CONCURRENT_STREAMS, own.maxStreams],
    [Setting.INITIAL_WINDOW_SIZE, own.window],
    [Setting.MAX_HEADER_LIST_SIZE, own.maxHeaderList],
    ...(own.takesAlternatives ? [[Setting.ALTERNATIVES, 1] as const] : []),
  ]);
}

/**
 * Server: checks the connection preface (RFC 9113 section 3.4) and takes it off what a client sends first.
 */
export class PrefaceReader {
  /** Bytes of it that have come. */
  #came = 0;

  /**
   * @returns the part of a chunk that stands behind the preface
   * @throws ConnectionError where that is missing
   */
  after(chunk: Buffer): Buffer {
    if (this.#came === PREFACE.length) return chunk;
    const length = Math.min(PREFACE.length - this.#came, chunk.length);
    if (PREFACE.compare(chunk, 0, length, this.#came, this.#came + length) !== 0)
      throw misplaced('the connection preface is missing');
    this.#came += length;
    return chunk.subarray(length);
  }
}

import { ConnectionError, Http2ErrorCode } from './errors.ts';
import { DEFAULT_WINDOW, MAX_WINDOW, Setting } from './frames.ts';

/** The peer's settings, as far as they matter to us (RFC 9113 section 6.5.2). */
export interface RemoteSettings {
  headerTableSize: number;
  /**
   * The smallest table size in the last SETTINGS frame, which may have several: the next header block has to
   * announce it (RFC 7541 section 4.2). Infinity: the frame had none.
   */
  leastHeaderTableSize: number;
  maxConcurrentStreams: number;
  initialWindow: number;
  /** Whether the peer reads `:alternatives` (ADR 0036). */
  takesAlternatives: boolean;
}

/** The settings of a peer that has said nothing yet. */
export function initialRemoteSettings(): RemoteSettings {
  return {
    headerTableSize: 4096,
    leastHeaderTableSize: 4096,
    maxConcurrentStreams: Number.POSITIVE_INFINITY,
    initialWindow: DEFAULT_WINDOW,
    takesAlternatives: false,
  };
}

/**
 * Reads the payload of a SETTINGS frame; unknown settings are ignored.
 * @param role ours
 * @throws ConnectionError
 */
export function readSettings(payload: Buffer, into: RemoteSettings, role: 'client' | 'server'): void {
  if (payload.length % 6 !== 0)
    throw new ConnectionError(Http2ErrorCode.FRAME_SIZE_ERROR, 'a SETTINGS frame is cut short');
  into.leastHeaderTableSize = Number.POSITIVE_INFINITY;
  for (let at = 0; at < payload.length; at += 6) {
    const id = payload.readUInt16BE(at);
    const value = payload.readUInt32BE(at + 2);
    assertValid(id, value, role);
    if (id === Setting.HEADER_TABLE_SIZE) {
      into.headerTableSize = value;
      into.leastHeaderTableSize = Math.min(into.leastHeaderTableSize, value);
    }
    if (id === Setting.MAX_CONCURRENT_STREAMS) into.maxConcurrentStreams = value;
    else if (id === Setting.INITIAL_WINDOW_SIZE) into.initialWindow = value;
    else if (id === Setting.ALTERNATIVES) into.takesAlternatives = value === 1;
  }
}

function assertValid(id: number, value: number, role: 'client' | 'server'): void {
  // A server must not send 1 (RFC 9113 section 6.5.2); we are its client.
  if (id === Setting.ENABLE_PUSH && value > (role === 'client' ? 0 : 1)) throw invalid('ENABLE_PUSH', value);
  if (id === Setting.INITIAL_WINDOW_SIZE && value > MAX_WINDOW)
    throw invalid('INITIAL_WINDOW_SIZE', value, Http2ErrorCode.FLOW_CONTROL_ERROR);
  if (id === Setting.MAX_FRAME_SIZE && (value < 16_384 || value > 16_777_215))
    throw invalid('MAX_FRAME_SIZE', value);
}

function invalid(name: string, value: number, code: number = Http2ErrorCode.PROTOCOL_ERROR): ConnectionError {
  return new ConnectionError(code, `the setting ${name} cannot be ${value}`);
}

import { ConnectionError, ErrorCode } from './errors.ts';
import { DEFAULT_WINDOW, MAX_WINDOW, Setting } from './frames.ts';

/** What the peer has asked for (RFC 9113 section 6.5.2). */
export interface PeerSettings {
  headerTableSize: number;
  maxConcurrentStreams: number;
  initialWindow: number;
}

export function initialPeerSettings(): PeerSettings {
  return {
    headerTableSize: 4096,
    maxConcurrentStreams: Number.POSITIVE_INFINITY,
    initialWindow: DEFAULT_WINDOW,
  };
}

/** Takes a SETTINGS payload into account; unknown ones are ignored. @throws ConnectionError */
export function readSettings(payload: Buffer, into: PeerSettings, role: 'client' | 'server'): void {
  if (payload.length % 6 !== 0)
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a SETTINGS frame is cut short');
  for (let at = 0; at < payload.length; at += 6) {
    const value = payload.readUInt32BE(at + 2);
    switch (payload.readUInt16BE(at)) {
      case Setting.HEADER_TABLE_SIZE:
        into.headerTableSize = value;
        break;
      case Setting.ENABLE_PUSH:
        // A server must not even say 1.
        if (value > (role === 'client' ? 0 : 1)) throw invalid('ENABLE_PUSH', value);
        break;
      case Setting.MAX_CONCURRENT_STREAMS:
        into.maxConcurrentStreams = value;
        break;
      case Setting.INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW) throw invalid('INITIAL_WINDOW_SIZE', value, ErrorCode.FLOW_CONTROL_ERROR);
        into.initialWindow = value;
        break;
      case Setting.MAX_FRAME_SIZE:
        if (value < 16_384 || value > 16_777_215) throw invalid('MAX_FRAME_SIZE', value);
        break;
    }
  }
}

function invalid(name: string, value: number, code: number = ErrorCode.PROTOCOL_ERROR): ConnectionError {
  return new ConnectionError(code, `the setting ${name} cannot be ${value}`);
}

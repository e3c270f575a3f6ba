/** Error codes (RFC 9113 section 7). */
export const Http2ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;

const NAMES = new Map<number, string>(Object.entries(Http2ErrorCode).map(([name, code]) => [code, name]));

/** The name of an error code: `CANCEL`, or `error 99` for one that the RFC does not have. */
export function errorName(code: number): string {
  return NAMES.get(code) ?? `error ${code}`;
}

/**
 * The peer broke the protocol, or a limit, so that the connection cannot go on (RFC 9113 section 5.4.1).
 * `code` and message go into the GOAWAY.
 */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The peer broke the protocol on one stream; the others go on (RFC 9113 section 5.4.2). */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

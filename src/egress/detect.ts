import type { SessionProtocol } from '../proxy/transport-header.ts';

const HTTP2_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32} [\x21-\x7e\x80-\xff]+ HTTP\/1\.[01]\r?\n/;
const REQUEST_START = /^[A-Z]{1,32}( ([\x21-\x7e\x80-\xff]*( (H(T(T(P(\/(1(\.([01]\r?)?)?)?)?)?)?)?)?)?)?)?$/;
/** A request line may be long; what has not shown itself as HTTP by then is not taken for it. */
const MAX_LOOK = 8 * 1024;

/** What the first bytes of a connection say it is; undefined while they could still become HTTP. Pure. */
export function detectProtocol(first: Buffer): SessionProtocol | undefined {
  const text = first.toString('latin1', 0, MAX_LOOK);
  if (text.startsWith(HTTP2_PREFACE)) return 'http2';
  if (REQUEST_LINE.test(text)) return 'http1';
  if (first.length >= MAX_LOOK) return 'opaque';
  return HTTP2_PREFACE.startsWith(text) || REQUEST_START.test(text) ? undefined : 'opaque';
}

import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import type { SessionProtocol } from '../http/messages.ts';

/** What a client says that it speaks. `http`: of some version; undefined: nothing. */
export type ClaimedProtocol = SessionProtocol | 'http' | undefined;

/**
 * How a connection is to be taken. `http`: as HTTP, of the version that its first bytes show. `detect`: as
 * HTTP if they begin a request, as bytes otherwise.
 */
export type ClientProtocol = SessionProtocol | 'http' | 'detect';

/**
 * How a client's connection is taken, from what it says and what is said of the port. Bytes pass unread only
 * where the port is said to be opaque, or where nothing is said and they are none of HTTP: a client's claim
 * cannot keep bytes from being inspected. A client that claims HTTP is believed, because HTTP is read and
 * anything else refused. Pure.
 */
export function clientProtocolOf(claim: ClaimedProtocol, port: PortProtocol | undefined): ClientProtocol {
  if (claim === 'http1' || claim === 'http2' || claim === 'http') return claim;
  if (port === undefined) return 'detect';
  return port === 'opaque' ? 'opaque' : 'http';
}

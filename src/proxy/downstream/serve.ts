import { Http1Session } from './http1-session.ts';
import { Http2Session } from './http2-session.ts';
import { OpaqueFlow } from './opaque-flow.ts';
import type { Flow, AcceptedConnection } from './session.ts';
import type { ClientProtocol } from './client-protocol.ts';
import { UndecidedFlow } from './undecided-flow.ts';

/**
 * Serves a client connection until it ends. This is the one place where a protocol meets its implementation,
 * but for the requests of stream mode, whose connection is `gateway/acceptors/stream-session.ts`.
 * @param first bytes that have been read already
 */
export function serve(protocol: ClientProtocol, accepted: AcceptedConnection, first: Buffer): Flow {
  const flow = flowOf(protocol, accepted);
  flow.start(first);
  return flow;
}

function flowOf(
  protocol: ClientProtocol,
  accepted: AcceptedConnection,
): Flow & { start(first: Buffer): void } {
  if (protocol === 'http1') return new Http1Session(accepted.session(protocol));
  if (protocol === 'http2') return new Http2Session(accepted.session(protocol));
  if (protocol === 'opaque') return new OpaqueFlow(accepted.session(protocol));
  return new UndecidedFlow(accepted, { http: protocol === 'http', serve });
}

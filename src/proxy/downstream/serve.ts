import { Http1Session } from './http1-session.ts';
import { Http2Session } from './http2-session.ts';
import { OpaqueFlow } from './opaque-flow.ts';
import type { Flow, Parties } from './session.ts';
import type { ClientProtocol } from './client-protocol.ts';
import { UndecidedFlow } from './undecided-flow.ts';

/**
 * Serves a client connection until it ends. This is the one place where a protocol meets its implementation.
 * @param first bytes that have been read already
 */
export function serve(speech: ClientProtocol, parties: Parties, first: Buffer): Flow {
  const flow = flowOf(speech, parties);
  flow.start(first);
  return flow;
}

function flowOf(speech: ClientProtocol, parties: Parties): Flow & { start(first: Buffer): void } {
  if (speech === 'http1') return new Http1Session(parties.session(speech));
  if (speech === 'http2') return new Http2Session(parties.session(speech));
  if (speech === 'opaque') return new OpaqueFlow(parties.session(speech));
  return new UndecidedFlow(parties, { http: speech === 'http', serve });
}

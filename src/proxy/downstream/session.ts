import type { Clock } from '../../base/clock.ts';
import type { Accounts } from '../metrics/counters.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { Connection } from '../io/connection.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { AccessLog } from '../metrics/access-log.ts';
import type { Field } from '../http/fields.ts';
import { Http1Session } from './http1-session.ts';
import { Http2Session } from './http2-session.ts';
import { OpaqueFlow } from './opaque.ts';
import type { Speech } from './speech.ts';
import type { Target } from '../upstream/target.ts';
import type { SessionProtocol } from '../io/transport-header.ts';
import { UndecidedFlow } from './undecided.ts';

/** How request heads are changed on their way to the target. */
export interface HeadRules {
  /** Replaces the Host field; undefined leaves the client's. */
  readonly host: string | undefined;
  /** Fields to add behind those of the client: some continue what it sent (`forwarded`), the others nobody but proxies may send. */
  readonly added: readonly Field[];
  /**
   * Who asks, for a next hop that believes us (`:client` of stream mode); absent where nobody is named. Read
   * for each request: a client may become known while its connection is open.
   */
  readonly client?: Field | undefined;
}

/** One client connection and what it is for. The same for gateway and egress: only the ends differ. */
export interface Session {
  readonly client: Connection;
  readonly target: Target;
  readonly rules: HeadRules;
  /** Refuses a request; called for each one, so that changes of policy take effect on open connections. */
  readonly check: (head: { readonly fields: readonly Field[] } | undefined) => ProxyFailure | undefined;
  /** Whether the process is shutting down: finish what is under way, take nothing new. */
  readonly draining: () => boolean;
  readonly accounts: Accounts;
  readonly accessLog: AccessLog;
  /** Who the client is, for the access log: its identity, or its address where clients have none. */
  readonly clientName: string;
  /** The relay that has said so, for the access log; absent where the client has proven it itself. */
  readonly via?: string | undefined;
  /** The client is an application and no proxy: it is not asked by PING whether it is still there. Default false. */
  readonly plainClient?: boolean;
  readonly clock: Clock;
}

/** A client connection that is being served. */
export interface Flow {
  /** What may pass has changed: ends what was let in before and could not come in now. Requests are checked one by one, this is for tunnels. */
  recheck(): void;
  /** The process is shutting down: the client is told to send nothing new. */
  drain(): void;
}

/** A client connection, and how it is served as whichever protocol it turns out to be. */
export interface Parties {
  readonly client: Connection;
  readonly clock: Clock;
  /** Takes what is thrown before there is a session. */
  readonly boundary: Boundary;
  /** Where nothing is said of a port, a client that is quiet for so long (milliseconds) gets a connection to an endpoint, which may be one that speaks first. */
  readonly quietMs: number;
  /** What it is when it speaks that. */
  session(protocol: SessionProtocol): Session;
}

/**
 * Serves a client connection until it ends. This is the one place where a protocol meets its implementation.
 * @param first bytes that have been read already
 */
export function serve(speech: Speech, parties: Parties, first: Buffer): Flow {
  const flow = flowOf(speech, parties);
  flow.start(first);
  return flow;
}

function flowOf(speech: Speech, parties: Parties): Flow & { start(first: Buffer): void } {
  if (speech === 'http1') return new Http1Session(parties.session(speech));
  if (speech === 'http2') return new Http2Session(parties.session(speech));
  if (speech === 'opaque') return new OpaqueFlow(parties.session(speech));
  return new UndecidedFlow(parties, { http: speech === 'http', serve });
}

import type { Clock } from '../base/clock.ts';
import type { Accounts } from './accounts.ts';
import type { Connection } from './connection.ts';
import type { ProxyFailure } from './failures.ts';
import type { AccessLog } from './access-log.ts';
import type { Field } from './field.ts';
import { Http1Session } from './http1/session.ts';
import { Http2Session } from './http2/session.ts';
import { serveOpaque } from './opaque.ts';
import type { Target } from './target.ts';
import type { SessionProtocol } from './transport-header.ts';

/** How request heads are changed on their way to the target. */
export interface HeadRules {
  /** Replaces the Host field; undefined leaves the client's. */
  readonly host: string | undefined;
  /** Fields to add behind those of the client: some continue what it sent (`forwarded`), the others nobody but proxies may send. */
  readonly added: readonly Field[];
}

/** One client connection and what it is for. The same for gateway and egress: only the ends differ. */
export interface Session {
  readonly client: Connection;
  readonly target: Target;
  readonly protocol: SessionProtocol;
  readonly rules: HeadRules;
  /** Refuses a request; called for each one, so that changes of policy take effect on open connections. */
  readonly check: (head: { readonly fields: readonly Field[] } | undefined) => ProxyFailure | undefined;
  /** Whether the process is shutting down: finish what is under way, take nothing new. */
  readonly draining: () => boolean;
  readonly accounts: Accounts;
  readonly accessLog: AccessLog;
  /** Who the client is, for the access log: its identity, or its address where clients have none. */
  readonly clientName: string;
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

/**
 * Serves a client connection until it ends. This is the one place where a protocol meets its implementation.
 * @param first bytes that have been read already
 */
export function serve(session: Session, first: Buffer): Flow {
  if (session.protocol === 'opaque') return serveOpaque(session, first);
  const flow = session.protocol === 'http1' ? new Http1Session(session) : new Http2Session(session);
  flow.start(first);
  return flow;
}

import type { Clock } from '../base/clock.ts';
import type { Accounts } from './accounts.ts';
import type { Connection } from './connection.ts';
import { ProxyFailure } from './failures.ts';
import type { RequestHead } from './http1/head.ts';
import { Http1Session } from './http1/session.ts';
import { serveOpaque } from './opaque.ts';
import type { Target } from './target.ts';
import type { SessionProtocol } from './transport-header.ts';

/** How request heads are changed on their way to the target. */
export interface HeadRules {
  /** Replaces the Host field; undefined leaves the client's. */
  readonly host: string | undefined;
  /** Fields to add behind those of the client. */
  readonly add: readonly (readonly [name: string, value: string])[];
  /** A field that continues what the client sent under this (lower-case) name: `forwarded`. */
  readonly append: readonly (readonly [name: string, value: string])[];
}

/** One client connection and what it is for. The same for gateway and egress: only the ends differ. */
export interface Session {
  readonly client: Connection;
  readonly target: Target;
  readonly protocol: SessionProtocol;
  readonly rules: HeadRules;
  /** Refuses a request; called for each one, so that changes of policy take effect on open connections. */
  readonly check: (head: RequestHead | undefined) => ProxyFailure | undefined;
  /** Whether the process is shutting down: finish what is under way, take nothing new. */
  readonly draining: () => boolean;
  readonly accounts: Accounts;
  readonly clock: Clock;
}

/**
 * Serves a client connection until it ends. This is the one place where a protocol meets its implementation.
 * @param first bytes that have been read already
 */
export function serve(session: Session, first: Buffer): void {
  if (session.protocol === 'http1') {
    new Http1Session(session).start(first);
    return;
  }
  if (session.protocol === 'opaque') {
    serveOpaque(session, first);
    return;
  }
  // HTTP/2 is framed differently; its client reads a connection that ends without SETTINGS as refused.
  session.accounts.failure('protocol not served');
  session.client.destroy(
    new ProxyFailure('protocol not served', `${session.target.label}: HTTP/2 sessions are not served`),
  );
}

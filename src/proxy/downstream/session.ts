import type { Clock } from '../../base/clock.ts';
import type { HeadRules } from '../http/forwarding.ts';
import type { SessionProtocol } from '../http/messages.ts';
import type { ProxyCounters } from '../metrics/counters.ts';
import type { SourceOfFlows } from '../metrics/pair-counters.ts';
import type { KeptCounters } from './flow-accounts.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { Connection } from '../io/connection.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { AccessLog, OpenFlow } from './access-log.ts';
import type { Field } from '../http/fields.ts';
import type { Tracer } from '../tracing/tracer.ts';
import type { SessionTarget } from '../upstream/session-target.ts';

/** One client connection and what it is for. The same for gateway and egress: only the ends differ. */
export interface Session {
  readonly client: Connection;
  readonly target: SessionTarget;
  readonly rules: HeadRules;
  /** Refuses a request; called for each one, so that changes of policy take effect on open connections. */
  readonly check: (head: { readonly fields: readonly Field[] } | undefined) => ProxyFailure | undefined;
  /** Whether the process is shutting down: finish what is under way, take nothing new. */
  readonly draining: () => boolean;
  readonly counters: ProxyCounters;
  readonly accessLog: AccessLog;
  /** Records requests; undefined: none is recorded. */
  readonly tracer?: Tracer | undefined;
  /** Who the client is, for the access log: its identity, or its address where clients have none. */
  readonly clientName: string;
  /** Where its flows are counted; there from when the first one begins. */
  kept?: KeptCounters | undefined;
  /** The cluster that its egress says it is in, and whether that is proven; absent: nothing is said. */
  readonly from?: SourceOfFlows | undefined;
  /** The relay that has said so, for the access log; absent where the client has proven it itself. */
  readonly via?: string | undefined;
  /**
   * The client is an application and no proxy: it is not asked by PING whether it is still there, and gets no
   * `l5d-proxy-connection`. Default false.
   */
  readonly plainClient?: boolean;
  /**
   * Called with each failure that the client gets. Whether its connection is to be closed afterwards, so that
   * it opens another; an HTTP/2 client has then been told to open no new streams. Default: it is kept.
   */
  readonly leavesWith?: ((failure: ProxyFailure) => boolean) | undefined;
  readonly clock: Clock;
}

/** A client connection that is being served. */
export interface Flow {
  /**
   * The policy has changed: ends tunnels that were let in before and would be refused now. Requests are
   * checked one by one.
   */
  recheck(): void;
  /** The process is shutting down: the client is told to send nothing new. */
  drain(): void;
  /** What of it is under way now, for somebody who looks. */
  underWay(): Iterable<OpenFlow>;
}

/** A client connection, and how it is served as whichever protocol it turns out to be. */
export interface AcceptedConnection {
  readonly client: Connection;
  readonly clock: Clock;
  /** Takes exceptions from before there is a session. */
  readonly boundary: Boundary;
  /**
   * Where nothing is said of a port, a client that is quiet for so long (milliseconds) gets a connection to
   * an endpoint, which may be one that speaks first.
   */
  readonly quietMs: number;
  /** The session for a protocol. */
  session(protocol: SessionProtocol): Session;
}

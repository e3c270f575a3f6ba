import type { ProxyFailure } from '../http/failures.ts';
import type { LeaseChanges } from '../http/messages.ts';
import type { Connection } from '../io/connection.ts';
import type { PickedEndpoint } from './balancer/endpoint.ts';

/** A connection to an endpoint that was picked for one request or flow. */
export interface ConnectionLease {
  /** To be told how it went. Another one where the connection is still to be taken, and is refused. */
  readonly endpoint: PickedEndpoint;
  readonly connection: Connection;
  /** It has carried a request before; its peer may be closing it at this moment. */
  readonly reused: boolean;
  /** When it was given out (monotonic milliseconds). */
  readonly since: number;
  /** Absent: messages are passed on as they are. */
  readonly changes?: LeaseChanges | undefined;
  /** Why the client may not use the endpoint's Service any more; undefined: it may. Absent: it always may. */
  readonly refusal?: () => ProxyFailure | undefined;
}

/** What connections are leased for. */
export type LeaseProtocol = 'http1' | 'opaque';

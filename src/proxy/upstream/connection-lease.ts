import type { Connection } from '../io/connection.ts';
import type { PickedEndpoint } from './balancer/endpoint.ts';

/** A connection to an endpoint that was picked for one request or flow. */
export interface ConnectionLease {
  /** To be told how it went. */
  readonly endpoint: PickedEndpoint;
  readonly connection: Connection;
  /** It has carried a request before; its peer may be closing it at this moment. */
  readonly reused: boolean;
  /** When it was given out (monotonic milliseconds). */
  readonly since: number;
}

/** What connections are leased for. */
export type LeaseProtocol = 'http1' | 'opaque';

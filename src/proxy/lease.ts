import type { Attempt } from './balancer/attempt.ts';
import type { Connection } from './connection.ts';

/** A connection to an endpoint that was picked for one request or flow. */
export interface Lease {
  /** To be told how it went. */
  readonly endpoint: Attempt;
  readonly connection: Connection;
  /** It has carried a request before; its peer may be closing it at this moment. */
  readonly reused: boolean;
  /** When it was given out (monotonic milliseconds). */
  readonly since: number;
}

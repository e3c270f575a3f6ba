import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import type { Field } from '../http/fields.ts';
import type { Http2Connection } from '../http2/http2-connection.ts';
import type { Dial } from '../io/dial.ts';
import type { DialAddress } from '../io/dial-address.ts';
import type { ProxyCounters } from '../metrics/counters.ts';
import type { AccrualSettings, CountingOptions } from './balancer/endpoint.ts';

/** Default of `TargetOptions.failfastMs`. */
export const FAILFAST_MS = 3000;
/** Default of `TargetOptions.maxWaiting`. */
export const MAX_WAITING = 1000;
/** Default of `TargetOptions.maxPending`. */
export const MAX_PENDING = 10_000;

/** How a target is reached, and its limits. */
export interface TargetOptions extends CountingOptions {
  /** `name:port`, for messages and metrics. */
  readonly label: string;
  /** Opens a connection to an endpoint. */
  readonly dial: Dial;
  readonly clock: Clock;
  readonly random: Random;
  /** Which failures eject an endpoint, where the Service does not say; default `DEFAULT_ACCRUAL`. */
  readonly accrual?: AccrualSettings;
  /** Where retries and timeouts are counted; default nowhere. */
  readonly counters?: ProxyCounters;
  /** Requests that may wait for an endpoint; more are refused (`load shed`). Default 1,000. */
  readonly maxWaiting?: number;
  /**
   * Requests without an answer and raw flows that may be under way; more are refused (`load shed`). Default
   * 10,000.
   */
  readonly maxPending?: number;
  /**
   * Connections to one endpoint, for HTTP/1 requests and raw flows, that may be being opened; others wait for
   * their turn. Default 128.
   */
  readonly maxOpening?: number;
  /**
   * How long the first request waits for an endpoint to become ready before all fail at once (`failfast`,
   * Linkerd's word), and for how long endpoints that cannot be connected to are tried again, milliseconds;
   * default 3,000 (Linkerd's).
   */
  readonly failfastMs?: number;
  /** How long an unused HTTP/1 connection is kept, milliseconds; default 3,000 (Linkerd's). */
  readonly idleMs?: number;
  /** Unused connections kept per endpoint; default 100. */
  readonly maxIdle?: number;
  /**
   * All endpoints are proxies (gateways), which are asked by PING whether they are still there. Default
   * false: only those with a mesh proxy are, because servers of applications may take PINGs for abuse.
   */
  readonly proxies?: boolean;
  /** Connections that are shared with other targets, for endpoints that take streams; default none. */
  readonly streams?: StreamCarrier;
}

/** What the Service says of all its endpoints. */
export interface TargetRules {
  /** What its pods speak; absent = what the client speaks. */
  readonly protocol?: PortProtocol;
  /** Which failures eject an endpoint, and for how long; what is absent is as in `TargetOptions.accrual`. */
  readonly accrual?: Partial<AccrualSettings>;
  /** Retries and timeouts; absent = none. */
  readonly requests?: RequestRules;
}

/**
 * What is known of shared connections: nothing bad; that all of them are late with their answer to a PING;
 * that the last one was lost, or could not be opened, and none was opened since.
 */
export type PathState = 'good' | 'late' | 'lost';

/**
 * Connections to endpoints that many targets share: requests travel on them as streams that say which target
 * they are for.
 */
export interface StreamCarrier {
  /** The pseudo-header `:target` of its streams. */
  readonly target: Field;
  /** Whether some endpoint takes streams, as far as is known. */
  readonly possible: boolean;
  /** The best of what is known of the endpoints; where none is good, `lost` if one is. */
  readonly state: PathState;
  /** What is known of the connections to an endpoint. */
  stateOf(endpoint: DialAddress): PathState;
  /** Whether an endpoint takes streams, as far as is known. */
  takes(endpoint: DialAddress): boolean;
  /**
   * A connection with room for a stream, if there is one now.
   * @param good only one that is not late with its answer to a PING; default false
   */
  ready(endpoint: DialAddress, good?: boolean): Http2Connection | undefined;
  /** Sees to it that there is one. @returns false when the endpoint takes no streams @throws ProxyFailure */
  prepare(endpoint: DialAddress): Promise<boolean>;
  /** As `prepare`, for whoever has time: soon after a failure it fails without a try. @throws ProxyFailure */
  prove(endpoint: DialAddress): Promise<boolean>;
}

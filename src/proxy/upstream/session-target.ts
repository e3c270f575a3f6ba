import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import type { RequestFilter } from '../filters/request-filter.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { OutgoingRequest, Permit, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { ConnectionLease, LeaseProtocol } from './connection-lease.ts';

/**
 * Whether a target can take another request now. `unproven`: no endpoint could be connected to, and one of
 * them is due to be tried again; `closed`: no endpoint may be used, those that may do not answer in time, or
 * the target has as many requests under way as it may have.
 */
export type Standing = 'open' | 'unproven' | 'closed';

/** What of a request decides where it goes. */
export type LeasedRequest = Pick<OutgoingRequest, 'method' | 'path' | 'fields'>;

/** What a connection is leased for. */
export interface LeaseRequest {
  /** The request that takes the connection; absent: a raw connection. */
  readonly request?: LeasedRequest;
  readonly permit?: Permit | undefined;
  /** As `OutgoingRequest.alternatives`. */
  readonly alternatives?: number | undefined;
  /** Whether each backend is asked once only: there are others to ask elsewhere. Default false. */
  readonly once?: boolean;
}

/** Where the requests and raw connections of a client's session go: a target, or a group of targets. */
export interface SessionTarget extends Boundary {
  /** `name:port`, for messages and metrics. */
  readonly label: string;
  /** The protocol that the Service declares for its pods; undefined: the same as the client's. */
  readonly protocol: PortProtocol | undefined;
  /** Rate limits and faults that every request and raw connection passes first; undefined: there are none. */
  readonly filter: RequestFilter | undefined;
  /**
   * Whether requests of HTTP/1 clients are to be parsed and sent with `open` rather than passed on as bytes
   * on a `lease`.
   */
  readonly translates: boolean;
  /** Why it has no endpoint that is ready; undefined: it has one, or cannot tell. */
  readonly unready?: ProxyFailure | undefined;
  /**
   * A connection to an endpoint: an unused one or a new one.
   * @param fresh whether a new connection is wanted
   * @param protocol `opaque`: for a raw flow, which counts as the endpoint's load until it ends; default
   * `http1`
   * @param client whom it is for, where the endpoint is to be told
   * @param asked what it is for; absent: a raw connection of a client that may use every backend
   * @throws ProxyFailure
   */
  lease(
    fresh: boolean,
    protocol?: LeaseProtocol,
    client?: Field,
    asked?: LeaseRequest,
  ): Promise<ConnectionLease>;
  /**
   * Whether it answers a request by itself, so that no connection is leased for it, even if it asks for an
   * upgrade; absent: it answers none.
   */
  answers?(request: LeasedRequest): boolean;
  /**
   * Whether a connection that was leased for an earlier request of the client, and is the client's own, can
   * carry this one; absent: it can.
   */
  fits?(lease: ConnectionLease, asked: Required<Pick<LeaseRequest, 'request'>> & LeaseRequest): boolean;
  /** As `lease`, but without waiting; undefined: no unused connection is at hand. */
  leaseNow(): ConnectionLease | undefined;
  /** Takes back a connection that can carry another request. */
  giveBack(lease: ConnectionLease): void;
  /**
   * Sends a request's head to an endpoint whose application speaks `protocol`; the rest goes through the
   * `Upstream`.
   * @param fresh whether a new HTTP/1 connection is wanted rather than an unused one
   * @throws ProxyFailure
   */
  open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh?: boolean,
  ): Promise<Upstream>;
  /**
   * As `open`, but without waiting; undefined: no connection is at hand, and `open` is to be called.
   * @param now monotonic milliseconds
   */
  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined;
  /**
   * Whether a request that its endpoint refused unprocessed (REFUSED_STREAM, GOAWAY; RFC 9113 section 8.7)
   * may be sent again.
   * @param elapsedMs since the request came, milliseconds
   */
  mayOpenAgain(elapsedMs: number): boolean;
  /** Waits before such a request is sent again. @param refusals how many there were before this one */
  untilOpenAgain(refusals: number): Promise<void>;
}

/**
 * A target that stands before another one. It has nothing that is absent: what it did not pass on would be
 * missing for its clients without a word, as a redirect was, or a rule about who may use a backend.
 */
export type StandingTarget = Required<SessionTarget>;

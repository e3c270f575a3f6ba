import type { ProxyFailure } from './failures.ts';
import type { Field } from './fields.ts';
import type { RequestTrace } from './request-trace.ts';

/** How the end of a message's body is found (RFC 9112 section 6.3); `length` is in bytes. */
export type Framing =
  | { readonly kind: 'none' | 'chunked' | 'until close' }
  | { readonly kind: 'length'; readonly length: number };

/** A message without a body. */
export const NO_BODY: Framing = { kind: 'none' };

/** A body whose length is not known before its end; in HTTP/1 it is sent in chunks. */
export const CHUNKED: Framing = { kind: 'chunked' };

/**
 * The HTTP version that a client speaks, or spoke before a proxy carried its request over HTTP/2
 * (`l5d-orig-proto`).
 */
export type HttpVersion = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

/** A request on its way to an endpoint, whatever protocol the endpoint speaks. */
export interface OutgoingRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string | undefined;
  readonly version: HttpVersion;
  /** Fields for the endpoint, as `requestFields` makes them. */
  readonly fields: readonly Field[];
  /** `chunked`: a body whose length is not known. */
  readonly framing: Framing;
  /** The client on whose behalf it is, for an endpoint that is told (stream mode). */
  readonly client?: Field | undefined;
  /**
   * To how many other targets the sender could send the request instead. If present, even as 0, the target
   * does not wait for an endpoint to be ready or to be connected to, but fails at once. Absent: the sender
   * has no other target, and it waits.
   */
  readonly alternatives?: number | undefined;
  /** Undefined: it is not recorded. Whoever opens it at an endpoint tells its trace. */
  readonly trace?: RequestTrace | undefined;
  /** Asked before it goes to a backend of a group; absent: it may go to each. */
  readonly permit?: Permit | undefined;
}

/** The failure that a client gets instead of the backend of this name; undefined: it may use it. */
export type Permit = (backend: string) => ProxyFailure | undefined;

/** What a route changes of the request that a connection was leased for, and of its response. */
export interface LeaseChanges {
  /** Replaces the Host field; undefined: it stays. */
  readonly host: string | undefined;
  /** @param path with its query */
  path(path: string): string;
  requestFields(fields: readonly Field[]): readonly Field[];
  responseFields(fields: readonly Field[]): readonly Field[];
}

/** The head of a response, whatever protocol the endpoint speaks. */
export interface IncomingResponse {
  readonly status: number;
  /** Fields for the client: without those of one hop. */
  readonly fields: readonly Field[];
  /** `none`: the response is complete; `onResponseEnd` follows at once. */
  readonly framing: Framing;
  /** When its head came (monotonic milliseconds), where the endpoint's side has read the clock anyway. */
  readonly at?: number;
}

/** Most interim responses to one request: more are an attack, or a server that does not end. */
export const MAX_INTERIM = 32;

/** Who sent a request, and hears what becomes of it. */
export interface UpstreamHandler {
  /** A response of status 1xx, before the final one. */
  onInterimResponse(status: number, fields: readonly Field[]): void;
  onResponse(response: IncomingResponse): void;
  /** Body bytes. Whoever has dealt with them calls `Upstream.consumed`, so that more may come. */
  onResponseBody(chunk: Buffer): void;
  /** The response is complete. @param trailers undefined: there are none */
  onResponseEnd(trailers: readonly Field[] | undefined): void;
  /** So many bytes that `write` had to hold back have been sent. */
  onRequestSent(bytes: number): void;
  /**
   * Nothing more comes.
   * @param unprocessed the endpoint has done nothing with the request: it may be sent again
   */
  onFailure(failure: ProxyFailure, unprocessed: boolean): void;
}

/**
 * One request at an endpoint, over HTTP/1 or HTTP/2. It tells the balancer how the endpoint did; whoever uses
 * it only says when the request is given up.
 */
export interface Upstream {
  /** `host:port` of the endpoint; undefined between two attempts. */
  readonly endpoint: string | undefined;
  /** Attempts so far, where there may be several. */
  readonly attempts?: number | undefined;
  /**
   * How long after it was there the head was sent to an endpoint for the first time, milliseconds; undefined:
   * at once, or it still waits.
   */
  readonly waitedMs?: number | undefined;
  /**
   * Whether the endpoint may refuse the request unprocessed when parts of its body have been sent (HTTP/2:
   * REFUSED_STREAM, GOAWAY). Whoever sends the body then keeps it, to send it again; default no.
   */
  readonly mayRefuse?: boolean;
  /** Sends a part of the body. @returns how many bytes have been sent; `onRequestSent` tells of the others */
  write(chunk: Buffer): number;
  /** The request is complete. */
  end(trailers: readonly Field[] | undefined): void;
  /** So many bytes of the response's body have been dealt with. */
  consumed(bytes: number): void;
  /**
   * The client is gone, or has been answered otherwise. The handler hears nothing more.
   * @param failed whether the endpoint is to blame: it has taken too long
   */
  abandon(failed?: boolean): void;
}

/**
 * Methods of requests that may be sent again when an unused connection turns out to have been closed at the
 * same moment (RFC 9110 section 9.2.2).
 */
export const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** Safe methods: their requests change nothing (RFC 9110 section 9.2.1). */
export const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/**
 * What is spoken on a connection: HTTP/1 (1.0 and 1.1), HTTP/2, or bytes that nobody looks into (`opaque`).
 * Linkerd's transport header calls it the session protocol.
 */
export type SessionProtocol = 'http1' | 'http2' | 'opaque';

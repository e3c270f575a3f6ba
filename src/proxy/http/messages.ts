import type { ProxyFailure } from './failures.ts';
import type { Field } from './fields.ts';

/** How a message's body ends (RFC 9112 section 6.3). */
export type Framing =
  | { readonly kind: 'none' | 'chunked' | 'until close' }
  | { readonly kind: 'length'; readonly length: number };

export const NO_BODY: Framing = { kind: 'none' };

/** The body's length is not known. */
export const CHUNKED: Framing = { kind: 'chunked' };

/**
 * The HTTP version that a client speaks, or spoke before a proxy carried its request over HTTP/2
 * (`l5d-orig-proto`).
 */
export type HttpVersion = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

/** A request on its way to an endpoint, whatever is spoken there. */
export interface OutgoingRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string | undefined;
  readonly version: HttpVersion;
  /** Fields for the endpoint: without those of one hop, with those that we add. */
  readonly fields: readonly Field[];
  /** `chunked`: a body whose length is not known. */
  readonly framing: Framing;
  /** On whose behalf, for an endpoint that is told (stream mode). */
  readonly client?: Field | undefined;
}

/** The beginning of a response, whatever was spoken. */
export interface IncomingResponse {
  readonly status: number;
  /** Fields for the client: without those of one hop. */
  readonly fields: readonly Field[];
  /** `none`: the response is complete; `onResponseEnd` follows at once. */
  readonly framing: Framing;
  /** When its head came (monotonic milliseconds), where that is at hand. */
  readonly at?: number;
}

/** Hears what becomes of a request. */
export interface UpstreamHandler {
  onInterimResponse(status: number, fields: readonly Field[]): void;
  onResponse(response: IncomingResponse): void;
  /** Body bytes; `Upstream.consumed` asks for more. */
  onResponseBody(chunk: Buffer): void;
  onResponseEnd(trailers: readonly Field[] | undefined): void;
  /** So many bytes that `write` had to hold back have been sent. */
  onRequestSent(bytes: number): void;
  /** Nothing more comes. @param unprocessed the endpoint has not done anything with the request */
  onFailure(failure: ProxyFailure, unprocessed: boolean): void;
}

/**
 * One request at an endpoint, over HTTP/1 or HTTP/2. The endpoint's counters are kept here too: its user only
 * says when it gives up.
 */
export interface Upstream {
  /** `host:port` of the endpoint; undefined between two attempts. */
  readonly endpoint: string | undefined;
  /** Tries so far, where there may be several. */
  readonly attempts?: number;
  /**
   * It may refuse unseen what it has been sent of a body (HTTP/2), and leaves it to its user to send that
   * again; default no.
   */
  readonly mayRefuse?: boolean;
  /** @returns how many bytes have been sent; the others follow and are told by `onRequestSent` */
  write(chunk: Buffer): number;
  end(trailers: readonly Field[] | undefined): void;
  consumed(bytes: number): void;
  /**
   * The client is gone, or has been answered otherwise. The handler hears nothing more.
   * @param failed by the endpoint's doing: it has taken too long
   */
  abandon(failed?: boolean): void;
}

/**
 * Requests that may be sent again when an unused connection turned out to be closed (RFC 9110 section 9.2.2).
 */
export const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/**
 * What is spoken on a connection: HTTP/1 (1.0 and 1.1), HTTP/2, or bytes that nobody looks into. The words
 * are those of the session protocol in Linkerd's transport header.
 */
export type SessionProtocol = 'http1' | 'http2' | 'opaque';

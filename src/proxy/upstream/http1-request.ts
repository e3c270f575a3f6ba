import type { Clock } from '../../base/clock.ts';
import {
  type Framing,
  MAX_INTERIM,
  NO_BODY,
  IDEMPOTENT,
  type OutgoingRequest,
  type Upstream,
  type UpstreamHandler,
} from '../http/messages.ts';
import { lostConnection } from '../http1/failure-response.ts';
import type { Connection, ConnectionHandler } from '../io/connection.ts';
import { ProxyFailure } from '../http/failures.ts';
import { type Field, signsConnection } from '../http/fields.ts';
import { endToEnd } from '../http/forwarding.ts';
import type { ConnectionLease } from './connection-lease.ts';
import { BodyReader, type BodySink, lastChunk } from '../http1/body.ts';
import { TE_TRAILERS } from '../http1/render.ts';
import { behind, headEnd, HeadError, parseResponseHead, type ResponseHead } from '../http1/head.ts';

const EMPTY = Buffer.alloc(0);
const CRLF = Buffer.from('\r\n', 'latin1');
/** Methods that give a body a meaning, so that a request without one says so (`content-length: 0`). */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);
/** Bytes of the response that may wait for a slow client before the endpoint is read no further. */
const MAX_UNCONSUMED = 64 * 1024;

/** The target of a request, as far as the request needs it. */
export interface RequestedTarget {
  /** `name:port`, for messages. */
  readonly label: string;
  /** Takes back a connection that can carry another request. */
  giveBack(lease: ConnectionLease): void;
  /** As `Boundary.caught`. */
  caught(error: unknown): ProxyFailure;
}

/** One request, and the connection that it is sent on. */
export interface Http1UpstreamOptions {
  readonly lease: ConnectionLease;
  readonly target: RequestedTarget;
  readonly request: OutgoingRequest;
  readonly handler: UpstreamHandler;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/**
 * A request at an endpoint that speaks HTTP/1, whatever its client speaks: head and body are framed anew.
 * (Where both speak HTTP/1 and nothing asks for more, `downstream/http1-forwarder.ts` passes bytes on
 * instead.)
 */
export class Http1Upstream implements Upstream, ConnectionHandler, BodySink {
  readonly #lease: ConnectionLease;
  readonly #target: RequestedTarget;
  readonly #request: OutgoingRequest;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #startedAt: number;
  #handler: UpstreamHandler | undefined;
  /** The beginning of a response head that has not come whole. */
  #held: Buffer = EMPTY;
  #response: ResponseHead | undefined;
  #body = new BodyReader(NO_BODY);
  #requestDone = false;
  /** Whether some of the request's body has been sent. */
  #bodySent = false;
  /** Bytes of the request's body that the connection has taken and not sent. */
  #unsent = 0;
  /** Bytes of the response's body that the handler has not dealt with. */
  #unconsumed = 0;
  #paused = false;
  #interim = 0;

  constructor({ lease, target, request, handler, clock }: Http1UpstreamOptions) {
    this.#lease = lease;
    this.#target = target;
    this.#request = request;
    this.#handler = handler;
    this.#clock = clock;
    this.#startedAt = clock.monotonic();
  }

  get endpoint(): string {
    return this.#lease.endpoint.endpoint;
  }

  /** Sends the request's head. */
  start(): void {
    const { connection } = this.#lease;
    connection.handler = this;
    if (connection.closed) return this.onClose(connection, undefined);
    connection.resume();
    connection.send(requestHead(this.#request));
    this.#requestDone = this.#request.framing.kind === 'none';
  }

  write(chunk: Buffer): number {
    if (this.#handler === undefined || chunk.length === 0) return chunk.length;
    this.#bodySent = true;
    const { connection } = this.#lease;
    const chunked = this.#request.framing.kind === 'chunked';
    if (chunked) connection.send(Buffer.from(`${chunk.length.toString(16)}\r\n`, 'latin1'));
    const open = connection.send(chunk);
    if (chunked) connection.send(CRLF);
    if (open && this.#unsent === 0) return chunk.length;
    this.#unsent += chunk.length;
    return 0;
  }

  end(trailers: readonly Field[] | undefined): void {
    if (this.#handler === undefined || this.#requestDone) return;
    this.#requestDone = true;
    if (this.#request.framing.kind === 'chunked') this.#lease.connection.send(lastChunk(trailers));
    if (this.#response !== undefined && this.#body.done) this.#finish(false);
  }

  consumed(bytes: number): void {
    this.#unconsumed -= bytes;
    if (!this.#paused || this.#unconsumed > MAX_UNCONSUMED / 2) return;
    this.#paused = false;
    this.#lease.connection.resume();
  }

  abandon(failed = false): void {
    if (this.#handler === undefined) return;
    this.#handler = undefined;
    if (this.#response === undefined) {
      if (failed) this.#lease.endpoint.fail();
      else this.#lease.endpoint.abandon();
    }
    this.#lease.connection.destroy();
  }

  onData(_: Connection, chunk: Buffer): void {
    try {
      if (this.#response === undefined) this.#head(chunk);
      else this.#bodyBytes(chunk);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#fail(new ProxyFailure('bad target response', `${this.#target.label}: ${error.message}`), false);
    }
  }

  onEnd(): void {
    this.#ended(undefined);
  }

  onDrain(): void {
    const sent = this.#unsent;
    this.#unsent = 0;
    if (sent > 0) this.#handler?.onRequestSent(sent);
  }

  onClose(_: Connection, error: Error | undefined): void {
    this.#ended(error);
  }

  onCaught(_: Connection, failure: ProxyFailure): void {
    const handler = this.#handler;
    this.abandon();
    this.#lease.connection.destroy();
    handler?.onFailure(failure, false);
  }

  onBodyBytes(chunk: Buffer): void {
    this.#unconsumed += chunk.length;
    this.#handler?.onResponseBody(chunk);
  }

  #head(chunk: Buffer): void {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (let end = headEnd(this.#held); end >= 0; end = headEnd(this.#held)) {
      const head = parseResponseHead(this.#held, this.#request.method, end);
      const rest = behind(this.#held, end);
      this.#held = rest;
      if (head.status === 101) throw new HeadError('an upgrade was not asked for');
      if (head.status >= 200) return this.#finalHead(head, rest);
      if (++this.#interim > MAX_INTERIM) throw new HeadError('there is no end of interim responses');
      this.#handler?.onInterimResponse(head.status, endToEnd(head.fields));
    }
  }

  #finalHead(head: ResponseHead, rest: Buffer): void {
    const { endpoint } = this.#lease;
    if (head.status >= 500) endpoint.fail();
    else endpoint.succeed(this.#clock.monotonic() - this.#startedAt);
    this.#response = head;
    this.#body = new BodyReader(head.framing);
    this.#held = EMPTY;
    this.#handler?.onResponse({
      status: head.status,
      fields: endToEnd(head.fields),
      framing: head.framing,
    });
    if (rest.length > 0 || this.#body.done) this.#bodyBytes(rest);
  }

  #bodyBytes(chunk: Buffer): void {
    const taken = this.#body.take(chunk, this);
    if (this.#handler === undefined) return;
    if (this.#body.done) {
      const { trailers } = this.#body;
      const handler = this.#handler;
      if (this.#requestDone || taken < chunk.length) this.#finish(taken < chunk.length);
      this.#notifyEnd(handler, trailers.length === 0 ? undefined : trailers);
    } else if (this.#unconsumed > MAX_UNCONSUMED && !this.#paused) {
      this.#paused = true;
      this.#lease.connection.pause();
    }
  }

  #notifyEnd(handler: UpstreamHandler, trailers: readonly Field[] | undefined): void {
    try {
      handler.onResponseEnd(trailers);
    } catch (error) {
      // Not left to `onCaught`: the connection has been given back, and may be another request's by now.
      handler.onFailure(this.#target.caught(error), false);
    }
  }

  /**
   * The response is complete, and the request too or not wanted any more.
   * @param spoiled whether the connection cannot carry another request
   */
  #finish(spoiled: boolean): void {
    if (this.#handler === undefined) return;
    this.#handler = undefined;
    const signed = this.#response?.section.signsConnection === true || signsConnection(this.#request.fields);
    // Requests of any client may follow on this connection: not where one has signed in for the whole of it
    // (RFC 4559 section 6).
    if (this.#response?.keepAlive === true && this.#requestDone && !spoiled && !signed)
      this.#target.giveBack(this.#lease);
    else this.#lease.connection.destroy();
  }

  #ended(error: Error | undefined): void {
    if (this.#handler === undefined) return;
    // After a reset a body that ends with its connection is not complete (RFC 9112 section 8).
    if (error === undefined && this.#response !== undefined && this.#body.end()) {
      const handler = this.#handler;
      this.#finish(true);
      this.#notifyEnd(handler, undefined);
      return;
    }
    const stale = this.#lease.reused && this.#response === undefined && this.#held.length === 0;
    const unprocessed = stale && !this.#bodySent && IDEMPOTENT.has(this.#request.method);
    this.#fail(lostConnection(this.#target.label, this.#response, error), unprocessed);
  }

  #fail(failure: ProxyFailure, unprocessed: boolean): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    this.#handler = undefined;
    this.#lease.connection.destroy();
    if (this.#response === undefined) {
      if (unprocessed) this.#lease.endpoint.abandon();
      else this.#lease.endpoint.fail();
    }
    handler.onFailure(failure, unprocessed);
  }
}

/** The request's head in HTTP/1. */
function requestHead({ method, path, authority, fields, framing, version }: OutgoingRequest): Buffer {
  // HTTP/1.0 has no chunked coding: with a body of unknown length the request is sent as 1.1, our own
  // version.
  const minor = version === 'HTTP/1.0' && framing.kind !== 'chunked' ? 0 : 1;
  const lines = [`${method} ${path} HTTP/1.${minor}`];
  if (authority !== undefined) lines.push(`host: ${authority}`);
  const cookies: string[] = [];
  for (const { name, lower, value } of fields) {
    if (lower === 'cookie') cookies.push(value);
    else if (lower !== 'te') lines.push(`${name}: ${value}`);
    else if (minor === 1) lines.push(TE_TRAILERS.trimEnd());
  }
  // HTTP/2 may have several cookie fields, HTTP/1 has one (RFC 9113 section 8.2.3).
  if (cookies.length > 0) lines.push(`cookie: ${cookies.join('; ')}`);
  if (framing.kind === 'chunked') lines.push('transfer-encoding: chunked');
  else if (lacksLength(method, framing, fields)) lines.push('content-length: 0');
  if (minor === 0) lines.push('connection: keep-alive');
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/**
 * Whether `content-length: 0` is to be added: servers ask for it where a method has a body (RFC 9110 section
 * 8.6).
 */
function lacksLength(method: string, framing: Framing, fields: readonly Field[]): boolean {
  return (
    framing.kind === 'none' &&
    WITH_BODY.has(method) &&
    !fields.some(({ lower }) => lower === 'content-length')
  );
}

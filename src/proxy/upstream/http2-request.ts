import type { Clock } from '../../base/clock.ts';
import { ORIG_PROTO } from '../../api/linkerd/proxy-fields.ts';
import {
  CHUNKED,
  type Framing,
  type IncomingResponse,
  NO_BODY,
  IDEMPOTENT,
  type OutgoingRequest,
  type Upstream,
  type UpstreamHandler,
} from '../http/messages.ts';
import { internalError } from '../http/failure-boundary.ts';
import { type FailureKind, ProxyFailure } from '../http/failures.ts';
import { About, Field, fieldName, makeField, valueOf } from '../http/fields.ts';
import type { Http2Connection } from '../http2/http2-connection.ts';
import { Http2ErrorCode, errorName } from '../http2/errors.ts';
import { alternativesField } from '../streams/stream-head.ts';
import { MALFORMED_LENGTH, readStatus } from '../http2/message.ts';
import type { Http2Stream, StreamHandler } from '../http2/stream.ts';
import type { PickedEndpoint } from './balancer/endpoint.ts';
import { isFailedAnswer } from '../http/classify.ts';
import type { TryWatch, WatchedTry } from './try-watch.ts';

const SCHEME = makeField(':scheme', 'http');

/** One request, and the connection and endpoint that it is sent to. */
export interface Http2UpstreamOptions {
  /** `name:port`, for messages. */
  readonly label: string;
  readonly connection: Http2Connection;
  readonly endpoint: PickedEndpoint;
  readonly request: OutgoingRequest;
  readonly handler: UpstreamHandler;
  readonly clock: Pick<Clock, 'monotonic'>;
  /**
   * When the request began (monotonic milliseconds), where the caller has just read the clock; default: now.
   */
  readonly startedAt: number | undefined;
  /**
   * Whether the endpoint's mesh proxy is told what an HTTP/1 request was (`l5d-orig-proto`), so that it gives
   * it to its application as HTTP/1.
   */
  readonly upgraded: boolean;
  /** Stream mode: the pseudo-header that says what the stream is for (`streams/stream-head.ts`). */
  readonly carried?: Field | undefined;
  /** Stream mode: who may take the request over; default nobody. */
  readonly watch?: TryWatch | undefined;
}

/** A request at an endpoint that is spoken to over HTTP/2: one stream. */
export class Http2Upstream implements WatchedTry, StreamHandler {
  readonly #options: Http2UpstreamOptions;
  readonly startedAt: number;
  #handler: UpstreamHandler | undefined;
  /** What has taken it over. */
  #successor: Upstream | undefined;
  #stream: Http2Stream | undefined;
  /** The balancer has been told how the endpoint did. */
  #judged = false;
  /**
   * Its connection had no other stream, and had had some before: the peer may have been closing it as idle.
   */
  #onUnused = false;

  constructor(options: Http2UpstreamOptions) {
    this.#options = options;
    this.#handler = options.handler;
    this.startedAt = options.startedAt ?? options.clock.monotonic();
  }

  get mayRefuse(): boolean {
    return true;
  }

  get request(): OutgoingRequest {
    return this.#options.request;
  }

  get handler(): UpstreamHandler {
    return this.#options.handler;
  }

  get endpoint(): string | undefined {
    return this.#successor === undefined ? this.#options.endpoint.endpoint : this.#successor.endpoint;
  }

  get attempts(): number | undefined {
    if (this.#successor !== undefined) return this.#successor.attempts;
    return this.#options.watch === undefined ? undefined : 1;
  }

  /** Sends the request's head. */
  start(): void {
    const { connection, request } = this.#options;
    const ended = request.framing.kind === 'none';
    this.#onUnused = connection.active === 0 && connection.nextStreamId > 1;
    this.#stream = connection.open(requestHead(this.#options), ended, this, this.startedAt);
  }

  write(chunk: Buffer): number {
    return this.#stream?.write(chunk) ?? chunk.length;
  }

  end(trailers: readonly Field[] | undefined): void {
    this.#stream?.end(trailers);
  }

  consumed(bytes: number): void {
    if (this.#successor === undefined) this.#stream?.consumed(bytes);
    else this.#successor.consumed(bytes);
  }

  abandon(failed = false): void {
    if (this.#successor !== undefined) return this.#successor.abandon(failed);
    if (this.#handler !== undefined && this.#judged) this.#options.watch?.onEnd();
    this.#giveUp(failed);
  }

  #giveUp(failed: boolean): void {
    if (this.#handler === undefined) return;
    this.#handler = undefined;
    if (!this.#judged && failed) this.#options.endpoint.fail();
    else if (!this.#judged) this.#options.endpoint.abandon();
    this.#judged = true;
    this.#stream?.reset(Http2ErrorCode.CANCEL);
  }

  takeOver(by: Upstream): Upstream {
    this.#successor = by;
    const { endpoint } = this.#options.endpoint;
    return {
      endpoint,
      mayRefuse: true,
      write: (chunk) => this.write(chunk),
      end: (trailers) => this.end(trailers),
      consumed: (bytes) => this.#stream?.consumed(bytes),
      abandon: (failed = false) => this.#giveUp(failed),
    };
  }

  /** Undefined: nobody watches it, it has been taken over, or nobody hears of it any more. */
  get #watch(): TryWatch | undefined {
    const { watch } = this.#options;
    return watch === undefined || this.#successor !== undefined || this.#handler === undefined
      ? undefined
      : watch;
  }

  onInterim(_: Http2Stream, fields: readonly Field[]): void {
    const status = readStatus(fields);
    if (status === undefined) return this.#malformed();
    const kept = responseFields(fields);
    this.#handler = this.#watch?.onInterimResponse(this, status, kept) ?? this.#handler;
    this.#handler?.onInterimResponse(status, kept);
  }

  onHead(stream: Http2Stream, fields: readonly Field[], ended: boolean): void {
    const status = readStatus(fields);
    if (status === undefined) return this.#malformed();
    const bodiless = status === 204 || status === 304 || this.#options.request.method === 'HEAD';
    if (!endsWell(stream.expected, ended, bodiless)) return this.#malformed();
    const at = this.#options.clock.monotonic();
    this.#judge(status, ended ? valueOf(fields, 'grpc-status') : undefined, at);
    const framing = ended || bodiless ? NO_BODY : framingOf(stream.expected);
    this.#respond({ status, fields: responseFields(fields), framing, at });
    // A response without a body is complete with its head: bytes that the endpoint still sent would look like
    // the next response to an HTTP/1 client.
    if (ended || bodiless) this.#end(undefined);
  }

  #respond(response: IncomingResponse): void {
    this.#handler = this.#watch?.onResponse(this, response) ?? this.#handler;
    this.#handler?.onResponse(response);
  }

  onData(stream: Http2Stream, chunk: Buffer): void {
    if (this.#handler === undefined) stream.consumed(chunk.length);
    else this.#handler.onResponseBody(chunk);
  }

  onEnd(_: Http2Stream, trailers: readonly Field[] | undefined): void {
    this.#end(trailers);
  }

  onSent(_: Http2Stream, bytes: number): void {
    this.#handler?.onRequestSent(bytes);
  }

  onReset(_: Http2Stream, code: number, unprocessed: boolean): void {
    const { label, connection, endpoint } = this.#options;
    const { verdict } = connection;
    const answered = this.#judged;
    const kind: FailureKind =
      code === Http2ErrorCode.PROTOCOL_ERROR ? 'bad target response' : 'connection failed';
    if (verdict === undefined) {
      if (connection.closed) return this.#lost();
      const text = `${label}: the endpoint ended the stream with ${errorName(code)}`;
      // A server cancels a call at the call's deadline, and gRPC clients take a CANCEL then for their
      // deadline: it is passed on.
      const terms = code === Http2ErrorCode.CANCEL ? { code } : undefined;
      return this.#fail(new ProxyFailure(kind, text, undefined, terms), unprocessed);
    }
    // We have ended the connection. For an exception or a flood limit of ours, the endpoint is not to blame.
    const ours = verdict.code === Http2ErrorCode.INTERNAL_ERROR;
    if ((ours || verdict.code === Http2ErrorCode.ENHANCE_YOUR_CALM) && !this.#judged) {
      this.#judged = true;
      endpoint.abandon();
    }
    if (ours) return this.#fail(internalError(verdict), false, answered);
    const text = `${label}: the connection to the endpoint was ended by us: ${verdict.message} (${errorName(code)})`;
    this.#fail(new ProxyFailure(kind, text), unprocessed, answered);
  }

  /**
   * The connection was lost (closed, reset, or silent when a PING was due): nobody has cancelled the request.
   * It may be sent again, as over HTTP/1, where it was the first on an idle connection, which closed before
   * anything was answered (RFC 9110 section 9.2.2).
   */
  #lost(): void {
    const { label, request } = this.#options;
    const when = this.#judged ? 'in the middle of its answer' : 'before it answered';
    const text = `${label}: the connection to the endpoint was lost ${when}`;
    const mayRepeat = !this.#judged && this.#onUnused && request.framing.kind === 'none';
    this.#fail(
      new ProxyFailure('connection failed', text, undefined, { lost: true }),
      mayRepeat && IDEMPOTENT.has(request.method),
    );
  }

  onCaught(_: Http2Stream, failure: ProxyFailure): void {
    this.#watch?.onFailure(this, true);
    const handler = this.#handler;
    this.#giveUp(false);
    handler?.onFailure(failure, false);
  }

  #malformed(): void {
    const { label } = this.#options;
    this.#stream?.reset(Http2ErrorCode.PROTOCOL_ERROR);
    this.#fail(new ProxyFailure('bad target response', `${label}: the response is malformed`), false);
  }

  /**
   * The response is complete: nothing more of the request is sent, and what the endpoint still sends is not
   * read.
   */
  #end(trailers: readonly Field[] | undefined): void {
    const handler = this.#handler;
    const stream = this.#stream;
    const watch = this.#watch;
    this.#handler = undefined;
    try {
      handler?.onResponseEnd(trailers);
      watch?.onEnd();
    } catch (error) {
      // `onCaught` tells it of the failure.
      this.#handler = handler;
      throw error;
    }
    if (stream !== undefined && !(stream.endSent && stream.remoteEnded)) stream.reset(Http2ErrorCode.CANCEL);
  }

  /** Tells the balancer how the endpoint did. @param at when the response's head came */
  #judge(status: number, grpc: string | undefined, at: number): void {
    if (this.#judged) return;
    this.#judged = true;
    const { endpoint } = this.#options;
    if (isFailedAnswer(status, grpc === undefined ? undefined : Number(grpc))) endpoint.fail();
    else endpoint.succeed(at - this.startedAt, at);
  }

  #fail(failure: ProxyFailure, unprocessed: boolean, answered = this.#judged): void {
    const handler = this.#watch?.onFailure(this, answered) ?? this.#handler;
    this.#handler = undefined;
    if (!this.#judged) {
      this.#judged = true;
      if (unprocessed) this.#options.endpoint.abandon();
      else this.#options.endpoint.fail();
    }
    handler?.onFailure(failure, unprocessed);
  }
}

/**
 * Whether a response's Content-Length is one that its body can have (RFC 9113 section 8.1.1). With another,
 * an HTTP/1 client would wait for bytes that do not come, or take the next response for them.
 * @param expected the Content-Length; undefined: there is none
 * @param ended whether the stream ended with the head
 * @param bodiless whether such a response never has a body
 */
function endsWell(expected: number | undefined, ended: boolean, bodiless: boolean): boolean {
  if (expected === undefined || expected === 0) return true;
  // In a response to HEAD, or a 304, it is the length that a GET would have had (RFC 9110 section 8.6).
  return expected !== MALFORMED_LENGTH && (bodiless || !ended);
}

function framingOf(length: number | undefined): Framing {
  return length === undefined ? CHUNKED : { kind: 'length', length };
}

/** The fields of a response that the client gets. */
function responseFields(fields: readonly Field[]): Field[] {
  const kept: Field[] = [];
  for (const field of fields) if ((field.about.bits & NOT_FOR_CLIENTS) === 0) kept.push(field);
  return kept;
}

const NOT_FOR_CLIENTS = About.PSEUDO | About.HOP | About.CODING | About.ORIG_PROTO;

function requestHead(options: Http2UpstreamOptions): Field[] {
  const { request, upgraded, carried } = options;
  const { method, authority, path, fields, version } = request;
  const head = [methodField(method), SCHEME];
  if (carried !== undefined) addPurpose(head, carried, options);
  if (authority !== undefined && authority !== '') head.push(makeField(':authority', authority));
  head.push(new Field(':path', path, PATH));
  // An empty Host of an HTTP/1 request says that it has no authority; `:authority` must not be empty.
  if (authority === '') head.push(NO_HOST);
  for (const field of fields) head.push(field);
  if (upgraded && version !== 'HTTP/2') head.push(makeField(ORIG_PROTO, version));
  return head;
}

/** Stream mode: adds the pseudo-headers `:target`, `:client` and `:alternatives`. */
function addPurpose(head: Field[], carried: Field, options: Http2UpstreamOptions): void {
  const { connection, request, watch } = options;
  const { client } = request;
  const { namesClients, takesAlternatives } = connection;
  const alternatives = (watch ?? request).alternatives ?? 0;
  head.push(carried);
  if (client !== undefined && namesClients) head.push(client);
  if (alternatives > 0 && takesAlternatives) head.push(alternativesField(alternatives));
}

const PATH = fieldName(':path');
const NO_HOST = makeField('host', '');
const GET = makeField(':method', 'GET');
const POST = makeField(':method', 'POST');

function methodField(method: string): Field {
  if (method === 'GET') return GET;
  return method === 'POST' ? POST : makeField(':method', method);
}

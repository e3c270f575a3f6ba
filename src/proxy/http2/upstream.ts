import type { Attempt } from '../balancer/attempt.ts';
import { type FailureKind, ProxyFailure } from '../failures.ts';
import { type Field, makeField, valueOf } from '../field.ts';
import { endToEnd } from '../forwarding.ts';
import type { IncomingResponse, OutgoingRequest, Upstream, UpstreamHandler } from '../upstream.ts';
import type { Http2Connection } from './connection.ts';
import { ErrorCode, errorName } from './errors.ts';
import { ORIG_PROTO, readResponse } from './message.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';

/** gRPC statuses that count against the endpoint (wire reference 4). */
const GRPC_FAILURES = new Set(['2', '4', '7', '13', '14', '15']);
const SCHEME = makeField(':scheme', 'http');

export interface Http2UpstreamOptions {
  /** `name:port`, for messages. */
  readonly label: string;
  readonly connection: Http2Connection;
  readonly endpoint: Attempt;
  readonly request: OutgoingRequest;
  readonly handler: UpstreamHandler;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Tell the endpoint's proxy what was spoken before (`l5d-orig-proto`), for HTTP/1 requests: it gives them to its application as such. */
  readonly upgraded: boolean;
}

/** A request at an endpoint that speaks HTTP/2: one stream. */
export class Http2Upstream implements Upstream, StreamHandler {
  readonly #options: Http2UpstreamOptions;
  readonly #startedAt: number;
  #handler: UpstreamHandler | undefined;
  #stream: Http2Stream | undefined;
  #judged = false;

  constructor(options: Http2UpstreamOptions) {
    this.#options = options;
    this.#handler = options.handler;
    this.#startedAt = options.now();
  }

  get endpoint(): string {
    return `${this.#options.endpoint.host}:${this.#options.endpoint.port}`;
  }

  /** Sends the request's head. */
  start(): void {
    const { connection, request, upgraded } = this.#options;
    const ended = request.framing.kind === 'none';
    this.#stream = connection.open(requestFields(request, upgraded), ended, this);
  }

  write(chunk: Buffer): number {
    return this.#stream?.write(chunk) ?? chunk.length;
  }

  end(trailers: readonly Field[] | undefined): void {
    this.#stream?.end(trailers);
  }

  consumed(bytes: number): void {
    this.#stream?.consumed(bytes);
  }

  abandon(): void {
    if (this.#handler === undefined) return;
    this.#handler = undefined;
    if (!this.#judged) this.#options.endpoint.abandon();
    this.#judged = true;
    this.#stream?.reset(ErrorCode.CANCEL);
  }

  onInterim(_: Http2Stream, fields: readonly Field[]): void {
    const response = readResponse(fields);
    if (response === undefined) this.#malformed();
    else this.#handler?.onInterimResponse(response.status, response.fields);
  }

  onHead(stream: Http2Stream, fields: readonly Field[], ended: boolean): void {
    const response = readResponse(fields);
    if (response === undefined) return this.#malformed();
    const { status } = response;
    const bodiless = this.#options.request.method === 'HEAD' || status === 204 || status === 304;
    if (bodiless) stream.expected = undefined;
    this.#judge(status, ended ? valueOf(response.fields, 'grpc-status') : undefined);
    const length = valueOf(response.fields, 'content-length');
    const framing: IncomingResponse['framing'] = ended
      ? { kind: 'none' }
      : length === undefined || bodiless
        ? { kind: 'chunked' }
        : { kind: 'length', length: Number(length) };
    const kept = endToEnd(response.fields).filter(({ lower }) => lower !== ORIG_PROTO);
    const handler = this.#handler;
    handler?.onResponse({ status, fields: kept, framing });
    if (ended) this.#end(undefined);
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
    const kind: FailureKind = code === ErrorCode.PROTOCOL_ERROR ? 'bad target response' : 'connection failed';
    const text = `${this.#options.label}: the endpoint ended the stream with ${errorName(code)}`;
    this.#fail(new ProxyFailure(kind, text), unprocessed);
  }

  #malformed(): void {
    const { label } = this.#options;
    this.#stream?.reset(ErrorCode.PROTOCOL_ERROR);
    this.#fail(new ProxyFailure('bad target response', `${label}: the response is malformed`), false);
  }

  #end(trailers: readonly Field[] | undefined): void {
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onResponseEnd(trailers);
  }

  #judge(status: number, grpc: string | undefined): void {
    if (this.#judged) return;
    this.#judged = true;
    const { endpoint, now } = this.#options;
    if (status >= 500 || (grpc !== undefined && GRPC_FAILURES.has(grpc))) endpoint.fail();
    else endpoint.succeed(now() - this.#startedAt);
  }

  #fail(failure: ProxyFailure, unprocessed: boolean): void {
    const handler = this.#handler;
    this.#handler = undefined;
    if (!this.#judged) {
      this.#judged = true;
      if (unprocessed) this.#options.endpoint.abandon();
      else this.#options.endpoint.fail();
    }
    handler?.onFailure(failure, unprocessed);
  }
}

function requestFields(request: OutgoingRequest, upgraded: boolean): Field[] {
  const head = [makeField(':method', request.method), SCHEME];
  if (request.authority !== undefined) head.push(makeField(':authority', request.authority));
  head.push(makeField(':path', request.path), ...request.fields);
  if (upgraded && request.version !== 'HTTP/2') head.push(makeField(ORIG_PROTO, request.version));
  return head;
}

import { ORIG_PROTO } from '../../api/linkerd/proxy-fields.ts';
import { appendChunk } from '../../base/gathered-bytes.ts';
import { ProxyFailure } from '../http/failures.ts';
import { type Field, isGrpc, makeField, valueOf } from '../http/fields.ts';
import { requestFields } from '../http/forwarding.ts';
import { FAULT_FIELD, type Hold } from '../filters/request-filter.ts';
import { PassedBody } from '../upstream/retry/replay-body.ts';
import type { TargetCounters } from '../metrics/target-counters.ts';
import { applicationProtocol } from '../upstream/endpoint-transport.ts';
import type { FlowTrace } from '../tracing/flow-trace.ts';
import {
  beginFlow,
  type CountedFlow,
  discardFlow,
  endFlow,
  flowAnswered,
  flowWaited,
} from './flow-accounts.ts';
import type { OpenFlow } from './access-log.ts';
import { answerGrpc, answerText } from './http2-answer.ts';
import type { Session } from './session.ts';
import type { IncomingResponse, OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { Http2Connection } from '../http2/http2-connection.ts';
import { Http2ErrorCode } from '../http2/errors.ts';
import { refusalInterim } from '../streams/stream-head.ts';
import { type Http2Request, readRequest, statusField } from '../http2/message.ts';
import type { Http2Stream, StreamHandler } from '../http2/stream.ts';

/** The requests of a connection that are under way. */
export function* requestsOf(connection: Http2Connection): Generator<OpenFlow> {
  for (const { handler } of connection.streams)
    if (handler instanceof Http2Exchange && !handler.over) yield handler.underWay;
}

/** One request of an HTTP/2 client, from its head to the last byte of the response. */
export class Http2Exchange implements StreamHandler, UpstreamHandler, CountedFlow {
  readonly #session: Session;
  readonly #stream: Http2Stream;
  readonly #alternatives: number;
  readonly startedAt: number;
  #request: Http2Request | undefined;
  #outgoing: OutgoingRequest | undefined;
  #upstream: Upstream | undefined;
  /** What was picked before the failure, for the access log. */
  #failed: Upstream | undefined;
  /** Body that came before there was an endpoint to send it to. The stream's window bounds it. */
  #held: Buffer[] | undefined;
  #requestEnded = false;
  #trailers: readonly Field[] | undefined;
  /**
   * The body that was passed on, kept until there is an answer, because an HTTP/2 endpoint may refuse the
   * request unseen.
   */
  #passed: PassedBody | undefined;
  /**
   * Bytes that count as sent for the client's flow control, because they are kept, and that the endpoint has
   * not taken yet.
   */
  #ahead = 0;
  #refusals = 0;
  /** Where a request filter has made the request wait. */
  hold: Hold | undefined;
  trace: FlowTrace | undefined;
  counted: TargetCounters | undefined;
  status: number | undefined;
  grpcStatus: number | undefined;
  firstByteMs: number | undefined;
  waitedMs: number | undefined;
  bytesIn = 0;
  bytesOut = 0;
  #over = false;

  /** @param alternatives to how many other gateways the client could send the request instead */
  constructor(session: Session, stream: Http2Stream, alternatives = 0) {
    this.#alternatives = alternatives;
    this.#session = session;
    this.#stream = stream;
    this.startedAt = session.clock.monotonic();
    stream.handler = this;
  }

  get protocol(): 'http2' {
    return 'http2';
  }

  get method(): string | undefined {
    return this.#request?.method;
  }

  get path(): string | undefined {
    return this.#request?.path;
  }

  get asked(): Http2Request | undefined {
    return this.#request;
  }

  get context(): readonly Field[] | undefined {
    return this.#request?.traced === true ? this.#request.fields : undefined;
  }

  get underWay(): OpenFlow {
    return [this.#session, this, this.#upstream ?? this.#failed];
  }

  /** Whether its answer is complete. */
  get over(): boolean {
    return this.#over;
  }

  /** Takes the request's head. @param ended whether it has no body */
  begin(fields: readonly Field[], ended: boolean): void {
    const { target, check, clientName, tracer } = this.#session;
    this.#requestEnded = ended;
    beginFlow(this.#session, this);
    const request = readRequest(fields, ended);
    if (typeof request === 'string') {
      this.#answer(new ProxyFailure('bad request', request));
      return;
    }
    this.#request = request;
    if (tracer !== undefined) this.trace = tracer.begin(this.#session, this);
    const refusal = check(request);
    if (refusal !== undefined) {
      this.#answer(refusal);
      return;
    }
    if (target.filter === undefined) this.#forward(request);
    else
      this.hold = target.filter.pass(clientName, request, {
        admit: () => this.#safely(() => this.#forward(request)),
        refuse: (failure) => this.#safely(() => this.#answer(failure)),
      });
  }

  #forward(request: Http2Request): void {
    const { target } = this.#session;
    const outgoing = this.#translate(request);
    this.#outgoing = outgoing;
    const protocol = applicationProtocol(target.protocol, outgoing.version);
    // Where it was held up, time has passed.
    const now = this.hold === undefined ? this.startedAt : this.#session.clock.monotonic();
    const upstream = target.openNow(protocol, outgoing, this, now);
    if (upstream === undefined) return void this.#open(false);
    if (this.hold !== undefined) flowWaited(this.#session, this);
    this.#opened(upstream);
  }

  // --- the client

  onData(stream: Http2Stream, chunk: Buffer): void {
    this.bytesIn += chunk.length;
    if (this.#over) {
      stream.consumed(chunk.length);
    } else if (this.#upstream === undefined) {
      appendChunk((this.#held ??= []), chunk);
    } else {
      this.#pass(this.#upstream, chunk);
    }
  }

  /** Passes a part of the body on. Bytes that are kept to be sent again count as sent at once. */
  #pass(upstream: Upstream, chunk: Buffer): void {
    if (this.status === undefined) this.#passed ??= new PassedBody(upstream.mayRefuse === true);
    const kept = this.#passed?.keep(chunk) === true;
    const sent = upstream.write(chunk);
    if (kept) this.#ahead += chunk.length - sent;
    this.#stream.consumed(kept ? chunk.length : sent);
  }

  onEnd(_: Http2Stream, trailers: readonly Field[] | undefined): void {
    this.#requestEnded = true;
    this.#trailers = trailers;
    this.#upstream?.end(trailers);
  }

  onReset(): void {
    this.#upstream?.abandon();
    this.#finish();
  }

  onInterim(): void {
    // Clients send no responses.
  }

  onHead(): void {
    // Clients send no responses; their requests come by `Http2User.onRequest`.
  }

  onSent(stream: Http2Stream, bytes: number): void {
    this.#upstream?.consumed(bytes);
    if (this.#over && stream.endSent) this.#stopUpload();
  }

  // --- the endpoint

  onInterimResponse(status: number, fields: readonly Field[]): void {
    if (!this.#over) this.#stream.head([statusField(status), ...fields]);
  }

  onRequestSent(bytes: number): void {
    const kept = Math.min(bytes, this.#ahead);
    this.#ahead -= kept;
    if (bytes > kept) this.#stream.consumed(bytes - kept);
  }

  onResponse({ status, fields, framing, at }: IncomingResponse): void {
    // Until then it can be answered otherwise.
    flowAnswered(this, (at ?? this.#session.clock.monotonic()) - this.startedAt, this.#upstream);
    this.status = status;
    this.#passed?.drop();
    const head = [statusField(status)];
    for (const field of fields) head.push(field);
    const version = this.#request?.version ?? 'HTTP/2';
    if (version !== 'HTTP/2') head.push(makeField(ORIG_PROTO, version));
    if (this.hold !== undefined) head.push(makeField(FAULT_FIELD, this.hold.mark));
    const ended = framing.kind === 'none';
    if (ended) this.#readGrpc(fields);
    this.#stream.head(head, ended);
  }

  onResponseBody(chunk: Buffer): void {
    this.bytesOut += chunk.length;
    const sent = this.#stream.write(chunk);
    this.#upstream?.consumed(sent);
  }

  onResponseEnd(trailers: readonly Field[] | undefined): void {
    if (trailers !== undefined) this.#readGrpc(trailers);
    this.#stream.end(trailers);
    this.#finish();
    if (this.#stream.endSent) this.#stopUpload();
  }

  onFailure(failure: ProxyFailure, unprocessed: boolean): void {
    if (failure.isOurs) return this.#die(failure);
    this.#failed = this.#upstream;
    this.#upstream = undefined;
    if (this.#over) return;
    if (unprocessed && this.#passed?.whole !== false && this.status === undefined) {
      const { clock, target } = this.#session;
      if (target.mayOpenAgain(clock.monotonic() - this.startedAt)) {
        void this.#openAgain(this.#refusals++);
        return;
      }
    }
    if (this.status === undefined) {
      this.#answer(failure);
      return;
    }
    // Half of a response is out: only a broken stream tells the client that it is not whole.
    this.#break(failure);
  }

  // --- the rest

  onCaught(_: Http2Stream, failure: ProxyFailure): void {
    this.#die(failure);
  }

  /**
   * Runs work of a timer or promise, above which no failure boundary stands: an exception ends this request.
   */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#die(this.#session.counters.caught(error));
    }
  }

  /** Ends the request, because there is no endpoint or for a mistake of ours. Never throws. */
  #die(failure: ProxyFailure): void {
    this.#failed = this.#upstream ?? this.#failed;
    this.#upstream = undefined;
    try {
      this.#failed?.abandon();
      if (this.#over) return;
      if (this.status === undefined) this.#answer(failure);
      else this.#break(failure);
    } catch (error) {
      this.#session.counters.caught(error);
      this.#over = true;
      this.#passed?.drop();
      this.hold?.cancel();
      discardFlow(this.#session, this);
      this.#stream.reset(Http2ErrorCode.INTERNAL_ERROR);
    }
  }

  /**
   * Resets the client's stream. A client that can send the request to another gateway is told why before that
   * (ADR 0036).
   */
  #break(failure: ProxyFailure): void {
    this.#finish(failure);
    if (failure.code === Http2ErrorCode.REFUSED_STREAM && this.#alternatives > 0)
      this.#stream.head(refusalInterim(failure));
    this.#stream.reset(failure.code ?? Http2ErrorCode.INTERNAL_ERROR);
  }

  /** Sends a request again that its endpoint has not looked at. */
  async #openAgain(refusals: number): Promise<void> {
    try {
      await this.#session.target.untilOpenAgain(refusals);
    } catch (error) {
      return this.#die(this.#session.counters.caught(error));
    }
    if (!this.#over) await this.#open(true);
  }

  async #open(fresh: boolean): Promise<void> {
    const outgoing = this.#outgoing;
    if (outgoing === undefined) return;
    try {
      const { target } = this.#session;
      const protocol = applicationProtocol(target.protocol, outgoing.version);
      const upstream = await target.open(protocol, outgoing, this, fresh);
      flowWaited(this.#session, this);
      this.#opened(upstream);
    } catch (error) {
      this.#die(this.#session.counters.caught(error));
    }
  }

  #opened(upstream: Upstream): void {
    if (this.#over) {
      upstream.abandon();
      return;
    }
    this.#upstream = upstream;
    this.#ahead = 0;
    if (this.#passed !== undefined)
      for (const chunk of this.#passed.chunks) this.#ahead += chunk.length - upstream.write(chunk);
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) for (const chunk of held) this.#pass(upstream, chunk);
    if (this.#requestEnded && this.#outgoing?.framing.kind !== 'none') upstream.end(this.#trailers);
  }

  /** The request as it is sent on, whichever protocol the endpoint speaks. */
  #translate(request: Http2Request): OutgoingRequest {
    const { trace } = this;
    const { rules } = this.#session;
    const { method, path, version, framing } = request;
    // The rule is that of HTTP/1: a client may not choose its virtual host. (Linkerd's gateway lets
    // an authority of HTTP/2 pass, wire protocol 1.5.)
    const authority = rules.host ?? request.authority;
    const fields = requestFields(request.fields, rules);
    const alternatives = this.#alternatives === 0 ? undefined : this.#alternatives;
    return { method, path, authority, version, framing, fields, client: rules.client, alternatives, trace };
  }

  #readGrpc(fields: readonly Field[]): void {
    const status = valueOf(fields, 'grpc-status');
    if (status !== undefined) this.grpcStatus = Number(status);
  }

  /** Answers in the target's stead, saying why. */
  #answer(failure: ProxyFailure): void {
    const grpc = isGrpc(this.#request?.fields ?? []);
    if (failure.breaks || (grpc && failure.code !== undefined)) return this.#break(failure);
    this.status = failure.status;
    const refusal = { failure, request: this.#request, plainClient: this.#session.plainClient };
    if (grpc) {
      this.status = 200;
      this.grpcStatus = failure.grpc;
      answerGrpc(this.#stream, refusal);
    } else {
      answerText(this.#stream, refusal);
    }
    this.#finish(failure);
    if (this.#stream.endSent) this.#stopUpload();
  }

  /** The response is out; a client that still sends is told that nobody reads it (RFC 9113 section 8.1). */
  #stopUpload(): void {
    if (this.#stream.remoteEnded) return;
    this.#stream.reset(Http2ErrorCode.NO_ERROR);
    // An endpoint that keeps its connection would wait for the rest.
    this.#upstream?.abandon();
  }

  #finish(failure?: ProxyFailure): void {
    if (this.#over) return;
    this.#over = true;
    this.#passed?.drop();
    this.hold?.cancel();
    for (const chunk of this.#held ?? []) this.#stream.consumed(chunk.length);
    this.#held = undefined;
    if (failure !== undefined) this.#session.leavesWith?.(failure);
    endFlow(this.#session, this, this.#upstream ?? this.#failed, failure);
  }
}

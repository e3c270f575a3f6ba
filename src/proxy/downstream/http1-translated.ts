import { ProxyFailure } from '../http/failures.ts';
import { Field, valueOf } from '../http/fields.ts';
import { requestFields } from '../http/forwarding.ts';
import { FAULT_FIELD } from '../filters/request-filter.ts';
import type {
  Framing,
  IncomingResponse,
  OutgoingRequest,
  Upstream,
  UpstreamHandler,
} from '../http/messages.ts';
import { PassedBody } from '../upstream/retry/replay-body.ts';
import { applicationProtocol } from '../upstream/endpoint-transport.ts';
import type { OpenFlow } from './access-log.ts';
import type { Session } from './session.ts';
import { BodyReader, type BodySink, lastChunk } from '../http1/body.ts';
import { discardFlow, endFlow, flowAnswered, flowWaited } from './flow-accounts.ts';
import type { Http1Exchange } from './http1-exchange.ts';
import { failureResponse } from '../http1/failure-response.ts';
import { HeadError, type RequestHead } from '../http1/head.ts';
import { reasonPhrase } from '../http1/reason-phrases.ts';
import { splitTarget } from '../http1/render.ts';

const CRLF = Buffer.from('\r\n', 'latin1');
const EMPTY = Buffer.alloc(0);
/** Body bytes that may wait for a slow endpoint before the client has to wait, too. */
const MAX_WAITING = 64 * 1024;

/**
 * A request of an HTTP/1 client that is parsed and sent with `SessionTarget.open`, for the reasons that
 * `translates` has: its body is taken out of its framing, and the response's body is framed for the client.
 */
export class TranslatedExchange implements UpstreamHandler, BodySink {
  readonly #session: Session;
  readonly #head: RequestHead;
  readonly #onOver: (close: boolean, rest: Buffer) => void;
  readonly #outgoing: OutgoingRequest;
  readonly #body: BodyReader;
  readonly #exchange: Http1Exchange;
  #upstream: Upstream | undefined;
  /** Where it went last, for the access log. */
  #asked: Upstream | undefined;
  /** Bytes that came before there was an endpoint; later, bytes behind the request. */
  #held: Buffer = EMPTY;
  /** Bytes of the request's body that the endpoint's side holds back. */
  #waiting = 0;
  /**
   * The body that was passed on, kept until there is an answer, because an HTTP/2 endpoint may refuse the
   * request unseen.
   */
  #passed: PassedBody | undefined;
  #refusals = 0;
  #chunked = false;
  #close: boolean;
  #responded = false;
  /** Bytes of the response's body that a slow client has not taken; `Upstream.consumed` when it has. */
  #owed = 0;
  #over = false;

  /**
   * @param onOver called when the request has been answered: whether the client's connection is to be closed,
   * and the bytes behind the request
   */
  constructor(session: Session, exchange: Http1Exchange, onOver: (close: boolean, rest: Buffer) => void) {
    const { head } = exchange;
    this.#session = session;
    this.#head = head;
    this.#onOver = onOver;
    this.#body = new BodyReader(head.framing);
    this.#close = !head.keepAlive;
    this.#exchange = exchange;
    const { path, authority } = splitTarget(head.target, head.method);
    this.#outgoing = {
      method: head.method,
      path,
      authority: session.rules.host ?? authority ?? head.fields.find(({ lower }) => lower === 'host')?.value,
      version: head.minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1',
      fields: requestFields(head.fields, session.rules).map(lowerCase),
      framing: head.framing,
      client: session.rules.client,
      trace: exchange.trace,
    };
  }

  /** @param first bytes behind the head */
  start(first: Buffer): void {
    this.#held = first;
    void this.#open();
  }

  onClientData(chunk: Buffer): void {
    if (this.#upstream === undefined || this.#body.done) {
      this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
      if (this.#held.length > MAX_WAITING) this.#session.client.pause();
      return;
    }
    this.#forward(this.#upstream, chunk);
  }

  onClientDrain(): void {
    const owed = this.#owed;
    this.#owed = 0;
    if (owed > 0) this.#upstream?.consumed(owed);
  }

  get underWay(): OpenFlow {
    return [this.#session, this.#exchange, this.#asked];
  }

  /** Whether a part of the answer has been sent. */
  get responded(): boolean {
    return this.#responded;
  }

  /** The client is gone. */
  abandon(): void {
    if (this.#over) return;
    this.#over = true;
    this.#passed?.drop();
    this.#upstream?.abandon();
    endFlow(this.#session, this.#exchange, this.#asked);
  }

  onBodyBytes(chunk: Buffer): void {
    if (!this.#responded && !this.#over) this.#passed ??= new PassedBody(this.#upstream?.mayRefuse === true);
    this.#passed?.keep(chunk);
    this.#exchange.bytesIn += chunk.length;
    const sent = this.#upstream?.write(chunk) ?? 0;
    this.#waiting += chunk.length - sent;
    if (this.#waiting > MAX_WAITING) this.#session.client.pause();
  }

  onRequestSent(bytes: number): void {
    this.#waiting -= bytes;
    if (this.#waiting <= MAX_WAITING / 2) this.#session.client.resume();
  }

  onInterimResponse(status: number, fields: readonly Field[]): void {
    // 100 and 103 are for the client, unless it is too old to know them.
    if (this.#head.minor === 1) this.#session.client.send(render(status, fields, []));
  }

  onResponse({ status, fields, framing }: IncomingResponse): void {
    const { clock, client, draining } = this.#session;
    this.#exchange.status = status;
    this.#passed?.drop();
    flowAnswered(this.#exchange, clock.monotonic() - this.#exchange.startedAt, this.#upstream);
    this.#responded = true;
    if (draining() || client.retired || !this.#body.done) this.#close = true;
    const own = this.#frame(status, framing.kind, valueOf(fields, 'content-length'));
    if (this.#exchange.hold !== undefined) own.push(`${FAULT_FIELD}: ${this.#exchange.hold.mark}`);
    if (this.#close) own.push('connection: close');
    else if (this.#head.minor === 0) own.push('connection: keep-alive');
    client.send(render(status, fields, own));
  }

  /** Chooses how the client learns of the body's end. @returns the fields that say so */
  #frame(status: number, kind: Framing['kind'], length: string | undefined): string[] {
    if (this.#head.method === 'HEAD' || status === 204 || status === 304) return [];
    if (kind === 'none') return length === undefined ? ['content-length: 0'] : [];
    if (kind === 'length') return [];
    // Also where the body ends with the target's connection: the client's is used again.
    this.#chunked = this.#head.minor === 1;
    if (this.#chunked) return ['transfer-encoding: chunked'];
    // HTTP/1.0 learns of it by the end of the connection.
    this.#close = true;
    return [];
  }

  onResponseBody(chunk: Buffer): void {
    const { client } = this.#session;
    this.#exchange.bytesOut += chunk.length;
    if (this.#chunked) client.send(Buffer.from(`${chunk.length.toString(16)}\r\n`, 'latin1'));
    const open = client.send(chunk);
    if (this.#chunked) client.send(CRLF);
    if (open) this.#upstream?.consumed(chunk.length);
    else this.#owed += chunk.length;
  }

  onResponseEnd(trailers: readonly Field[] | undefined): void {
    if (this.#chunked) this.#session.client.send(lastChunk(trailers));
    if (!this.#body.done) this.#upstream?.abandon();
    this.#finish();
  }

  onFailure(failure: ProxyFailure, unprocessed: boolean): void {
    if (failure.isOurs) return this.#failed(failure);
    this.#upstream = undefined;
    if (this.#over) return;
    if (this.#responded) {
      this.#cut(failure);
    } else if (unprocessed && this.#passed?.whole !== false && this.#mayOpenAgain()) {
      void this.#openAgain(this.#refusals++);
    } else {
      this.#answer(failure);
    }
  }

  /** Ends the request, because there is no endpoint or for a mistake of ours. Never throws. */
  #failed(failure: ProxyFailure): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    if (this.#over) return;
    try {
      upstream?.abandon();
      if (this.#responded) this.#cut(failure);
      else this.#answer(failure);
    } catch (error) {
      this.#session.counters.caught(error);
      this.#over = true;
      this.#passed?.drop();
      discardFlow(this.#session, this.#exchange);
      this.#session.client.abort(failure);
    }
  }

  /** Half of a response is out: only a broken connection tells the client that it is not whole. */
  #cut(failure: ProxyFailure): void {
    this.#over = true;
    this.#passed?.drop();
    endFlow(this.#session, this.#exchange, this.#asked, failure);
    this.#session.client.abort(failure);
  }

  #mayOpenAgain(): boolean {
    const { clock, target } = this.#session;
    return target.mayOpenAgain(clock.monotonic() - this.#exchange.startedAt);
  }

  /** Sends a request again that its endpoint has not looked at. */
  async #openAgain(refusals: number): Promise<void> {
    try {
      await this.#session.target.untilOpenAgain(refusals);
    } catch (error) {
      return this.#failed(this.#session.counters.caught(error));
    }
    if (!this.#over) await this.#open();
  }

  async #open(): Promise<void> {
    try {
      const { target } = this.#session;
      const protocol = applicationProtocol(target.protocol, this.#outgoing.version);
      const upstream = await target.open(protocol, this.#outgoing, this, this.#refusals > 0);
      if (this.#over) {
        upstream.abandon();
        return;
      }
      this.#upstream = upstream;
      this.#asked = upstream;
      flowWaited(this.#session, this.#exchange);
      const held = this.#held;
      this.#held = EMPTY;
      this.#session.client.resume();
      this.#waiting = 0;
      for (const chunk of this.#passed?.chunks ?? []) this.#waiting += chunk.length - upstream.write(chunk);
      if (this.#body.done) this.#endRequest(upstream);
      this.#forward(upstream, held);
    } catch (error) {
      this.#failed(this.#session.counters.caught(error));
    }
  }

  #forward(upstream: Upstream, chunk: Buffer): void {
    try {
      const before = this.#body.done;
      const taken = this.#body.take(chunk, this);
      if (taken < chunk.length) this.#held = chunk.subarray(taken);
      if (!this.#body.done || before) return;
      this.#endRequest(upstream);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      // The target must not take what came so far for a whole request.
      this.#upstream = undefined;
      upstream.abandon();
      this.#close = true;
      const failure = new ProxyFailure('bad request', error.message);
      if (this.#responded) this.#cut(failure);
      else this.#answer(failure);
    }
  }

  #endRequest(upstream: Upstream): void {
    const { trailers } = this.#body;
    if (this.#head.framing.kind !== 'none')
      upstream.end(trailers.length === 0 ? undefined : trailers.map(lowerCase));
  }

  #answer(failure: ProxyFailure): void {
    const { client } = this.#session;
    const leaves = this.#session.leavesWith?.(failure) === true;
    if (!this.#body.done || failure.isOurs || leaves) this.#close = true;
    const meshed = this.#session.plainClient !== true;
    client.send(failureResponse(failure, this.#head.method === 'HEAD', this.#close, meshed));
    this.#exchange.status = failure.status;
    this.#finish(failure);
  }

  #finish(failure?: ProxyFailure): void {
    this.#over = true;
    this.#passed?.drop();
    endFlow(this.#session, this.#exchange, this.#asked, failure);
    this.#onOver(this.#close, this.#held);
  }
}

/** Field names in HTTP/2 are in lower case (RFC 9113 section 8.2.1). */
function lowerCase(field: Field): Field {
  const { name, value, about } = field;
  return name === about.text ? field : new Field(about.text, value, about);
}

/**
 * The head of a response in HTTP/1. HTTP/2 has no reason phrase, so one is added: some clients recognise no
 * response without it (h2load).
 * @param own further lines
 */
function render(status: number, fields: readonly Field[], own: readonly string[]): Buffer {
  const lines = [`HTTP/1.1 ${status} ${reasonPhrase(status)}`];
  // These must not have a Content-Length (RFC 9110 section 8.6).
  const bodiless = status < 200 || status === 204;
  for (const { name, lower, value } of fields)
    if (!bodiless || lower !== 'content-length') lines.push(`${name}: ${value}`);
  lines.push(...own);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

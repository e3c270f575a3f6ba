import type { Connection, ConnectionHandler } from '../io/connection.ts';
import { ProxyFailure } from '../http/failures.ts';
import { beginFlow, discardFlow, endFlow } from './flow-accounts.ts';
import type { OpenFlow } from './access-log.ts';
import type { Flow, Session } from './session.ts';
import type { ConnectionLease } from '../upstream/connection-lease.ts';
import { closeGracefully } from '../io/graceful-close.ts';
import { abandonLease, Http1Exchange, recordFailed } from './http1-exchange.ts';
import { type ForwardedClient, Http1Forwarder } from './http1-forwarder.ts';
import { PipelinedRequests } from './pipelined-requests.ts';
import { TranslatedExchange } from './http1-translated.ts';
import { HeadError, type RequestHead, type ResponseHead } from '../http1/head.ts';
import { failureResponse } from '../http1/failure-response.ts';
import { isServableTarget } from '../http1/render.ts';
import { UpgradedExchange } from './http1-upgraded.ts';

/** Bytes of pipelined requests that are held before the client is made to wait. */
const MAX_HELD = 64 * 1024;
/**
 * When the process is to end, a connection without a request is closed only after this time, milliseconds: a
 * request that is on its way would be lost.
 */
const DRAIN_IDLE_MS = 1000;

/**
 * An HTTP/1 connection of a client. Each request is balanced on its own; heads are parsed and rewritten,
 * bodies pass as the bytes that came. Pipelined requests are answered one after the other.
 */
export class Http1Session implements ConnectionHandler, Flow, ForwardedClient {
  readonly #session: Session;
  readonly #client: Connection;
  readonly held = new PipelinedRequests();
  #exchange: Http1Exchange | undefined;
  /** The request under way, instead of `#exchange`, where it is translated (`SessionTarget.translates`). */
  #translated: TranslatedExchange | undefined;
  /** The request whose connection has become a tunnel. */
  #upgraded: UpgradedExchange | undefined;
  readonly #forwarder: Http1Forwarder;
  /** The connection ends after the response under way: no other request is begun. */
  #closing = false;
  /** `#nextRequest` is at work; a request that is answered at once does not call it again. */
  #advancing = false;

  constructor(session: Session) {
    this.#session = session;
    this.#client = session.client;
    this.#forwarder = new Http1Forwarder(session, this);
  }

  /** @param first bytes that have been read already */
  start(first: Buffer): void {
    this.#client.handler = this;
    this.#client.resume();
    if (first.length > 0) this.#fromClient(first);
  }

  recheck(): void {
    const upgraded = this.#upgraded;
    if (upgraded !== undefined && !this.#client.closed) this.safely(() => upgraded.recheck());
  }

  drain(): void {
    const { clock } = this.#session;
    // Connections that are in use by then are told in their response.
    clock.after(DRAIN_IDLE_MS, () => {
      if (this.#idle && this.held.length === 0) closeGracefully(this.#client, clock);
    });
  }

  *underWay(): Generator<OpenFlow> {
    const exchange = this.#exchange;
    if (exchange !== undefined) yield [this.#session, exchange, exchange.lease?.endpoint];
    const other = this.#translated ?? this.#upgraded;
    if (other !== undefined) yield other.underWay;
  }

  onRetire(): void {
    this.drain();
  }

  onCaught(_: Connection, failure: ProxyFailure): void {
    this.fail(failure);
  }

  /** Nothing is under way. */
  get #idle(): boolean {
    return this.#exchange === undefined && this.#translated === undefined && this.#upgraded === undefined;
  }

  // --- events of the client's connection

  onData(_: Connection, chunk: Buffer): void {
    this.#fromClient(chunk);
  }

  onDrain(): void {
    this.#translated?.onClientDrain();
    this.#exchange?.lease?.connection.resume();
    if (!this.#idle || this.#closing) return;
    this.#client.resume();
    this.#nextRequest();
  }

  onEnd(): void {
    this.#clientLeft(new Error('the client left before it had its answer'));
  }

  onClose(_: Connection, error: Error | undefined): void {
    this.#clientLeft(error);
    this.#forwarder.end();
  }

  #fromClient(chunk: Buffer): void {
    const exchange = this.#exchange;
    // Once the last response has begun, only the rest of the request that it answers is still read.
    if (this.#closing && exchange?.requestBody.done !== false) return;
    if (this.#translated !== undefined) return this.#translated.onClientData(chunk);
    if (exchange === undefined || exchange.requestBody.done || exchange.lease === undefined) {
      this.held.add(chunk);
      if (exchange === undefined) this.#nextRequest();
      else if (this.held.length > MAX_HELD) this.#client.pause();
      return;
    }
    this.#forwarder.sendBody(exchange, exchange.lease, chunk);
  }

  /**
   * Begins the next request when its head is complete. A loop and no recursion, because thousands of
   * pipelined requests may be refused in one turn.
   */
  #nextRequest(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      let begun = true;
      while (begun && this.#idle && !this.#closing) begun = this.#tryNextRequest();
    } catch (error) {
      this.fail(this.#session.counters.caught(error));
    }
    this.#advancing = false;
  }

  /**
   * Runs work of a timer or promise, above which no failure boundary stands: an exception ends this
   * connection.
   */
  safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(this.#session.counters.caught(error));
    }
  }

  /** Ends whatever is under way, for a mistake of ours. Never throws. */
  fail(failure: ProxyFailure): void {
    const exchange = this.#exchange;
    try {
      if (exchange !== undefined) this.#failExchange(exchange, failure);
      else if (this.#translated !== undefined) this.#translated.onFailure(failure, false);
      else if (this.#advancing && !this.#closing && !this.#client.closed) this.answer(failure, undefined);
      else {
        if (this.#upgraded === undefined) this.#failed(failure);
        else this.#upgraded.abort(failure);
        this.#client.abort(failure);
      }
    } catch (error) {
      this.#session.counters.caught(error);
      if (exchange !== undefined) discardFlow(this.#session, exchange);
      this.#exchange = undefined;
      this.#translated = undefined;
      this.#closing = true;
      this.#client.abort(failure);
    }
  }

  /** Counts a failure outside of any request. */
  #failed({ kind }: ProxyFailure): void {
    const { counters, target } = this.#session;
    counters.failure(kind, target.label);
  }

  #failExchange(exchange: Http1Exchange, failure: ProxyFailure): void {
    const { hold, response } = exchange;
    const lease = abandonLease(exchange);
    hold?.cancel();
    if (response === undefined) this.answer(failure, exchange, lease);
    else this.cut(failure, exchange, lease);
  }

  /** @returns whether there was one */
  #tryNextRequest(): boolean {
    if (this.#client.blocked) {
      // A client that does not read its answers gets no more of them.
      this.#client.pause();
      return false;
    }
    try {
      const head = this.held.nextHead();
      if (head === undefined) return false;
      this.#begin(head);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.answer(new ProxyFailure('bad request', error.message), undefined);
    }
    return true;
  }

  #begin(head: RequestHead): void {
    const { clock, target, clientName, tracer } = this.#session;
    const exchange = new Http1Exchange(head, clock.monotonic());
    if (tracer !== undefined) exchange.trace = tracer.begin(this.#session, exchange);
    this.#exchange = exchange;
    beginFlow(this.#session, exchange);
    const refusal = isServableTarget(head)
      ? this.#session.check(head)
      : new ProxyFailure('bad request', `${head.method} of that target is not served`);
    if (refusal !== undefined) return this.answer(refusal, exchange);
    if (target.filter === undefined) return this.#forward(exchange);
    exchange.hold = target.filter.pass(clientName, head, {
      admit: () => this.safely(() => this.#forward(exchange)),
      refuse: (failure) => this.safely(() => this.answer(failure, exchange)),
    });
  }

  #forward(exchange: Http1Exchange): void {
    if (!this.#forwarder.forward(exchange)) this.#translate(exchange);
  }

  /** For endpoints that speak HTTP/2, and for what only that path does, such as retries. */
  #translate(exchange: Http1Exchange): void {
    this.#exchange = undefined;
    this.#translated = new TranslatedExchange(this.#session, exchange, (close, rest) => {
      this.#translated = undefined;
      this.held.set(rest);
      this.#closing = close;
      this.goOn(false);
    });
    this.#translated.start(this.held.take());
  }

  // --- what the target's side asks for

  get exchange(): Http1Exchange | undefined {
    return this.#exchange;
  }

  closesBehind({ head, requestBody }: Http1Exchange, { framing }: ResponseHead): boolean {
    // The rest of an incomplete request stands where the next one would begin. So the connection ends, and
    // the client must be told, or it sends its next request into a closing connection (RFC 9112 section 9.6).
    const last = this.#session.draining() || this.#client.retired || !requestBody.done;
    this.#closing = last || !head.keepAlive || framing.kind === 'until close';
    return this.#closing;
  }

  over(): void {
    this.#exchange = undefined;
  }

  /** A request has been answered. */
  goOn(close: boolean): void {
    this.#closing ||= close;
    this.#client.resume();
    if (this.#closing) closeGracefully(this.#client, this.#session.clock);
    else this.#nextRequest();
  }

  upgrade(exchange: Http1Exchange, lease: ConnectionLease, head: ResponseHead, rest: Buffer): void {
    this.#exchange = undefined;
    this.#upgraded = new UpgradedExchange(this.#session, exchange, lease);
    this.#upgraded.start(head, { ofTarget: rest, ofClient: this.held.take() });
  }

  cut(failure: ProxyFailure, exchange: Http1Exchange, lease: ConnectionLease | undefined): void {
    this.#exchange = undefined;
    endFlow(this.#session, exchange, lease?.endpoint, failure);
    this.#client.abort(failure);
  }

  /**
   * The client is gone, or sends no more, which is the same: a socket that is closed says so by a FIN, as one
   * that is half-closed does, and a target that works for nobody costs more than an answer for the rare
   * client that half-closes and reads on. So do Envoy, nginx (499), hyper (and with it Linkerd's proxies),
   * and Go's and Node's servers; of those that wait for an answer all the same, as HAProxy does without
   * `abortonclose`, none hears of a client that gives up. What was asked before and not begun is not begun;
   * answers that are complete still go out.
   */
  #clientLeft(error: Error | undefined): void {
    const exchange = this.#exchange;
    if (exchange !== undefined) return this.abort(exchange, error);
    const begun = this.#translated?.responded === true;
    this.#translated?.abandon();
    this.#translated = undefined;
    this.#leave(begun, error);
  }

  /** Ends the client's connection. @param begun half of a response is out, which is not to look whole */
  #leave(begun: boolean, error: Error | undefined): void {
    this.#closing = true;
    if (begun) this.#client.abort(error);
    else closeGracefully(this.#client, this.#session.clock);
  }

  /** The client is gone, or can no longer be answered. */
  abort(exchange: Http1Exchange, error: Error | undefined): void {
    this.#exchange = undefined;
    exchange.hold?.cancel();
    const { lease } = exchange;
    endFlow(this.#session, exchange, lease?.endpoint);
    if (lease !== undefined) {
      if (exchange.response === undefined) lease.endpoint.abandon();
      lease.connection.destroy();
    }
    this.#leave(exchange.response !== undefined, error);
  }

  /** Answers in the target's stead, saying why. */
  answer(failure: ProxyFailure, exchange: Http1Exchange | undefined, lease?: ConnectionLease): void {
    if (failure.breaks && exchange !== undefined) return this.cut(failure, exchange, lease);
    if (exchange === undefined) this.#failed(failure);
    else recordFailed(this.#session, exchange, lease, failure);
    this.#exchange = undefined;
    const whole = exchange !== undefined && exchange.requestBody.done && exchange.head.keepAlive;
    this.#closing = !whole || failure.isOurs || failure.kind === 'bad request';
    if (this.#session.leavesWith?.(failure) === true) this.#closing = true;
    const meshed = this.#session.plainClient !== true;
    this.#client.send(failureResponse(failure, exchange?.head.method === 'HEAD', this.#closing, meshed));
    this.goOn(false);
  }
}

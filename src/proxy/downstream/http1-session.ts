import { IDEMPOTENT } from '../http/messages.ts';
import type { Connection, ConnectionHandler } from '../io/connection.ts';
import { ProxyFailure } from '../http/failures.ts';
import { recordAccess } from './access-record.ts';
import type { Flow, Session } from './session.ts';
import type { ConnectionLease } from '../upstream/connection-lease.ts';
import { closeGracefully } from '../io/graceful-close.ts';
import { passOn } from '../http1/body.ts';
import {
  Http1Exchange,
  isStale,
  marked,
  needsConnection,
  recordFailed,
  takeResponse,
} from './http1-exchange.ts';
import { PipelinedRequests } from './pipelined-requests.ts';
import { PrivateConnection } from '../upstream/private-connection.ts';
import { TranslatedExchange } from './http1-translated.ts';
import {
  behind,
  headEnd,
  HeadError,
  HeadMemory,
  MAX_INTERIM,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from '../http1/head.ts';
import { failureResponse, lostConnection } from '../http1/failure-response.ts';
import { isServableTarget, renderRequest, renderResponse } from '../http1/render.ts';
import { UpgradedExchange } from './http1-upgraded.ts';

/** Bytes of pipelined requests that are held before the client is made to wait. */
const MAX_HELD = 64 * 1024;
/**
 * When the process is to end, a connection without a request is given this long: one on its way would be
 * lost.
 */
const DRAIN_IDLE_MS = 1000;

/**
 * An HTTP/1 connection of a client. Each request is balanced on its own; heads are parsed and rewritten,
 * bodies pass as the bytes that came. Pipelined requests are answered one after the other.
 */
export class Http1Session implements ConnectionHandler, Flow {
  readonly #session: Session;
  readonly #client: Connection;
  readonly #responseMemory = new HeadMemory();
  readonly #held = new PipelinedRequests();
  #exchange: Http1Exchange | undefined;
  /** Instead of an exchange, when endpoints speak HTTP/2, or proxies before them do. */
  #translated: TranslatedExchange | undefined;
  /** The request whose connection has become a tunnel. */
  #upgraded: UpgradedExchange | undefined;
  readonly #own = new PrivateConnection();
  #closing = false;
  #advancing = false;

  constructor(session: Session) {
    this.#session = session;
    this.#client = session.client;
  }

  /** @param first bytes that have been read already */
  start(first: Buffer): void {
    this.#client.handler = this;
    this.#client.resume();
    if (first.length > 0) this.#fromClient(first);
  }

  recheck(): void {
    const upgraded = this.#upgraded;
    if (upgraded !== undefined && !this.#client.closed) this.#safely(() => upgraded.recheck());
  }

  drain(): void {
    const { clock } = this.#session;
    // Those that are used by then are told by their response.
    clock.after(DRAIN_IDLE_MS, () => {
      if (this.#idle && this.#held.length === 0) closeGracefully(this.#client, clock);
    });
  }

  onRetire(connection: Connection): void {
    if (connection === this.#client) this.drain();
  }

  onCaught(_: Connection, failure: ProxyFailure): void {
    this.#fail(failure);
  }

  /** Nothing is under way. */
  get #idle(): boolean {
    return this.#exchange === undefined && this.#translated === undefined && this.#upgraded === undefined;
  }

  onData(connection: Connection, chunk: Buffer): void {
    if (connection === this.#client) this.#fromClient(chunk);
    else if (connection === this.#exchange?.lease?.connection) this.#fromTarget(this.#exchange, chunk);
  }

  onDrain(connection: Connection): void {
    this.#translated?.onClientDrain();
    const upstream = this.#exchange?.lease?.connection;
    if (connection === upstream) this.#client.resume();
    if (connection !== this.#client) return;
    upstream?.resume();
    if (!this.#idle || this.#closing) return;
    this.#client.resume();
    this.#nextRequest();
  }

  onEnd(connection: Connection): void {
    if (connection === this.#client) this.#clientLeft(new Error('the client left before it had its answer'));
    else if (connection === this.#exchange?.lease?.connection) this.#targetEnded(this.#exchange, undefined);
  }

  onClose(connection: Connection, error: Error | undefined): void {
    const exchange = this.#exchange;
    if (connection === this.#client) {
      this.#clientLeft(error);
      this.#own.end();
    } else if (exchange !== undefined && connection === exchange.lease?.connection) {
      this.#targetEnded(exchange, error);
    }
  }

  #fromClient(chunk: Buffer): void {
    const exchange = this.#exchange;
    // A response may be on its way, the last one, while the request that it answers is not complete.
    if (this.#closing && exchange?.requestBody.done !== false) return;
    if (this.#translated !== undefined) return this.#translated.onClientData(chunk);
    if (exchange === undefined || exchange.requestBody.done || exchange.lease === undefined) {
      this.#held.add(chunk);
      if (exchange === undefined) this.#nextRequest();
      else if (this.#held.length > MAX_HELD) this.#client.pause();
      return;
    }
    this.#sendBody(exchange, exchange.lease, chunk);
  }

  /**
   * Begins the next request when its head is complete. A loop, because thousands of pipelined requests may be
   * answered here, one at once after the other.
   */
  #nextRequest(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      let begun = true;
      while (begun && this.#idle && !this.#closing) begun = this.#tryNextRequest();
    } catch (error) {
      this.#fail(this.#session.counters.caught(error));
    }
    this.#advancing = false;
  }

  /**
   * Runs work of a timer or promise, above which no failure boundary stands: what it throws ends this
   * connection.
   */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(this.#session.counters.caught(error));
    }
  }

  /** Ends whatever is under way, for a mistake of ours. Never throws. */
  #fail(failure: ProxyFailure): void {
    const exchange = this.#exchange;
    try {
      if (exchange !== undefined) this.#failExchange(exchange, failure);
      else if (this.#translated !== undefined) this.#translated.onFailure(failure, false);
      else if (this.#advancing && !this.#closing && !this.#client.closed) this.#answer(failure, undefined);
      else {
        this.#session.counters.failure(failure.kind);
        this.#upgraded?.abort(failure);
        this.#client.abort(failure);
      }
    } catch (error) {
      this.#session.counters.caught(error);
      this.#exchange = undefined;
      this.#translated = undefined;
      this.#closing = true;
      this.#client.abort(failure);
    }
  }

  #failExchange(exchange: Http1Exchange, failure: ProxyFailure): void {
    const { lease, hold, response } = exchange;
    exchange.lease = undefined;
    // Nothing is known of the endpoint that could be held against it.
    lease?.endpoint.abandon();
    lease?.connection.destroy();
    hold?.cancel();
    if (response === undefined) this.#answer(failure, exchange, lease);
    else this.#cut(failure, exchange, lease);
  }

  /** @returns whether there was one */
  #tryNextRequest(): boolean {
    if (this.#client.blocked) {
      // Who does not read its answers gets no more of them.
      this.#client.pause();
      return false;
    }
    try {
      const head = this.#held.nextHead();
      if (head === undefined) return false;
      this.#begin(head);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#answer(new ProxyFailure('bad request', error.message), undefined);
    }
    return true;
  }

  #begin(head: RequestHead): void {
    const { counters, clock, target, clientName } = this.#session;
    const exchange = new Http1Exchange(head, clock.monotonic());
    this.#exchange = exchange;
    counters.request(target.label);
    const refusal = isServableTarget(head)
      ? this.#session.check(head)
      : new ProxyFailure('bad request', `${head.method} of that target is not served`);
    if (refusal !== undefined) return this.#answer(refusal, exchange);
    if (target.filter === undefined) return this.#forward(exchange);
    exchange.hold = target.filter.pass(clientName, head, {
      admit: () => this.#safely(() => this.#forward(exchange)),
      refuse: (failure) => this.#safely(() => this.#answer(failure, exchange)),
    });
  }

  #forward(exchange: Http1Exchange): void {
    const { target } = this.#session;
    const own = this.#own.take(exchange);
    if (own === undefined && target.translates && !needsConnection(exchange, target))
      return this.#translate(exchange);
    const lease = own ?? target.leaseNow();
    if (lease === undefined) void this.#lease(exchange, false);
    else this.#leased(exchange, lease);
  }

  /** Endpoints speak HTTP/2, or something that they do is only done so. */
  #translate(exchange: Http1Exchange): void {
    this.#exchange = undefined;
    this.#translated = new TranslatedExchange(this.#session, exchange, (close, rest) => {
      this.#translated = undefined;
      this.#held.set(rest);
      this.#closing = close;
      this.#goOn();
    });
    this.#translated.start(this.#held.take());
  }

  async #lease(exchange: Http1Exchange, fresh: boolean): Promise<void> {
    try {
      const lease = await this.#session.target.lease(fresh, 'http1', this.#session.rules.client);
      if (this.#exchange === exchange && !this.#client.closed) return this.#leased(exchange, lease);
      lease.endpoint.abandon();
      lease.connection.destroy();
    } catch (error) {
      const failure = this.#session.counters.caught(error);
      if (this.#exchange !== exchange) return;
      if (failure.isOurs) this.#fail(failure);
      else this.#safely(() => this.#answer(failure, exchange));
    }
  }

  #leased(exchange: Http1Exchange, lease: ConnectionLease): void {
    exchange.lease = lease;
    lease.connection.handler = this;
    if (lease.connection.closed) {
      this.#targetEnded(exchange, undefined);
      return;
    }
    lease.connection.resume();
    lease.connection.sendText(renderRequest(exchange.head, this.#session.rules));
    this.#client.resume();
    this.#sendHeldBody(exchange, lease);
  }

  #sendHeldBody(exchange: Http1Exchange, lease: ConnectionLease): void {
    if (exchange.requestBody.done || this.#held.length === 0) return;
    this.#sendBody(exchange, lease, this.#held.take());
  }

  #sendBody(exchange: Http1Exchange, lease: ConnectionLease, chunk: Buffer): void {
    try {
      const taken = exchange.requestBody.take(chunk);
      if (taken > 0) {
        exchange.bodySent = true;
        exchange.bytesIn += taken;
        if (!lease.connection.send(passOn(exchange.requestBody, chunk, taken))) this.#client.pause();
      }
      if (taken < chunk.length) this.#held.set(chunk.subarray(taken));
      if (exchange.requestBody.done && exchange.response !== undefined && exchange.responseBody.done)
        this.#finish(exchange);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      // The target must not take what came so far for a whole request, nor the client a second answer for the
      // rest of the first.
      if (exchange.response !== undefined) return this.#abort(exchange, error);
      lease.endpoint.abandon();
      lease.connection.destroy();
      exchange.lease = undefined;
      this.#answer(new ProxyFailure('bad request', error.message), exchange);
    }
  }

  #fromTarget(exchange: Http1Exchange, chunk: Buffer): void {
    try {
      if (exchange.response === undefined) this.#responseHead(exchange, chunk);
      else this.#responseBody(exchange, chunk);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#targetFailed(
        exchange,
        new ProxyFailure('bad target response', `${this.#session.target.label}: ${error.message}`),
      );
    }
  }

  #responseHead(exchange: Http1Exchange, chunk: Buffer): void {
    exchange.held = exchange.held.length === 0 ? chunk : Buffer.concat([exchange.held, chunk]);
    for (let end = headEnd(exchange.held); end >= 0; end = headEnd(exchange.held)) {
      const head = parseResponseHead(exchange.held, exchange.head.method, end, this.#responseMemory);
      exchange.personal ||= head.section.signsConnection;
      if (exchange.head.minor === 0 && head.framing.kind === 'chunked')
        throw new HeadError('HTTP/1.0 was asked for, chunks were sent');
      const rest = behind(exchange.held, end);
      if (head.status === 101) return this.#upgrade(exchange, head, rest);
      exchange.held = rest;
      if (head.status >= 200) return this.#finalHead(exchange, head, rest);
      if (++exchange.interim > MAX_INTERIM) throw new HeadError('there is no end of interim responses');
      // 100 and 103 are for the client, unless it is too old to know them.
      if (exchange.head.minor === 1) this.#client.sendText(renderResponse(head, 1, false));
    }
  }

  #finalHead(exchange: Http1Exchange, head: ResponseHead, rest: Buffer): void {
    takeResponse(this.#session, exchange, head);
    // Before the request is complete the rest of it stands where the next would begin: the connection ends,
    // and its client must know, or it sends the next one into the end (RFC 9112 section 9.6).
    const last = this.#session.draining() || this.#client.retired || !exchange.requestBody.done;
    this.#closing = last || !exchange.head.keepAlive || head.framing.kind === 'until close';
    this.#client.sendText(marked(exchange, renderResponse(head, exchange.head.minor, this.#closing)));
    if (rest.length > 0 || exchange.responseBody.done) this.#responseBody(exchange, rest);
  }

  #responseBody(exchange: Http1Exchange, chunk: Buffer): void {
    const taken = exchange.responseBody.take(chunk);
    if (taken > 0) {
      exchange.bytesOut += taken;
      if (!this.#client.send(passOn(exchange.responseBody, chunk, taken))) exchange.lease?.connection.pause();
    }
    if (!exchange.responseBody.done) return;
    // Bytes behind the response answer nothing that was asked: the connection is not used again.
    this.#finish(exchange, taken < chunk.length);
  }

  /** The response is complete; what becomes of the two connections? */
  #finish(exchange: Http1Exchange, spoiled = false): void {
    const { lease, response, requestBody } = exchange;
    this.#exchange = undefined;
    recordAccess(this.#session, exchange, lease?.endpoint);
    if (lease !== undefined) {
      if (response?.keepAlive !== true || !requestBody.done || spoiled) lease.connection.destroy();
      else if (exchange.personal) this.#own.keep(lease, this.#session.clock.monotonic());
      else this.#session.target.giveBack(lease);
    }
    this.#closing ||= !requestBody.done;
    this.#goOn();
  }

  /** A request has been answered. */
  #goOn(): void {
    this.#client.resume();
    if (this.#closing) closeGracefully(this.#client, this.#session.clock);
    else this.#nextRequest();
  }

  #upgrade(exchange: Http1Exchange, head: ResponseHead, rest: Buffer): void {
    const { lease } = exchange;
    if (lease === undefined || exchange.head.upgrade === undefined)
      throw new HeadError('an upgrade was not asked for');
    this.#exchange = undefined;
    this.#upgraded = new UpgradedExchange(this.#session, exchange, lease);
    this.#upgraded.start(head, { ofTarget: rest, ofClient: this.#held.take() });
  }

  /** The target sends no more, or its connection is gone. */
  #targetEnded(exchange: Http1Exchange, error: Error | undefined): void {
    if (exchange.response !== undefined && error === undefined && exchange.responseBody.end())
      return this.#finish(exchange, true);
    if (isStale(exchange) && !exchange.retried && IDEMPOTENT.has(exchange.head.method)) {
      // Its peer closed the unused connection at the moment it was taken: nothing was lost.
      exchange.lease?.endpoint.abandon();
      exchange.lease?.connection.destroy();
      exchange.lease = undefined;
      exchange.retried = true;
      void this.#lease(exchange, true);
      return;
    }
    this.#targetFailed(exchange, lostConnection(this.#session.target.label, exchange.response, error));
  }

  /** The exchange failed on the target's side. */
  #targetFailed(exchange: Http1Exchange, failure: ProxyFailure): void {
    const { lease } = exchange;
    exchange.lease = undefined;
    lease?.connection.destroy();
    // Half of a response is out: only a broken connection tells the client that it is not whole.
    if (exchange.response !== undefined) return this.#cut(failure, exchange, lease);
    lease?.endpoint.fail();
    this.#answer(failure, exchange, lease);
  }

  #cut(failure: ProxyFailure, exchange: Http1Exchange, lease: ConnectionLease | undefined): void {
    this.#exchange = undefined;
    this.#session.counters.failure(failure.kind);
    recordAccess(this.#session, exchange, lease?.endpoint, failure);
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
    if (exchange !== undefined) return this.#abort(exchange, error);
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
  #abort(exchange: Http1Exchange, error: Error | undefined): void {
    this.#exchange = undefined;
    exchange.hold?.cancel();
    const { lease } = exchange;
    recordAccess(this.#session, exchange, lease?.endpoint);
    if (lease !== undefined) {
      if (exchange.response === undefined) lease.endpoint.abandon();
      lease.connection.destroy();
    }
    this.#leave(exchange.response !== undefined, error);
  }

  /** Answers in the target's stead, saying why. */
  #answer(failure: ProxyFailure, exchange: Http1Exchange | undefined, lease?: ConnectionLease): void {
    if (failure.breaks && exchange !== undefined) return this.#cut(failure, exchange, lease);
    this.#session.counters.failure(failure.kind);
    if (exchange !== undefined) recordFailed(this.#session, exchange, lease, failure);
    this.#exchange = undefined;
    const whole = exchange !== undefined && exchange.requestBody.done && exchange.head.keepAlive;
    this.#closing = !whole || failure.isOurs || failure.kind === 'bad request';
    const meshed = this.#session.plainClient !== true;
    this.#client.send(failureResponse(failure, exchange?.head.method === 'HEAD', this.#closing, meshed));
    this.#goOn();
  }
}

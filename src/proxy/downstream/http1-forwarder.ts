import { ProxyFailure } from '../http/failures.ts';
import { IDEMPOTENT, MAX_INTERIM } from '../http/messages.ts';
import { passOn } from '../http1/body.ts';
import { lostConnection } from '../http1/failure-response.ts';
import {
  behind,
  headEnd,
  HeadError,
  HeadMemory,
  parseResponseHead,
  type ResponseHead,
} from '../http1/head.ts';
import { changedResponse, renderChangedRequest } from '../http1/changed-heads.ts';
import { renderRequest, renderResponse } from '../http1/render.ts';
import type { Connection, ConnectionHandler } from '../io/connection.ts';
import type { ConnectionLease } from '../upstream/connection-lease.ts';
import { PrivateConnection } from '../upstream/private-connection.ts';
import { tracedChanges } from '../tracing/traced-lease.ts';
import { endFlow, flowWaited } from './flow-accounts.ts';
import {
  abandonLease,
  askedOf,
  type Http1Exchange,
  isStale,
  marked,
  needsConnection,
  takeResponse,
} from './http1-exchange.ts';
import type { PipelinedRequests } from './pipelined-requests.ts';
import type { Session } from './session.ts';

/** What a forwarder needs of the client's session (`Http1Session`). */
export interface ForwardedClient {
  /** The request that is being forwarded; undefined: none is. */
  readonly exchange: Http1Exchange | undefined;
  /** What the client has sent and nobody has taken yet. */
  readonly held: PipelinedRequests;
  /**
   * To be called before the head of a response is sent.
   * @returns whether the client's connection ends after this response, so that the head has to say so
   */
  closesBehind(exchange: Http1Exchange, head: ResponseHead): boolean;
  /** The exchange is over; `goOn` follows. */
  over(): void;
  /** Begins the client's next request, or ends its connection. @param close whether it is to end */
  goOn(close: boolean): void;
  /** Runs work of a promise; what it throws ends the connection. */
  safely(work: () => void): void;
  /** Ends whatever is under way, for a mistake of ours. Never throws. */
  fail(failure: ProxyFailure): void;
  /** Answers in the target's stead, saying why. */
  answer(failure: ProxyFailure, exchange: Http1Exchange, lease?: ConnectionLease): void;
  /** Breaks the connection: half of a response is out. */
  cut(failure: ProxyFailure, exchange: Http1Exchange, lease: ConnectionLease | undefined): void;
  /** The client can no longer be answered. */
  abort(exchange: Http1Exchange, error: Error | undefined): void;
  /** The connections of both sides become a tunnel. @param rest bytes behind the head */
  upgrade(exchange: Http1Exchange, lease: ConnectionLease, head: ResponseHead, rest: Buffer): void;
}

/**
 * The target's side of a client's HTTP/1 connection: forwards its requests, one after the other, each on a
 * connection to an endpoint, and passes the responses on. One for all requests of a client.
 */
export class Http1Forwarder implements ConnectionHandler {
  readonly #session: Session;
  readonly #client: Connection;
  readonly #from: ForwardedClient;
  readonly #responseMemory = new HeadMemory<ResponseHead>();
  /** The endpoint's connection that the client has authenticated, if any. */
  readonly #own = new PrivateConnection();

  constructor(session: Session, from: ForwardedClient) {
    this.#session = session;
    this.#client = session.client;
    this.#from = from;
  }

  /**
   * Sends a request to an endpoint.
   * @returns false when it is to be translated: nothing has been done then
   */
  forward(exchange: Http1Exchange): boolean {
    const { target } = this.#session;
    const own = this.#ownFor(exchange);
    if (own === undefined && target.translates && !this.#isLeased(exchange)) return false;
    const lease = own ?? target.leaseNow();
    if (lease === undefined) void this.#lease(exchange, false);
    else {
      if (exchange.hold !== undefined) flowWaited(this.#session, exchange);
      this.#leased(exchange, lease);
    }
    return true;
  }

  /** The connection that the client has authenticated, where this request may go on it. */
  #ownFor(exchange: Http1Exchange): ConnectionLease | undefined {
    const { target } = this.#session;
    const own = this.#own.take(exchange);
    if (own === undefined || target.fits?.(own, { request: askedOf(exchange) }) !== false) return own;
    exchange.personal = exchange.head.section.signsConnection;
    own.endpoint.abandon();
    own.connection.destroy();
    return undefined;
  }

  #isLeased(exchange: Http1Exchange): boolean {
    const { target } = this.#session;
    return needsConnection(exchange, target) && target.answers?.(askedOf(exchange)) !== true;
  }

  /** The client is gone: closes the endpoint's connection that it has authenticated. */
  end(): void {
    this.#own.end();
  }

  // --- what the target's connection tells

  onData(connection: Connection, chunk: Buffer): void {
    const { exchange } = this.#from;
    if (exchange !== undefined && connection === exchange.lease?.connection)
      this.#fromTarget(exchange, chunk);
  }

  onDrain(connection: Connection): void {
    if (connection === this.#from.exchange?.lease?.connection) this.#client.resume();
  }

  onEnd(connection: Connection): void {
    this.onClose(connection, undefined);
  }

  onClose(connection: Connection, error: Error | undefined): void {
    const { exchange } = this.#from;
    if (exchange !== undefined && connection === exchange.lease?.connection)
      this.#targetEnded(exchange, error);
  }

  onCaught(_: Connection, failure: ProxyFailure): void {
    this.#from.fail(failure);
  }

  async #lease(exchange: Http1Exchange, fresh: boolean): Promise<void> {
    try {
      const { target, rules } = this.#session;
      const request = askedOf(exchange);
      const lease = await target.lease(fresh, 'http1', rules.client, { request });
      if (this.#from.exchange === exchange && !this.#client.closed) {
        flowWaited(this.#session, exchange);
        return this.#leased(exchange, lease);
      }
      lease.endpoint.abandon();
      lease.connection.destroy();
    } catch (error) {
      const failure = this.#session.counters.caught(error);
      if (this.#from.exchange !== exchange) return;
      if (failure.isOurs) this.#from.fail(failure);
      else this.#from.safely(() => this.#from.answer(failure, exchange));
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
    const { head, trace } = exchange;
    const { rules, target } = this.#session;
    const changes = trace === undefined ? lease.changes : tracedChanges(trace, lease, target.label);
    lease.connection.sendText(
      changes === undefined ? renderRequest(head, rules) : renderChangedRequest(head, rules, changes),
    );
    this.#client.resume();
    this.#sendHeldBody(exchange, lease);
  }

  #sendHeldBody(exchange: Http1Exchange, lease: ConnectionLease): void {
    if (exchange.requestBody.done || this.#from.held.length === 0) return;
    this.sendBody(exchange, lease, this.#from.held.take());
  }

  /** Sends what the client sent of the request's body. */
  sendBody(exchange: Http1Exchange, lease: ConnectionLease, chunk: Buffer): void {
    try {
      const taken = exchange.requestBody.take(chunk);
      if (taken > 0) {
        exchange.bodySent = true;
        exchange.bytesIn += taken;
        if (!lease.connection.send(passOn(exchange.requestBody, chunk, taken))) this.#client.pause();
      }
      if (taken < chunk.length) this.#from.held.set(chunk.subarray(taken));
      if (exchange.requestBody.done && exchange.response !== undefined && exchange.responseBody.done)
        this.#finish(exchange);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      // The target must not take what came so far for a whole request, nor the client a second answer for the
      // rest of the first.
      if (exchange.response !== undefined) return this.#from.abort(exchange, error);
      abandonLease(exchange);
      this.#from.answer(new ProxyFailure('bad request', error.message), exchange);
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
      if (head.status === 101) {
        if (exchange.lease === undefined || exchange.head.upgrade === undefined)
          throw new HeadError('an upgrade was not asked for');
        return this.#from.upgrade(exchange, exchange.lease, head, rest);
      }
      exchange.held = rest;
      if (head.status >= 200) return this.#finalHead(exchange, head, rest);
      if (++exchange.interim > MAX_INTERIM) throw new HeadError('there is no end of interim responses');
      // 100 and 103 are for the client, unless it is too old to know them.
      if (exchange.head.minor === 1) this.#client.sendText(renderResponse(head, 1, false));
    }
  }

  #finalHead(exchange: Http1Exchange, head: ResponseHead, rest: Buffer): void {
    takeResponse(this.#session, exchange, head);
    const last = this.#from.closesBehind(exchange, head);
    const sent = changedResponse(head, exchange.lease?.changes);
    this.#client.sendText(marked(exchange, renderResponse(sent, exchange.head.minor, last)));
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

  /**
   * The response is complete: the endpoint's connection is given back, kept for this client, or closed.
   * @param spoiled whether it cannot carry another request
   */
  #finish(exchange: Http1Exchange, spoiled = false): void {
    const { lease, response, requestBody } = exchange;
    this.#from.over();
    endFlow(this.#session, exchange, lease?.endpoint);
    if (lease !== undefined) {
      if (response?.keepAlive !== true || !requestBody.done || spoiled) lease.connection.destroy();
      else if (exchange.personal) this.#own.keep(lease, this.#session.clock.monotonic());
      else this.#session.target.giveBack(lease);
    }
    this.#from.goOn(!requestBody.done);
  }

  /** The target sends no more, or its connection is gone. */
  #targetEnded(exchange: Http1Exchange, error: Error | undefined): void {
    if (exchange.response !== undefined && error === undefined && exchange.responseBody.end())
      return this.#finish(exchange, true);
    if (isStale(exchange) && !exchange.retried && IDEMPOTENT.has(exchange.head.method)) {
      // The endpoint may have read the request before it closed the unused connection, so only an idempotent
      // one is sent again.
      exchange.trace?.failTry(lostConnection(this.#session.target.label, undefined, error));
      abandonLease(exchange);
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
    if (exchange.response !== undefined) return this.#from.cut(failure, exchange, lease);
    lease?.endpoint.fail();
    this.#from.answer(failure, exchange, lease);
  }
}

import type { ProxyFailure } from '../http/failures.ts';
import type { ConnectionLease } from '../upstream/connection-lease.ts';
import type { OpenFlow } from './access-log.ts';
import type { Session } from './session.ts';
import { spliceConnections } from '../io/splice.ts';
import { endFlow, flowAnswered } from './flow-accounts.ts';
import { type Http1Exchange, marked } from './http1-exchange.ts';
import type { ResponseHead } from '../http1/head.ts';
import { changedResponse } from '../http1/changed-heads.ts';
import { renderResponse } from '../http1/render.ts';

/**
 * A request whose connection has become a tunnel (101): bytes pass until both sides have ended, then it goes
 * into the access log.
 */
export class UpgradedExchange {
  readonly #session: Session;
  readonly #exchange: Http1Exchange;
  readonly #lease: ConnectionLease;
  /** Why it was ended here. */
  #failure: ProxyFailure | undefined;

  constructor(session: Session, exchange: Http1Exchange, lease: ConnectionLease) {
    this.#session = session;
    this.#exchange = exchange;
    this.#lease = lease;
  }

  /**
   * Passes the answer on, and joins the two connections.
   * @param first what either side has sent behind its head
   */
  start(head: ResponseHead, first: { readonly ofTarget: Buffer; readonly ofClient: Buffer }): void {
    const { clock, client } = this.#session;
    const exchange = this.#exchange;
    const { connection, endpoint } = this.#lease;
    exchange.status = 101;
    flowAnswered(exchange, clock.monotonic() - exchange.startedAt);
    client.sendText(marked(exchange, renderResponse(changedResponse(head, this.#lease.changes), 1, false)));
    if (first.ofTarget.length > 0) client.send(first.ofTarget);
    const before = { in: client.bytesRead, out: client.bytesWritten };
    spliceConnections(client, connection, (failure) => {
      endpoint.succeed(undefined);
      exchange.bytesIn += client.bytesRead - before.in;
      exchange.bytesOut += client.bytesWritten - before.out;
      endFlow(this.#session, exchange, this.#lease.endpoint, this.#failure ?? failure);
    });
    endpoint.accepted();
    if (first.ofClient.length > 0) connection.send(first.ofClient);
  }

  get underWay(): OpenFlow {
    return [this.#session, this.#exchange, this.#lease.endpoint];
  }

  /** Ends the tunnel where the client could not open it now. */
  recheck(): void {
    const { check, client } = this.#session;
    const refusal = check(this.#exchange.head) ?? this.#lease.refusal?.();
    if (refusal === undefined) return;
    this.abort(refusal);
    client.abort(refusal);
  }

  /**
   * Ends the target's side in a way that it cannot take for a proper end; the client's is to be ended too.
   */
  abort(failure: ProxyFailure): void {
    this.#failure ??= failure;
    this.#lease.connection.abort(failure);
  }
}

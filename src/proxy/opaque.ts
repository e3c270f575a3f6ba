import type { Attempt } from './balancer/attempt.ts';
import type { Connection, ConnectionHandler } from './connection.ts';
import { ProxyFailure } from './failures.ts';
import type { Hold } from './gate/gate.ts';
import type { Flow, Session } from './session.ts';
import { joinTunnel } from './tunnel.ts';

const EMPTY = Buffer.alloc(0);
/** Bytes that are held while a drill delays a connection, before its client is made to wait. */
const MAX_HELD = 64 * 1024;

/** Carries raw bytes: one connection to an endpoint for one of the client. Nothing is read before the endpoint is connected, so a server may speak first. */
export function serveOpaque(session: Session, first: Buffer): Flow {
  const flow = new OpaqueFlow(session);
  flow.start(first);
  return flow;
}

class OpaqueFlow implements Flow, ConnectionHandler {
  readonly #session: Session;
  readonly #startedAt: number;
  #upstream: Connection | undefined;
  #endpoint: Attempt | undefined;
  #failure: ProxyFailure | undefined;
  /** What came before there was an endpoint. */
  #held: Buffer = EMPTY;
  #clientEnded = false;
  /** Where something stands before the target that makes the connection wait. */
  #hold: Hold | undefined;

  constructor(session: Session) {
    this.#session = session;
    this.#startedAt = session.clock.monotonic();
  }

  start(first: Buffer): void {
    const { client, check, target, clientName } = this.#session;
    const refusal = check(undefined);
    if (refusal !== undefined) return this.#refuse(refusal);
    this.#held = first;
    if (target.gate === undefined) return this.#open();
    client.handler = this;
    this.#hold = target.gate.pass(clientName, undefined, {
      admit: () => this.#open(),
      refuse: (failure) => this.#refuse(failure),
    });
    // A client that leaves is noticed only when it is read from.
    if (this.#hold !== undefined) client.resume();
  }

  #open(): void {
    const { client } = this.#session;
    // Until there is an endpoint. A connection that does not read may still say that its peer has ended.
    client.handler = this;
    client.pause();
    this.#connect().catch((error: unknown) => {
      if (error instanceof ProxyFailure) this.#refuse(error);
      else client.destroy(error as Error);
    });
  }

  onData(_: Connection, chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    if (this.#held.length > MAX_HELD) this.#session.client.pause();
  }

  onEnd(): void {
    this.#clientEnded = true;
  }

  onDrain(): void {
    // Nothing has been sent.
  }

  onClose(): void {
    // With an endpoint being connected to, it is seen when there is one.
    if (this.#hold?.waits !== true) return;
    this.#hold.cancel();
    this.#log();
  }

  recheck(): void {
    const { client, check } = this.#session;
    if (client.closed || this.#failure !== undefined) return;
    const refusal = check(undefined);
    if (refusal === undefined) return;
    if (this.#hold?.waits === true) {
      this.#hold.cancel();
      return this.#refuse(refusal);
    }
    this.#upstream?.abort(refusal);
    this.#failure = refusal;
    this.#session.accounts.failure(refusal.kind, 'tcp');
    client.destroy(refusal);
  }

  drain(): void {
    // Nothing can be said to a raw connection; it has the grace to end by itself.
  }

  #refuse(failure: ProxyFailure): void {
    this.#failure = failure;
    this.#session.accounts.failure(failure.kind, 'tcp');
    this.#session.client.destroy(failure);
    this.#log();
  }

  async #connect(): Promise<void> {
    const { accounts, target, client, rules } = this.#session;
    accounts.request(target.label);
    const { endpoint, connection } = await target.lease(true, 'opaque', rules.client);
    if (client.closed) {
      endpoint.abandon();
      connection.destroy();
      return;
    }
    this.#upstream = connection;
    this.#endpoint = endpoint;
    client.established();
    // In hand until it ends, so that endpoints with long connections get fewer new ones.
    joinTunnel(client, connection, () => {
      endpoint.succeed(undefined);
      this.#log();
    });
    if (this.#held.length > 0 && !connection.send(this.#held)) client.pause();
    this.#held = EMPTY;
    if (this.#clientEnded) connection.end();
  }

  #log(): void {
    const { accessLog, target, clientName, via, client, clock } = this.#session;
    if (!accessLog.wants(undefined, this.#failure?.kind)) return;
    const endpoint = this.#endpoint;
    accessLog.record({
      client: clientName,
      via,
      target: target.label,
      endpoint: endpoint === undefined ? undefined : `${endpoint.host}:${endpoint.port}`,
      protocol: 'opaque',
      bytesIn: client.bytesRead,
      bytesOut: client.bytesWritten,
      totalMs: clock.monotonic() - this.#startedAt,
      failure: this.#failure?.kind,
      reason: this.#failure?.message,
      fault: this.#hold?.mark,
    });
  }
}

import { contained } from '../http/failure-boundary.ts';
import { type Connection, type ConnectionHandler, NOBODY } from '../io/connection.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { Hold } from '../filters/request-filter.ts';
import type { ConnectionLease } from '../upstream/connection-lease.ts';
import { beginFlow, type CountedFlow, discardFlow, endFlow } from './flow-accounts.ts';
import type { TargetCounters } from '../metrics/target-counters.ts';
import type { OpenFlow } from './access-log.ts';
import type { Flow, Session } from './session.ts';
import { spliceConnections, type SpliceWatch } from '../io/splice.ts';

const EMPTY = Buffer.alloc(0);
/** Bytes that are held while fault injection delays a connection, before its client is made to wait. */
const MAX_HELD = 64 * 1024;

/** Carries raw bytes: one connection to an endpoint for one of the client. A server may speak first. */
export class OpaqueFlow implements Flow, ConnectionHandler, CountedFlow {
  readonly #session: Session;
  readonly #watch: SpliceWatch | undefined;
  readonly startedAt: number;
  counted: TargetCounters | undefined;
  /** It has been counted as a raw connection. */
  #settled = false;
  #over = false;
  /** Bytes pass: it ends when both connections have. */
  #joined = false;
  /** Another session has taken the client over. */
  #left = false;
  #upstream: Connection | undefined;
  /** Its endpoint may change until the connection has been taken (`ConnectionOwner`). */
  #lease: ConnectionLease | undefined;
  #failure: ProxyFailure | undefined;
  /** Bytes that came before there was an endpoint. */
  #held: Buffer = EMPTY;
  #clientEnded = false;
  /** Where a request filter makes the connection wait. */
  hold: Hold | undefined;

  /** @param watch inspects the bytes until it is known that they may pass; absent: they may */
  constructor(session: Session, watch?: SpliceWatch) {
    this.#session = session;
    this.#watch = watch;
    this.startedAt = session.clock.monotonic();
  }

  get protocol(): 'opaque' {
    return 'opaque';
  }

  get bytesIn(): number {
    return this.#session.client.bytesRead;
  }

  get bytesOut(): number {
    return this.#session.client.bytesWritten;
  }

  *underWay(): Generator<OpenFlow> {
    if (!this.#over && this.counted !== undefined) yield [this.#session, this, this.#lease?.endpoint];
  }

  /** @param first bytes that have been read already, and may pass */
  start(first: Buffer): void {
    this.#safely(() => this.#start(first));
  }

  #start(first: Buffer): void {
    const { client, target, clientName } = this.#session;
    const refusal = this.#check();
    if (refusal !== undefined) return this.#refuse(refusal);
    this.#held = first;
    if (target.filter === undefined) return this.#open();
    client.handler = this;
    this.hold = target.filter.pass(clientName, undefined, {
      admit: () => this.#safely(() => this.#open()),
      refuse: (failure) => this.#safely(() => this.#refuse(failure)),
    });
    // A client that leaves is noticed only when it is read from.
    if (this.hold !== undefined) client.resume();
  }

  /** Passes bytes of the client on that were kept back until it was known that they may pass. */
  pass(bytes: Buffer): void {
    this.settle();
    if (this.#upstream === undefined) this.#keep(bytes);
    else if (!this.#upstream.send(bytes)) this.#session.client.pause();
  }

  /** It is known now to be a raw connection, and is counted as one. */
  settle(): void {
    // A flow that was ended may hear of more bytes.
    if (this.#settled || this.#over) return;
    this.#settled = true;
    beginFlow(this.#session, this);
  }

  /**
   * Ends the flow without touching the client, whose connection turned out to be HTTP: an HTTP session takes
   * it over and reads from it.
   */
  leave(): void {
    this.#left = true;
    discardFlow(this.#session, this);
    this.hold?.cancel();
    this.#lease?.endpoint.abandon();
    if (this.#upstream === undefined) return;
    this.#upstream.handler = NOBODY;
    this.#upstream.destroy();
  }

  /** Ends the flow, for a reason that came up after it began. */
  fail(failure: ProxyFailure): void {
    this.#upstream?.abort(failure);
    this.#failure ??= failure;
    this.#session.client.abort(failure);
  }

  /** Why the client may not use the target, or not with raw bytes; undefined: it may. */
  #check(): ProxyFailure | undefined {
    const { check, target } = this.#session;
    const refusal = check(undefined);
    if (refusal !== undefined || target.protocol === undefined || target.protocol === 'opaque')
      return refusal;
    return new ProxyFailure(
      'protocol not served',
      `${target.label} speaks HTTP, so nothing else is passed to it`,
    );
  }

  #open(): void {
    const { client } = this.#session;
    client.handler = this;
    // The client is not read until there is an endpoint, unless a watch looks at what it sends; that it has
    // ended is noticed also by a connection that does not read.
    if (this.#watch === undefined) client.pause();
    else client.resume();
    this.#connect().catch((error: unknown) => {
      const failure = this.#session.counters.caught(error);
      if (this.#left) return;
      if (failure.isOurs) this.#break(failure);
      else this.#safely(() => this.#refuse(failure));
    });
  }

  onData(connection: Connection, chunk: Buffer): void {
    const bytes = this.#watch === undefined ? chunk : this.#watch.inspect(connection, chunk);
    if (bytes !== undefined) this.#keep(bytes);
  }

  #keep(bytes: Buffer): void {
    this.#held = Buffer.concat([this.#held, bytes]);
    if (this.#held.length > MAX_HELD) this.#session.client.pause();
  }

  onEnd(connection: Connection): void {
    const rest = this.#watch?.rest(connection);
    if (rest !== undefined) this.#keep(rest);
    this.#clientEnded = true;
  }

  onDrain(): void {
    // Nothing has been sent.
  }

  onClose(): void {
    // While a dial is under way, the end of the client is handled when the dial is done.
    if (this.hold?.waits !== true) return;
    this.hold.cancel();
    this.#log();
  }

  onCaught(_: Connection, failure: ProxyFailure): void {
    this.#break(failure);
  }

  /**
   * Runs work of a timer or promise, above which no failure boundary stands: an exception ends this flow.
   */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#break(this.#session.counters.caught(error));
    }
  }

  /** Ends it for a mistake of ours, in a way that nobody takes for a proper end. Never throws. */
  #break(failure: ProxyFailure): void {
    const known = this.#failure !== undefined;
    this.#failure ??= failure;
    this.hold?.cancel();
    this.#lease?.endpoint.abandon();
    this.#upstream?.abort(failure);
    this.#session.client.abort(failure);
    if (known) return;
    if (!this.#joined) contained(this.#session.counters, () => this.#log());
  }

  recheck(): void {
    const { client } = this.#session;
    if (!client.closed && this.#failure === undefined) this.#safely(() => this.#recheck());
  }

  #recheck(): void {
    const refusal = this.#check();
    if (refusal === undefined) return;
    if (this.hold?.waits === true) {
      this.hold.cancel();
      return this.#refuse(refusal);
    }
    this.fail(refusal);
  }

  drain(): void {
    // A raw connection has no way to be told: it ends by itself within the grace of the shutdown, or is cut
    // after it.
  }

  #refuse(failure: ProxyFailure): void {
    this.#failure ??= failure;
    this.#session.client.destroy(failure);
    this.#log();
  }

  async #connect(): Promise<void> {
    const { target, client, rules } = this.#session;
    if (this.#watch === undefined) this.settle();
    const { alternatives } = client;
    const asked = alternatives === undefined ? undefined : { alternatives };
    const lease = await target.lease(true, 'opaque', rules.client, asked);
    const { connection } = lease;
    if (client.closed || this.#left) {
      lease.endpoint.abandon();
      connection.destroy();
      if (!this.#left) this.#log();
      return;
    }
    this.#upstream = connection;
    this.#lease = lease;
    client.established();
    // The endpoint is given back only when the flow ends: long flows count as load, so that endpoints that
    // have many get fewer new ones.
    const onEnd = (failure: ProxyFailure | undefined) => {
      this.#failure ??= failure;
      lease.endpoint.succeed(undefined);
      this.settle();
      this.#log();
    };
    this.#joined = true;
    spliceConnections(client, connection, onEnd, this.#watch);
    if (this.#held.length > 0 && !connection.send(this.#held)) client.pause();
    this.#held = EMPTY;
    if (this.#clientEnded) connection.end();
  }

  /** It has ended; does nothing the second time. */
  #log(): void {
    if (this.#over) return;
    this.#over = true;
    endFlow(this.#session, this, this.#lease?.endpoint, this.#failure);
  }
}

import { targetKey } from '../../api/ports/target-key.ts';
import { forEachIsolated } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { STREAMS_ALPN, STREAMS_CLIENTS_ALPN, TRANSPORT_HEADER_ALPN } from '../../api/names.ts';
import type { Identity, IdentitySource } from '../../identity/sources/identity.ts';
import { peerRefusalOf } from '../../identity/trust/trust.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import { tlsConnect, type TlsOptions } from '../../proxy/io/dial.ts';
import type { ProxyFailure } from '../../proxy/http/failures.ts';
import type { Field } from '../../proxy/http/fields.ts';
import { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import type { Http2User } from '../../proxy/http2/http2-options.ts';
import { DialledTunnel } from '../../proxy/streams/dialled-tunnel.ts';
import { MAX_STREAMS, STREAM_WINDOWS, tunnelHead } from '../../proxy/streams/stream-head.ts';
import { encodeTransportHeader } from '../../proxy/io/transport-header.ts';
import type { Logger } from '../../telemetry/log.ts';

/**
 * When every connection has so many streams, one more connection is opened, until there are `MAX_GROWN`.
 * Beyond that, connections are opened only when all are full.
 */
const GROW_AT = 32;
const MAX_GROWN = 4;
/** Most concurrent handshakes while it is not known whether the gateway supports stream mode. */
const MAX_LOOKS = 4;
/**
 * Least age at which a connection is replaced, so that new gateway replicas get their share; milliseconds.
 */
const MIN_AGE_MS = 8 * 60_000;
const MAX_AGE_MS = 12 * 60_000;
/** A connection beyond the first that has had no stream for this time is closed; milliseconds. */
const IDLE_MS = 60_000;
/** How soon a connection that could not be opened is tried again, milliseconds. */
const AGAIN_MS = 10_000;
/** How long an unused connection for a transport header is kept, milliseconds. */
const SPARE_MS = 3000;
/**
 * Keep-alive, milliseconds: all flows to a gateway are on these connections, so a dead one must be noticed
 * soon.
 */
const KEEP_ALIVE_MS = 2000;
const KEEP_ALIVE_TIMEOUT_MS = 3000;
const CONNECTIONS = 'connections to a gateway';
const EMPTY = Buffer.alloc(0);
/** ALPN protocols, the most capable first. The gateway's own order, by which it picks, is the same. */
const STREAMS_FIRST = [STREAMS_CLIENTS_ALPN, STREAMS_ALPN, TRANSPORT_HEADER_ALPN];

/** One address of a gateway. */
export interface GatewayEndpoint {
  readonly host: string;
  readonly port: number;
  /** Identity that its certificate must have. */
  readonly identity: string;
}

export interface GatewayPoolOptions {
  readonly identity: IdentitySource;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Whether stream mode is offered; default true. */
  readonly streams?: boolean;
  /** Idle time after which a PING is sent, milliseconds; default 2 s. */
  readonly keepAliveMs?: number;
  /** Called for each connection whose gateway has proven its identity. */
  readonly onProven?: TlsOptions['onProven'];
}

/** Which service a flow is for. */
export interface FlowTarget {
  readonly name: string;
  readonly port: number;
  /** The same as a field of a stream's head. */
  readonly field: Field;
  /** On whose behalf, where that is known (`clientField`). */
  readonly client?: Field | undefined;
}

/**
 * The connections to one gateway address. A gateway of ours gets a few mTLS connections, and the flows of all
 * routes are streams on these; any other gateway gets a connection with a transport header for each flow. The
 * gateway chooses in each handshake (ALPN), so offering both costs nothing.
 */
export class GatewayPool implements Http2User<Http2Connection> {
  readonly place: GatewayEndpoint;
  readonly #options: GatewayPoolOptions;
  /** Connections that take new streams. */
  readonly #pool = new Set<Http2Connection>();
  /** All open connections, with the timer of their replacement. */
  readonly #all = new Map<Http2Connection, Timer>();
  /** Open connections on which no transport header has been sent yet. */
  readonly #spares = new Set<Connection>();
  /** What the last handshake negotiated. */
  #mode: 'unknown' | 'streams' | 'header';
  #namesClients = false;
  #dialling: Promise<void> | undefined;
  readonly #looks = new Set<Promise<void>>();
  #noGrowthUntil = 0;
  #presented: Identity | undefined;
  #closed = false;
  #saidAt = Number.NEGATIVE_INFINITY;
  readonly #unsubscribe: () => void;

  constructor(place: GatewayEndpoint, options: GatewayPoolOptions) {
    this.place = place;
    this.#options = options;
    this.#mode = options.streams === false ? 'header' : 'unknown';
    this.#unsubscribe = options.identity.subscribe(() => this.#renew());
  }

  /** Whether the gateway supports stream mode; true until it is known. */
  get takesStreams(): boolean {
    return this.#mode !== 'header' || this.#pool.size > 0;
  }

  /** Whether the gateway wants clients to be named, as far as is known. */
  get namesClients(): boolean {
    return this.#namesClients;
  }

  /** Numbers of connections: those that take new flows, and all that are open. */
  get connections(): { readonly pooled: number; readonly open: number } {
    return { pooled: this.#pool.size, open: this.#all.size };
  }

  /** A connection with room for a stream, if there is one now: the one with fewest streams. */
  ready(): Http2Connection | undefined {
    let best: Http2Connection | undefined;
    for (const connection of this.#pool)
      if (connection.available && (best === undefined || connection.active < best.active)) best = connection;
    if (best !== undefined && best.active >= GROW_AT && this.#pool.size < MAX_GROWN) this.#grow();
    return best;
  }

  /**
   * Opens a connection where none has room for a stream.
   * @returns false when the gateway does not support stream mode
   * @throws ProxyFailure
   */
  async prepare(): Promise<boolean> {
    if (this.#mode === 'unknown') await this.#look();
    else if (this.#mode === 'streams') await this.#connectTogether();
    return this.#mode === 'streams' || this.ready() !== undefined;
  }

  /** A byte connection for one flow: data may be sent at once. @throws ProxyFailure */
  async open(target: FlowTarget, session: SessionProtocol): Promise<Connection> {
    for (;;) {
      const ready = this.ready();
      if (ready !== undefined) return this.#tunnel(ready, target, session);
      const spare = this.#takeSpare();
      if (spare !== undefined) {
        const { name, port } = target;
        spare.send(encodeTransportHeader({ name, port, protocol: session }));
        return spare;
      }
      if (this.#mode === 'streams') await this.#connectTogether();
      else if (this.#mode === 'unknown') await this.#look();
      else await this.#connect();
    }
  }

  /** Opens no further flows; connections close when their flows have ended. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    forEachIsolated(CONNECTIONS, this.#pool, (connection) => this.#retire(connection));
    forEachIsolated(CONNECTIONS, this.#spares, (spare) => spare.destroy());
  }

  /** Cuts all connections. */
  destroy(): void {
    this.close();
    forEachIsolated(CONNECTIONS, this.#all.keys(), (connection) => connection.destroy());
  }

  onRequest(): void {
    // A gateway opens no streams.
  }

  onTooLarge(): void {
    // A gateway sends no requests.
  }

  onStreamClosed(): void {
    // Nothing waits for room.
  }

  onSettings(connection: Http2Connection, maxStreams: number): void {
    // A connection that allows no streams is dropped; otherwise every attempt would leave one behind.
    if (maxStreams === 0) this.#retire(connection);
  }

  onGoAway(connection: Http2Connection): void {
    this.#pool.delete(connection);
    // So that the next flow finds a connection, or one that is being opened.
    if (this.#pool.size === 0 && !this.#closed) this.#grow();
  }

  onClosed(connection: Http2Connection): void {
    this.#pool.delete(connection);
    this.#all.get(connection)?.cancel();
    if (this.#all.delete(connection)) this.#options.counters.streams.connections--;
  }

  #tunnel(connection: Http2Connection, target: FlowTarget, session: SessionProtocol): Connection {
    const tunnel = new DialledTunnel({
      head: tunnelHead(target.field, session),
      client: target.client,
      remoteAddress: this.place.host,
      boundary: this.#options.counters,
      withRoom: (use) => this.#withRoom(use),
      onRefused: (failure) => this.#refused(target, failure),
    });
    // Paused until it has a handler, so that no data is lost.
    tunnel.pause();
    this.#options.counters.streams.tunnels++;
    tunnel.begin(connection);
    return tunnel;
  }

  async #withRoom(use: (connection: Http2Connection) => void): Promise<void> {
    let ready = this.ready();
    while (ready === undefined) {
      await this.#connectTogether();
      ready = this.ready();
    }
    use(ready);
  }

  #refused({ name, port }: FlowTarget, failure: ProxyFailure): void {
    const { counters, log, clock } = this.#options;
    counters.failure(failure.kind, 'tcp');
    // At most one line a second.
    if (clock.monotonic() - this.#saidAt < 1000) return;
    this.#saidAt = clock.monotonic();
    log.info(
      {
        target: targetKey(name, port),
        gateway: this.place.host,
        kind: failure.kind,
        reason: failure.message,
      },
      'flow refused by the gateway',
    );
  }

  #takeSpare(): Connection | undefined {
    for (const spare of this.#spares) {
      this.#spares.delete(spare);
      if (!spare.closed) return spare;
    }
    return undefined;
  }

  /** One handshake for all flows that wait. */
  #connectTogether(): Promise<void> {
    this.#dialling ??= this.#connect().finally(() => (this.#dialling = undefined));
    return this.#dialling;
  }

  /**
   * A handshake that finds out which mode the gateway supports. The first few flows each make one; the rest
   * of a burst waits for the first that succeeds. With a handshake for each of a thousand flows all would
   * time out, and with only one it could meet a replica that refuses, since one address may be several
   * gateways.
   */
  #look(): Promise<void> {
    if (this.#looks.size >= MAX_LOOKS) return firstThrough(this.#looks);
    const look = this.#connect().finally(() => this.#looks.delete(look));
    this.#looks.add(look);
    return look;
  }

  async #connect(): Promise<void> {
    const { identity, counters, clock, streams = true } = this.#options;
    const { host, port, identity: gateway } = this.place;
    const presented = identity.current();
    const { connection, protocol } = await tlsConnect(
      {
        label: `gateway ${gateway}`,
        counters: () => counters.shared,
        boundary: counters,
        clock,
        identity: () => presented,
        serverName: gateway,
        alpn: streams ? STREAMS_FIRST : [TRANSPORT_HEADER_ALPN],
        refuses: (socket, own) => peerRefusalOf(socket, own, clock.now(), gateway),
        onProven: (opened, socket) => this.#options.onProven?.(opened, socket),
      },
      { host, port },
    );
    this.#presented = presented;
    const namesClients = protocol === STREAMS_CLIENTS_ALPN;
    this.#namesClients = namesClients;
    if (namesClients || protocol === STREAMS_ALPN) {
      this.#mode = 'streams';
      this.#adopt(connection, namesClients);
    } else {
      this.#mode = 'header';
      this.#spares.add(connection);
      const drop = () => {
        if (this.#spares.delete(connection)) connection.destroy();
      };
      clock.after(SPARE_MS, drop, { unref: true });
    }
  }

  #adopt(bytes: Connection, namesClients: boolean): void {
    const { clock, random, counters } = this.#options;
    const connection = new Http2Connection(bytes, {
      role: 'client',
      clock,
      user: this,
      boundary: counters,
      maxOpened: MAX_STREAMS,
      namesClients,
      ...STREAM_WINDOWS,
      keepAliveMs: this.#options.keepAliveMs ?? KEEP_ALIVE_MS,
      keepAliveTimeoutMs: KEEP_ALIVE_TIMEOUT_MS,
    });
    counters.streams.connections++;
    const ageMs = MIN_AGE_MS + (MAX_AGE_MS - MIN_AGE_MS) * random();
    const old = clock.after(ageMs, () => this.#replace(connection), { unref: true });
    this.#all.set(connection, old);
    this.#pool.add(connection);
    connection.start(EMPTY);
    this.#watchIdle(connection, -1);
  }

  /** Opens one more connection in the background. */
  #grow(): void {
    const { clock, log } = this.#options;
    if (this.#dialling !== undefined || clock.monotonic() < this.#noGrowthUntil) return;
    this.#connectTogether().catch((error: unknown) => {
      this.#noGrowthUntil = clock.monotonic() + AGAIN_MS;
      log.debug(
        { gateway: this.place.host, cause: messageOf(error) },
        'no further connection to the gateway',
      );
    });
  }

  /** Replaces a connection by a new one; the old one closes when its flows have ended. */
  #replace(old: Http2Connection): void {
    const { clock } = this.#options;
    if (!this.#pool.has(old)) return;
    if (this.#closed) return this.#retire(old);
    this.#connect().then(
      () => this.#retire(old),
      () => clock.after(AGAIN_MS, () => this.#replace(old), { unref: true }),
    );
  }

  #retire(connection: Http2Connection): void {
    this.#pool.delete(connection);
    connection.retire();
  }

  /** Replaces connections after our own certificate was renewed. */
  #renew(): void {
    const current = this.#options.identity.current();
    if (current === undefined || current === this.#presented || this.#pool.size === 0) return;
    this.#presented = current;
    forEachIsolated(CONNECTIONS, this.#pool, (connection) => this.#replace(connection));
  }

  /** Closes a connection beyond the first that has had no stream for a whole period. */
  #watchIdle(connection: Http2Connection, openedBefore: number): void {
    const look = () => {
      if (!this.#pool.has(connection)) return;
      const idle = connection.active === 0 && connection.opened === openedBefore;
      if (idle && (this.#closed || this.#pool.size > 1)) this.#retire(connection);
      else this.#watchIdle(connection, connection.opened);
    };
    this.#options.clock.after(IDLE_MS, look, { unref: true });
  }
}

/** @throws as the first of them, when none succeeds */
async function firstThrough(looks: Iterable<Promise<void>>): Promise<void> {
  try {
    await Promise.any(looks);
  } catch (error) {
    throw error instanceof AggregateError ? error.errors[0] : error;
  }
}

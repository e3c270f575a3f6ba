import { targetKey } from '../../api/ports/target-key.ts';
import { eachAlone } from '../../base/isolation.ts';
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
 * Streams in hand on every connection from which one more is opened, and how many connections that may make.
 * Beyond, connections are opened only when all are full.
 */
const GROW_AT = 32;
const MAX_GROWN = 4;
/** Handshakes at a time with a gateway of which it is not known whether it takes streams. */
const MAX_LOOKS = 4;
/** Age at which a connection is replaced, so that gateway replicas that came later get their share. */
const MIN_AGE_MS = 8 * 60_000;
const MAX_AGE_MS = 12 * 60_000;
/** A connection beyond the first that has had no stream for so long is closed. */
const IDLE_MS = 60_000;
/** How soon what could not be replaced, or added, is tried again. */
const AGAIN_MS = 10_000;
/** A connection for a transport header that nobody has taken. */
const SPARE_MS = 3000;
/** All flows to a gateway are on these connections, so one whose gateway is gone has to be noticed soon. */
const KEEP_ALIVE_MS = 2000;
const KEEP_ALIVE_TIMEOUT_MS = 3000;
const CONNECTIONS = 'connections to a gateway';
const EMPTY = Buffer.alloc(0);
/** The protocol that can do most comes first. A gateway picks by an order of its own, which is the same. */
const STREAMS_FIRST = [STREAMS_CLIENTS_ALPN, STREAMS_ALPN, TRANSPORT_HEADER_ALPN];

/** One address of a gateway. */
export interface GatewayEndpoint {
  readonly host: string;
  readonly port: number;
  /** Whose certificate it must show. */
  readonly identity: string;
}

export interface GatewayPoolOptions {
  readonly identity: IdentitySource;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Offer stream mode; default true. */
  readonly streams?: boolean;
  /** Silence after which a gateway is asked whether it is still there; default 2 s. */
  readonly keepAliveMs?: number;
  /** Told of each connection to a gateway that has proven who it is. */
  readonly onProven?: TlsOptions['onProven'];
}

/** Which service a flow is for. */
export interface FlowTarget {
  readonly name: string;
  readonly port: number;
  /** The same as a stream says it. */
  readonly field: Field;
  /** On whose behalf, where that is known (`clientField`). */
  readonly client?: Field | undefined;
}

/**
 * The way to one gateway address: a few mTLS connections whose streams the flows of all routes share, where
 * the gateway is one of ours; a connection with a transport header for each flow where it is not. Which of
 * both the gateway says in each handshake (ALPN), so nothing is lost by asking.
 */
export class GatewayPool implements Http2User<Http2Connection> {
  readonly place: GatewayEndpoint;
  readonly #options: GatewayPoolOptions;
  /** Connections that take new streams. */
  readonly #pool = new Set<Http2Connection>();
  /** All that are open, with the time of their replacement. */
  readonly #all = new Map<Http2Connection, Timer>();
  /** Connections whose gateway wants a transport header, without one. */
  readonly #spares = new Set<Connection>();
  /** What the last handshake said. */
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

  /** Whether flows may travel as streams, as far as is known. */
  get takesStreams(): boolean {
    return this.#mode !== 'header' || this.#pool.size > 0;
  }

  /** Whether the gateway wants to know on whose behalf streams are, as far as is known. */
  get namesClients(): boolean {
    return this.#namesClients;
  }

  /** Connections that take new flows, and all that have some. */
  get connections(): { readonly pooled: number; readonly open: number } {
    return { pooled: this.#pool.size, open: this.#all.size };
  }

  /** A connection with room for a stream, if there is one now: the one with least in hand. */
  ready(): Http2Connection | undefined {
    let best: Http2Connection | undefined;
    for (const connection of this.#pool)
      if (connection.available && (best === undefined || connection.active < best.active)) best = connection;
    if (best !== undefined && best.active >= GROW_AT && this.#pool.size < MAX_GROWN) this.#grow();
    return best;
  }

  /**
   * Sees to it that there is a connection with room.
   * @returns false when the gateway takes no streams
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

  /** Nobody is going to open anything here any more: connections end with their flows. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    eachAlone(CONNECTIONS, this.#pool, (connection) => this.#retire(connection));
    eachAlone(CONNECTIONS, this.#spares, (spare) => spare.destroy());
  }

  /** Ends everything. */
  destroy(): void {
    this.close();
    eachAlone(CONNECTIONS, this.#all.keys(), (connection) => connection.destroy());
  }

  onRequest(): void {
    // A gateway begins no streams.
  }

  onTooLarge(): void {
    // Nor does it send requests.
  }

  onStreamClosed(): void {
    // Room is looked for when it is needed.
  }

  onSettings(connection: Http2Connection, maxStreams: number): void {
    // A connection without room for any stream is not kept: each try would leave one more.
    if (maxStreams === 0) this.#retire(connection);
  }

  onGoAway(connection: Http2Connection): void {
    this.#pool.delete(connection);
    // The next flow should find a connection, or at least one on its way.
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
    // Nothing may be lost before somebody listens.
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
    // One line a second says as much as all.
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

  /** One handshake for all that wait. */
  #connectTogether(): Promise<void> {
    this.#dialling ??= this.#connect().finally(() => (this.#dialling = undefined));
    return this.#dialling;
  }

  /**
   * A handshake that says who is there. The first few wait for nobody else's. The rest of a burst waits for
   * the first of these that succeeds: when each of a thousand has its own, all of them run out of time; and
   * one address may be several gateways, of which one refuses at once.
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
        account: () => counters.shared,
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

  /** One more, without anybody waiting for it. */
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

  /** Gives a connection's place to a new one; it ends with its flows. */
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

  /** A new certificate: connections that showed the old one make room for others. */
  #renew(): void {
    const current = this.#options.identity.current();
    if (current === undefined || current === this.#presented || this.#pool.size === 0) return;
    this.#presented = current;
    eachAlone(CONNECTIONS, this.#pool, (connection) => this.#replace(connection));
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

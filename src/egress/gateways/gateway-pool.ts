import { forEachIsolated } from '../../base/isolation.ts';
import type { Timer } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { STREAMS_ALPN, STREAMS_CLIENTS_ALPN } from '../../api/names.ts';
import type { Identity } from '../../identity/sources/identity.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import type { Http2User } from '../../proxy/http2/http2-options.ts';
import { DialledTunnel } from '../../proxy/streams/dialled-tunnel.ts';
import { MAX_STREAMS, STREAM_WINDOWS, tunnelHead } from '../../proxy/streams/stream-head.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import { encodeTransportHeader } from '../../proxy/io/transport-header.ts';
import type { PathState } from '../../proxy/upstream/target-options.ts';
import { FirstThrough } from './first-through.ts';
import { FlowRefusals } from './flow-refusals.ts';
import { gatewayHandshake } from './gateway-handshake.ts';
import type { FlowTarget, GatewayEndpoint, GatewayPoolOptions } from './gateway-pool-options.ts';
import { TrunkEvidence } from './trunk-evidence.ts';

/**
 * When every connection has so many streams, one more connection is opened, until there are `MAX_GROWN`.
 * Beyond that, connections are opened only when all are full.
 */
const GROW_AT = 32;
const MAX_GROWN = 4;
/**
 * Least age at which a connection is replaced, so that new gateway replicas get their share; milliseconds.
 */
const MIN_AGE_MS = 8 * 60_000;
const MAX_AGE_MS = 12 * 60_000;
/** A connection beyond the first that has had no stream for this time is closed; milliseconds. */
const IDLE_MS = 60_000;
/** How soon a connection that could not be opened is tried again, milliseconds. */
const AGAIN_MS = 10_000;
/** How often a connection that its gateway has ended is replaced at once, milliseconds. */
const REPLACE_MS = 1000;
/**
 * Least time from a failed connection to one that only proves the gateway, milliseconds. A group asks twice a
 * second, and the failure takes a moment: with the same time here every second question would be in vain.
 */
const PROVE_MS = 250;
/** How long an unused connection for a transport header is kept, milliseconds. */
const SPARE_MS = 3000;
/**
 * Keep-alive, milliseconds: all flows to a gateway are on these connections, so a dead one must be noticed
 * soon.
 */
const KEEP_ALIVE_MS = 2000;
const KEEP_ALIVE_TIMEOUT_MS = 3000;
/**
 * The same while streams are open, milliseconds: requests on a dead connection are lost, or sent elsewhere,
 * after no more than both together.
 */
const KEEP_ALIVE_BUSY = { periodMs: 500, timeoutMs: 1000 };
const CONNECTIONS = 'connections to a gateway';
const EMPTY = Buffer.alloc(0);

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
  /** The handshake that all flows wait for (`#connectTogether`). */
  #dialling: Promise<void> | undefined;
  readonly #looks = new FirstThrough(() => this.#connect());
  /** After a failed attempt (monotonic milliseconds). */
  #noGrowthUntil = 0;
  /** Our certificate in the last handshake. */
  #presented: Identity | undefined;
  /** Before then, one that its gateway has ended is not replaced at once (monotonic milliseconds). */
  #noReplacementUntil = 0;
  #closed = false;
  #destroyed = false;
  /** A connection is kept open, whether or not anybody needs it now (`keepOpen`). */
  #keptOpen = false;
  /** The last connection was lost, or could not be opened, and none was opened since. */
  #lost = false;
  /**
   * Why the last connection could not be opened, and until when (monotonic milliseconds) none is tried for a
   * proof.
   */
  #failed: { readonly error: unknown; readonly until: number } | undefined;
  readonly #refusals: FlowRefusals;
  readonly #unsubscribe: () => void;
  readonly #evidence: TrunkEvidence;

  constructor(place: GatewayEndpoint, options: GatewayPoolOptions) {
    this.place = place;
    this.#refusals = new FlowRefusals(place.host, options);
    this.#options = options;
    this.#mode = options.streams === false ? 'header' : 'unknown';
    this.#unsubscribe = options.identity.subscribe(() => this.#renew());
    this.#evidence = new TrunkEvidence({ ...options, prove: () => this.#connectTogether() });
  }

  /** Whether the gateway supports stream mode; true until it is known. */
  get takesStreams(): boolean {
    return this.#mode !== 'header' || this.#pool.size > 0;
  }

  /** Whether the gateway wants clients to be named, as far as is known. */
  get namesClients(): boolean {
    return this.#namesClients;
  }

  /** What is known of its connections for streams; `good` where there has never been one. */
  get state(): PathState {
    if (this.#pool.size === 0) return this.#lost && this.#mode !== 'header' ? 'lost' : 'good';
    let worst: PathState = 'lost';
    for (const connection of this.#pool) {
      if (connection.spent) continue;
      if (!connection.doubtful) return 'good';
      worst = 'late';
    }
    return worst;
  }

  get #doubtful(): boolean {
    return this.#pool.size > 0 && this.state !== 'good';
  }

  /** What is known of the address by these connections (`TrunkEvidence`). */
  get report(): ReturnType<TrunkEvidence['report']> {
    return this.#evidence.report(this.#doubtful);
  }

  /**
   * For how long a connection has been open here without a break, milliseconds; undefined: none is, or it is
   * late with an answer. Without stream mode there is none that stays.
   */
  get provenMs(): number | undefined {
    return this.#pool.size === 0 ? undefined : this.#evidence.aliveMs(this.#doubtful);
  }

  /** Numbers of connections: those that take new flows, and all that are open. */
  get connections(): { readonly pooled: number; readonly open: number } {
    return { pooled: this.#pool.size, open: this.#all.size };
  }

  /**
   * A connection with room for a stream, if there is one now: the one with fewest streams. One whose peer is
   * late with its answer to a PING is the last choice, and another is opened: it may be that only this
   * connection is dead.
   */
  ready(): Http2Connection | undefined {
    let best: Http2Connection | undefined;
    for (const connection of this.#pool)
      if (connection.available && (best === undefined || isBetter(connection, best))) best = connection;
    if (best === undefined || this.#pool.size >= MAX_GROWN) return best;
    if (best.active >= GROW_AT || best.doubtful) this.#grow();
    return best;
  }

  /**
   * Opens a connection where none has room for a stream.
   * @returns false when the gateway does not support stream mode
   * @throws ProxyFailure
   */
  async prepare(): Promise<boolean> {
    if (this.#mode === 'unknown') await this.#looks.look();
    else if (this.#mode === 'streams') await this.#connectTogether();
    return this.#mode === 'streams' || this.ready() !== undefined;
  }

  /**
   * As `prepare`, in the background. All targets of all routes ask, so a connection is tried at most four
   * times a second; in between they hear why the last one could not be opened. @throws ProxyFailure
   */
  async prove(): Promise<boolean> {
    const failed = this.#failed;
    if (failed !== undefined && this.#options.clock.monotonic() < failed.until) throw failed.error;
    return this.prepare();
  }

  /**
   * From now on a connection is open before anybody needs it: a group turns to this gateway when another is
   * lost, which is no time to begin with look-ups and handshakes. One that is lost is tried again anyway
   * (`TrunkEvidence`).
   */
  keepOpen(): void {
    if (this.#keptOpen) return;
    this.#keptOpen = true;
    this.#openFirst();
  }

  #openFirst(): void {
    if (this.#closed || this.#mode !== 'unknown') return;
    const { log } = this.#options;
    this.#looks.look().catch((error: unknown) => {
      log.debug({ gateway: this.place.host, cause: messageOf(error) }, 'no connection to a standby gateway');
    });
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
      else if (this.#mode === 'unknown') await this.#looks.look();
      else await this.#connect();
    }
  }

  /** Opens no further flows; connections close when their flows have ended. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    this.#evidence.close();
    forEachIsolated(CONNECTIONS, this.#pool, (connection) => this.#retire(connection));
    forEachIsolated(CONNECTIONS, this.#spares, (spare) => spare.destroy());
  }

  /** Cuts all connections. */
  destroy(): void {
    this.#destroyed = true;
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
    if (maxStreams !== 0 || !this.#pool.has(connection)) return;
    // A connection that allows no streams is dropped; otherwise every attempt would leave one behind.
    this.#retire(connection);
    this.#replaceEnded();
  }

  onGoAway(connection: Http2Connection): void {
    this.#pool.delete(connection);
    this.#replaceEnded();
  }

  /** Opens another where the gateway does not want the last one used any more. */
  #replaceEnded(): void {
    if (this.#pool.size > 0 || this.#closed) return;
    const now = this.#options.clock.monotonic();
    // A gateway that ends each connection as soon as it stands would have one after another.
    if (now < this.#noReplacementUntil) return this.#evidence.lost();
    this.#noReplacementUntil = now + REPLACE_MS;
    // So that the next flow finds a connection, or one that is being opened.
    this.#grow();
  }

  onClosed(connection: Http2Connection): void {
    if (this.#pool.delete(connection) && this.#pool.size === 0) {
      this.#lost = true;
      this.#evidence.lost();
    }
    this.#all.get(connection)?.cancel();
    if (this.#all.delete(connection)) this.#options.counters.streams.connections--;
  }

  #tunnel(connection: Http2Connection, target: FlowTarget, session: SessionProtocol): Connection {
    const tunnel = new DialledTunnel({
      head: tunnelHead(target.field, session),
      told: target,
      remoteAddress: this.place.host,
      boundary: this.#options.counters,
      withRoom: (use) => this.#withRoom(use),
      onRefused: (failure) => this.#refusals.add(target, failure),
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

  async #connect(): Promise<void> {
    const presented = this.#options.identity.current();
    try {
      await this.#handshake(presented);
      this.#lost = false;
      this.#failed = undefined;
      this.#evidence.succeeded();
    } catch (error) {
      this.#lost = true;
      this.#failed = { error, until: this.#options.clock.monotonic() + PROVE_MS };
      // Without a certificate of our own no gateway is to blame.
      if (presented !== undefined) this.#evidence.failed();
      throw error;
    }
  }

  async #handshake(presented: Identity | undefined): Promise<void> {
    const { clock } = this.#options;
    const { connection, protocol } = await gatewayHandshake(this.place, this.#options, presented);
    if (this.#destroyed) {
      connection.destroy();
      throw new ProxyFailure('connection failed', `the connections to ${this.place.host} have been cut`);
    }
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
      keepAliveBusy: this.#options.keepAliveMs === undefined ? KEEP_ALIVE_BUSY : undefined,
    });
    counters.streams.connections++;
    const ageMs = MIN_AGE_MS + (MAX_AGE_MS - MIN_AGE_MS) * random();
    const old = clock.after(ageMs, () => this.#replace(connection), { unref: true });
    this.#all.set(connection, old);
    this.#pool.add(connection);
    connection.start(EMPTY);
    this.#watchIdle(connection, -1);
    if (this.#closed) this.#retireUnused(connection);
  }

  /** Whoever has waited for a connection takes it in the turn in which it stands. */
  #retireUnused(connection: Http2Connection): void {
    const retire = () => {
      if (connection.active === 0) this.#retire(connection);
    };
    this.#options.clock.after(0, retire, { unref: true });
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
    if (current === undefined || current === this.#presented) return;
    if (this.#pool.size === 0) {
      // Without a certificate none could be opened, which is no fault of the gateway and not tried again.
      if (this.#keptOpen) this.#openFirst();
      return;
    }
    this.#presented = current;
    forEachIsolated(CONNECTIONS, this.#pool, (connection) => this.#replace(connection));
  }

  /** Closes a connection beyond the first that has had no stream for a whole period. */
  #watchIdle(connection: Http2Connection, openedBefore: number): void {
    const look = () => {
      if (!this.#pool.has(connection)) return;
      const idle = connection.active === 0 && connection.nextStreamId === openedBefore;
      if (idle && (this.#closed || this.#pool.size > 1)) this.#retire(connection);
      else this.#watchIdle(connection, connection.nextStreamId);
    };
    this.#options.clock.after(IDLE_MS, look, { unref: true });
  }
}

/** Whether a new stream is better opened on `one` than on `other`. */
function isBetter(one: Http2Connection, other: Http2Connection): boolean {
  if (one.doubtful !== other.doubtful) return other.doubtful;
  return one.active < other.active;
}

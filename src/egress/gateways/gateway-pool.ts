import { forEachIsolated } from '../../base/isolation.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { STREAMS_ALPN, STREAMS_CLIENTS_ALPN } from '../../api/names.ts';
import type { Identity } from '../../identity/sources/identity.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import type { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import { DialledTunnel } from '../../proxy/streams/dialled-tunnel.ts';
import { tunnelHead } from '../../proxy/streams/stream-head.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import { encodeTransportHeader } from '../../proxy/io/transport-header.ts';
import type { RoundTripTimes } from '../../proxy/http2/round-trip.ts';
import type { EndpointCounts } from '../../proxy/upstream/balancer/endpoint.ts';
import type { PathState } from '../../proxy/upstream/target-options.ts';
import { FirstThrough } from './first-through.ts';
import { FlowRefusals } from './flow-refusals.ts';
import { gatewayHandshake } from './gateway-handshake.ts';
import type { FlowTarget, GatewayEndpoint, GatewayPoolOptions } from './gateway-pool-options.ts';
import { TrunkEvidence } from './trunk-evidence.ts';
import { Trunks } from './trunks.ts';

/**
 * When every connection has so many streams, one more connection is opened, until there are `MAX_GROWN`.
 * Beyond that, connections are opened only when all are full.
 */
const GROW_AT = 32;
const MAX_GROWN = 4;
/** How soon a connection that could not be opened is tried again, milliseconds. */
const AGAIN_MS = 10_000;
/**
 * Least time from a failed connection to one that only proves the gateway, milliseconds. A group asks twice a
 * second, and the failure takes a moment: with the same time here every second question would be in vain.
 */
const PROVE_MS = 250;
/** How long an unused connection for a transport header is kept, milliseconds. */
const SPARE_MS = 3000;

/**
 * The connections to one gateway address. A gateway of ours gets a few mTLS connections, and the flows of all
 * routes are streams on these; any other gateway gets a connection with a transport header for each flow. The
 * gateway chooses in each handshake (ALPN), so offering both costs nothing.
 */
export class GatewayPool {
  readonly place: GatewayEndpoint;
  /** A list of it alone, for the many routes to a gateway with one address. */
  readonly alone: readonly GatewayPool[] = [this];
  /** What all routes have sent to it. */
  readonly counts: EndpointCounts = { requests: 0, failures: 0 };
  readonly #options: GatewayPoolOptions;
  readonly #trunks: Trunks;
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
    this.#trunks = new Trunks(options, {
      connect: () => this.#connect(),
      openAnother: () => this.#openAnother(),
      onLost: () => {
        this.#lost = true;
        this.#evidence.lost();
      },
      onEndedAgain: () => this.#evidence.lost(),
    });
    this.#evidence = new TrunkEvidence({ ...options, prove: () => this.#connectTogether() });
  }

  /** How flows travel to it, as the last handshake said. */
  get mode(): 'unknown' | 'streams' | 'header' {
    return this.#mode;
  }

  /** Whether the gateway supports stream mode; true until it is known. */
  get takesStreams(): boolean {
    return this.#mode !== 'header' || this.#trunks.pooled.size > 0;
  }

  /** Whether the gateway wants clients to be named, as far as is known. */
  get namesClients(): boolean {
    return this.#namesClients;
  }

  /** What is known of its connections for streams; `good` where there has never been one. */
  get state(): PathState {
    if (this.#trunks.pooled.size === 0) return this.#lost && this.#mode !== 'header' ? 'lost' : 'good';
    let worst: PathState = 'lost';
    for (const connection of this.#trunks.pooled) {
      if (connection.spent) continue;
      if (!connection.doubtful) return 'good';
      worst = 'late';
    }
    return worst;
  }

  get #doubtful(): boolean {
    return this.#trunks.pooled.size > 0 && this.state !== 'good';
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
    return this.#trunks.pooled.size === 0 ? undefined : this.#evidence.aliveMs(this.#doubtful);
  }

  /** Streams on its connections. */
  get streams(): number {
    return this.#trunks.streams;
  }

  /** How long round trips take; undefined: not measured, which without stream mode nobody does. */
  get roundTrip(): RoundTripTimes | undefined {
    return this.#trunks.roundTrip;
  }

  /** Numbers of connections: those that take new flows, and all that are open. */
  get connections(): { readonly pooled: number; readonly open: number } {
    return { pooled: this.#trunks.pooled.size, open: this.#trunks.open };
  }

  /**
   * A connection with room for a stream, if there is one now: the one with fewest streams. One whose peer is
   * late with its answer to a PING is the last choice, and another is opened: it may be that only this
   * connection is dead.
   */
  ready(): Http2Connection | undefined {
    let best: Http2Connection | undefined;
    for (const connection of this.#trunks.pooled)
      if (connection.available && (best === undefined || isBetter(connection, best))) best = connection;
    if (best === undefined || this.#trunks.pooled.size >= MAX_GROWN) return best;
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
    this.#trunks.close();
    forEachIsolated('connections to a gateway', this.#spares, (spare) => spare.destroy());
  }

  /** Cuts all connections. */
  destroy(): void {
    this.#destroyed = true;
    this.close();
    this.#trunks.destroy();
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
      const trunk = this.#trunks.add(connection, namesClients);
      const current = this.#options.identity.current();
      // Renewed while it was being opened, when it was not among those that are replaced then.
      if (current !== undefined && current !== presented) this.#trunks.replace(trunk);
    } else {
      this.#mode = 'header';
      this.#spares.add(connection);
      const drop = () => {
        if (this.#spares.delete(connection)) connection.destroy();
      };
      clock.after(SPARE_MS, drop, { unref: true });
    }
  }

  /** Opens one more connection beside those that serve, unless that has failed just now. */
  #grow(): void {
    if (this.#options.clock.monotonic() >= this.#noGrowthUntil) this.#openAnother();
  }

  #openAnother(): void {
    const { clock, log } = this.#options;
    if (this.#dialling !== undefined) return;
    this.#connectTogether().catch((error: unknown) => {
      this.#noGrowthUntil = clock.monotonic() + AGAIN_MS;
      log.debug(
        { gateway: this.place.host, cause: messageOf(error) },
        'no further connection to the gateway',
      );
    });
  }

  /** Replaces connections after our own certificate was renewed. */
  #renew(): void {
    const current = this.#options.identity.current();
    if (current === undefined || current === this.#presented) return;
    if (this.#trunks.pooled.size === 0) {
      // Without a certificate none could be opened, which is no fault of the gateway and not tried again.
      if (this.#keptOpen) this.#openFirst();
      return;
    }
    this.#presented = current;
    this.#trunks.replaceAll();
  }
}

/** Whether a new stream is better opened on `one` than on `other`. */
function isBetter(one: Http2Connection, other: Http2Connection): boolean {
  if (one.doubtful !== other.doubtful) return other.doubtful;
  return one.active < other.active;
}

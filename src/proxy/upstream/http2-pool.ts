import type { Clock } from '../../base/clock.ts';
import type { EndpointState, KnownEndpoints } from './balancer/endpoint.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { Connection } from '../io/connection.ts';
import { ProxyFailure } from '../http/failures.ts';
import { Http2Connection } from '../http2/http2-connection.ts';
import type { Http2User } from '../http2/http2-options.ts';

const EMPTY = Buffer.alloc(0);
/**
 * Receive windows, in bytes: a stream gets 5 MB/s over a round trip of 50 ms. What a hundred streams that
 * nobody reads may hold stays below `maxUnconsumed`, so that they never stall the others.
 */
const WINDOWS = {
  streamWindow: 256 * 1024,
  connectionWindow: 8 * 1024 * 1024,
  maxUnconsumed: 32 * 1024 * 1024,
} as const;
/**
 * Streams on a connection before its SETTINGS have come, to an endpoint that has never said how many it
 * takes: servers that take few refuse the rest of a burst, and their clients give up.
 */
const TRUSTED_STREAMS = 1;
/** A server whose SETTINGS have not come for so long is taken to have no limit (RFC 9113 section 6.5.2). */
const SETTINGS_MS = 1000;
/** Most dials to one endpoint at a time. */
const MAX_DIALS = 8;
/**
 * Streams for which a new connection is expected to have room, where the endpoint has not said how many it
 * takes.
 */
const EXPECTED_STREAMS = 100;

/** How connections are opened and kept. */
export interface Http2PoolOptions {
  readonly clock: Clock;
  /** As `Http2Options.boundary`. */
  readonly boundary?: Boundary;
  readonly dial: (endpoint: EndpointState) => Promise<Connection>;
  /** Whether an endpoint is asked by PING whether it is still there: proxies are, applications are not. */
  readonly pings: (endpoint: EndpointState) => boolean;
  /** How long a connection without streams is kept, milliseconds; default 60,000, at most twice as long. */
  readonly idleMs?: number;
}

/** A request that waits for room for its stream. */
interface Waiter {
  /** How many had waited in this pool before it. */
  readonly nth: number;
  readonly resolve: (connection: Http2Connection) => void;
  readonly reject: (error: unknown) => void;
}

/** The connections to one endpoint, and who waits for them. */
interface EndpointPool {
  readonly connections: Set<Http2Connection>;
  /** In the order in which they came. */
  readonly waiting: Waiter[];
  /** How many have waited so far. */
  waited: number;
  /** Dials that are under way. */
  dials: number;
  /** How many connections were made so far. */
  made: number;
  /** Streams that it takes on a connection, by its last SETTINGS; undefined: it has not said. */
  streams: number | undefined;
}

/**
 * The HTTP/2 connections to the endpoints of one target: as many to each as its streams need. Streams of all
 * clients share them; where there is no room, they wait and get it in the order in which they came.
 */
export class Http2Pool implements Http2User<Http2Connection> {
  readonly #options: Http2PoolOptions;
  readonly #pools = new Map<EndpointState, EndpointPool>();
  readonly #owners = new Map<Http2Connection, EndpointState>();
  /** Endpoints that are no longer the target's and still have a pool. */
  #retired: ReadonlySet<EndpointState> = new Set();

  constructor(options: Http2PoolOptions) {
    this.#options = options;
  }

  /** A connection with room for a stream; undefined: there is none now, or others wait for one. */
  ready(endpoint: EndpointState): Http2Connection | undefined {
    const pool = this.#pools.get(endpoint);
    return pool === undefined || pool.waiting.length > 0 ? undefined : withRoom(pool);
  }

  /**
   * The same, with room kept for the stream that the caller opens on it next (`Http2Connection.reserve`).
   */
  take(endpoint: EndpointState): Http2Connection | undefined {
    const found = this.ready(endpoint);
    found?.reserve();
    return found;
  }

  /** As `take`, waiting for one, and dialling where none is on the way. @throws what the dial throws */
  async connection(endpoint: EndpointState): Promise<Http2Connection> {
    const pool = this.#poolOf(endpoint);
    const found = this.take(endpoint);
    if (found !== undefined) return found;
    const room = new Promise<Http2Connection>((resolve, reject) => {
      pool.waiting.push({ nth: pool.waited++, resolve, reject });
    });
    this.#dialForWaiting(endpoint, pool);
    return room;
  }

  /** The target's endpoints are these now: connections to others are closed when their streams are done. */
  keepOnly(endpoints: KnownEndpoints): void {
    const gone = [...this.#pools.keys()].filter((endpoint) => !endpoints.has(endpoint));
    this.#retired = new Set([...this.#retired, ...gone].filter((endpoint) => this.#pools.has(endpoint)));
    for (const endpoint of gone) {
      const pool = this.#pools.get(endpoint);
      for (const connection of pool?.connections ?? []) this.onStreamClosed(connection);
      if (pool !== undefined) this.#prune(endpoint, pool);
    }
  }

  onRequest(): void {
    // A server begins no streams.
  }

  onTooLarge(): void {
    // Nor does it send requests.
  }

  onSettings(connection: Http2Connection, maxStreams: number): void {
    const endpoint = this.#owners.get(connection);
    const pool = endpoint === undefined ? undefined : this.#pools.get(endpoint);
    if (endpoint === undefined || pool === undefined) return;
    if (maxStreams === 0) return this.#takesNone(connection, endpoint, pool);
    pool.streams = maxStreams;
    this.#serve(endpoint, pool);
  }

  onStreamClosed(connection: Http2Connection): void {
    const endpoint = this.#owners.get(connection);
    const pool = endpoint === undefined ? undefined : this.#pools.get(endpoint);
    if (endpoint === undefined || pool === undefined) return;
    if (pool.waiting.length > 0) this.#serve(endpoint, pool);
    if (connection.active === 0 && (this.#retired.has(endpoint) || connection.spent)) connection.destroy();
  }

  onGoAway(connection: Http2Connection): void {
    const endpoint = this.#owners.get(connection);
    if (endpoint !== undefined) this.#forget(connection, endpoint);
  }

  onClosed(connection: Http2Connection): void {
    const endpoint = this.#owners.get(connection);
    this.#owners.delete(connection);
    if (endpoint !== undefined) this.#forget(connection, endpoint);
  }

  /**
   * Dials for those who wait: as many connections as their streams need, at most `MAX_DIALS` at a time, less
   * those whose SETTINGS have not come, which may have room.
   */
  #dialForWaiting(endpoint: EndpointState, pool: EndpointPool): void {
    const unsettled = [...pool.connections].filter(({ settled, spent }) => !settled && !spent).length;
    const wanted = Math.ceil(pool.waiting.length / (pool.streams ?? EXPECTED_STREAMS));
    const most = Math.min(wanted, MAX_DIALS);
    while (pool.dials + unsettled < most) void this.#dial(endpoint, pool);
  }

  async #dial(endpoint: EndpointState, pool: EndpointPool): Promise<void> {
    pool.dials++;
    const { waited, made } = pool;
    try {
      const bytes = await this.#options.dial(endpoint).finally(() => pool.dials--);
      pool.made++;
      this.#connected(bytes, endpoint, pool);
    } catch (error) {
      // Who had waited before this dial began is rejected although other dials are under way: where requests
      // keep coming there always is one. Later ones wait for those dials, and so do all where a connection
      // was made meanwhile.
      const before = pool.made === made ? pool.waiting.findIndex(({ nth }) => nth >= waited) : 0;
      const left = pool.dials === 0 || before < 0 ? pool.waiting.length : before;
      // The balancer picks them another endpoint.
      for (const { reject } of pool.waiting.splice(0, left)) reject(error);
      this.#prune(endpoint, pool);
    }
  }

  #connected(bytes: Connection, endpoint: EndpointState, pool: EndpointPool): void {
    const { clock, boundary } = this.#options;
    const connection = new Http2Connection(bytes, {
      role: 'client',
      clock,
      user: this,
      ...(boundary === undefined ? {} : { boundary }),
      trustedStreams: pool.streams ?? TRUSTED_STREAMS,
      ...(this.#options.pings(endpoint) ? {} : { keepAliveMs: 'off' as const }),
      ...WINDOWS,
    });
    this.#pools.set(endpoint, pool);
    pool.connections.add(connection);
    this.#owners.set(connection, endpoint);
    connection.start(EMPTY);
    this.#watchIdle(connection, -1);
    if (!connection.settled) {
      const trust = () => {
        connection.trust();
        this.#serve(endpoint, pool);
      };
      clock.after(SETTINGS_MS, trust, { unref: true });
    }
    this.#serve(endpoint, pool);
  }

  /**
   * An endpoint that takes no streams counts as one that cannot be connected to: more connections would have
   * no room either.
   */
  #takesNone(connection: Http2Connection, { host, port }: EndpointState, pool: EndpointPool): void {
    pool.streams = undefined;
    pool.connections.delete(connection);
    const text = `${host}:${port} takes no streams (SETTINGS_MAX_CONCURRENT_STREAMS is 0)`;
    for (const { reject } of pool.waiting.splice(0)) reject(new ProxyFailure('connection failed', text));
    connection.retire();
  }

  /** Gives room to those who wait, as far as there is any, and dials for the others. */
  #serve(endpoint: EndpointState, pool: EndpointPool): void {
    while (pool.waiting.length > 0) {
      const connection = withRoom(pool);
      if (connection === undefined) break;
      connection.reserve();
      pool.waiting.shift()?.resolve(connection);
    }
    if (pool.waiting.length > 0) this.#dialForWaiting(endpoint, pool);
  }

  /**
   * Closes a connection that has had no stream for a whole period.
   * @param nextStreamId of the connection a period ago: where it is another now, there was a stream
   */
  #watchIdle(connection: Http2Connection, nextStreamId: number): void {
    const { clock, idleMs = 60_000 } = this.#options;
    const look = () => {
      if (connection.closed) return;
      if (connection.active === 0 && connection.nextStreamId === nextStreamId) connection.destroy();
      else this.#watchIdle(connection, connection.nextStreamId);
    };
    clock.after(idleMs, look, { unref: true });
  }

  #poolOf(endpoint: EndpointState): EndpointPool {
    let pool = this.#pools.get(endpoint);
    if (pool === undefined) {
      pool = { connections: new Set(), waiting: [], waited: 0, dials: 0, made: 0, streams: undefined };
      this.#pools.set(endpoint, pool);
    }
    return pool;
  }

  #forget(connection: Http2Connection, endpoint: EndpointState): void {
    const pool = this.#pools.get(endpoint);
    if (pool === undefined) return;
    pool.connections.delete(connection);
    if (pool.waiting.length > 0) this.#dialForWaiting(endpoint, pool);
    this.#prune(endpoint, pool);
  }

  /**
   * Forgets the pool of a retired endpoint that has nothing left; `streams` of others is kept without
   * connections.
   */
  #prune(endpoint: EndpointState, pool: EndpointPool): void {
    if (!this.#retired.has(endpoint) || pool.connections.size > 0) return;
    if (pool.waiting.length === 0 && pool.dials === 0) this.#pools.delete(endpoint);
  }
}

function withRoom(pool: EndpointPool): Http2Connection | undefined {
  for (const connection of pool.connections) if (connection.available) return connection;
  return undefined;
}

import type { Clock } from '../../base/clock.ts';
import type { EndpointState } from '../balancer/endpoint.ts';
import type { Connection } from '../connection.ts';
import { Http2Connection, type Http2User } from './connection.ts';

const EMPTY = Buffer.alloc(0);
/**
 * A stream gets 5 MB/s over a round trip of 50 ms. What a hundred streams that nobody reads may hold stays below the bound for the connection, so that they never stall the
 * others.
 */
const WINDOWS = {
  streamWindow: 256 * 1024,
  connectionWindow: 8 * 1024 * 1024,
  maxUnconsumed: 32 * 1024 * 1024,
} as const;

export interface Http2PoolOptions {
  readonly clock: Clock;
  readonly dial: (endpoint: EndpointState) => Promise<Connection>;
  /** How long a connection without streams is kept; default 60 s. */
  readonly idleMs?: number;
}

/** The HTTP/2 connections to the endpoints of one target: as many to each as its streams need. Streams of all clients share them. */
export class Http2Pool implements Http2User {
  readonly #options: Http2PoolOptions;
  readonly #connections = new Map<EndpointState, Set<Http2Connection>>();
  readonly #owners = new Map<Http2Connection, EndpointState>();
  /** Dials under way: whoever comes meanwhile waits for the same. */
  readonly #dialling = new Map<EndpointState, Promise<Http2Connection>>();
  #retired: ReadonlySet<EndpointState> = new Set();

  constructor(options: Http2PoolOptions) {
    this.#options = options;
  }

  /** A connection with room for a stream, if there is one now. */
  ready(endpoint: EndpointState): Http2Connection | undefined {
    for (const connection of this.#connections.get(endpoint) ?? [])
      if (connection.available) return connection;
    return undefined;
  }

  /** A connection with room for a stream. @throws ProxyFailure from the dial */
  async connection(endpoint: EndpointState): Promise<Http2Connection> {
    for (;;) {
      const found = this.ready(endpoint);
      if (found !== undefined) return found;
      let dialling = this.#dialling.get(endpoint);
      if (dialling === undefined) {
        dialling = this.#dial(endpoint).finally(() => this.#dialling.delete(endpoint));
        this.#dialling.set(endpoint, dialling);
      }
      const connection = await dialling;
      // Others that waited too may have filled it.
      if (connection.available) return connection;
    }
  }

  /** Closes the connections to endpoints that are no more, when their streams are done. */
  keepOnly(endpoints: ReadonlySet<EndpointState>): void {
    const gone = [...this.#connections.keys()].filter((endpoint) => !endpoints.has(endpoint));
    this.#retired = new Set(
      [...this.#retired, ...gone].filter((endpoint) => this.#connections.has(endpoint)),
    );
    for (const endpoint of gone)
      for (const connection of this.#connections.get(endpoint) ?? []) this.onStreamClosed(connection);
  }

  onRequest(): void {
    // A server begins no streams.
  }

  onTooLarge(): void {
    // Nor does it send requests.
  }

  onStreamClosed(connection: Http2Connection): void {
    const endpoint = this.#owners.get(connection);
    if (endpoint === undefined || connection.active > 0) return;
    if (this.#retired.has(endpoint) || connection.spent) connection.destroy();
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

  async #dial(endpoint: EndpointState): Promise<Http2Connection> {
    const bytes = await this.#options.dial(endpoint);
    const { clock } = this.#options;
    const connection = new Http2Connection(bytes, { role: 'client', clock, user: this, ...WINDOWS });
    const connections = this.#connections.get(endpoint) ?? new Set();
    this.#connections.set(endpoint, connections.add(connection));
    this.#owners.set(connection, endpoint);
    connection.start(EMPTY);
    this.#watchIdle(connection, -1);
    return connection;
  }

  /** Closes a connection that has had no stream for a whole period. */
  #watchIdle(connection: Http2Connection, openedBefore: number): void {
    const { clock, idleMs = 60_000 } = this.#options;
    const look = () => {
      if (connection.closed) return;
      if (connection.active === 0 && connection.opened === openedBefore) connection.destroy();
      else this.#watchIdle(connection, connection.opened);
    };
    clock.after(idleMs, look, { unref: true });
  }

  #forget(connection: Http2Connection, endpoint: EndpointState): void {
    const connections = this.#connections.get(endpoint);
    connections?.delete(connection);
    if (connections?.size === 0) this.#connections.delete(endpoint);
  }
}

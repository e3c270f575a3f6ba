import type { Clock } from '../../base/clock.ts';
import type { EndpointState, KnownEndpoints } from './balancer/endpoint.ts';
import type { Connection, ConnectionHandler } from '../io/connection.ts';

/** How many unused connections are kept, and how long. */
export interface Http1PoolOptions {
  readonly clock: Clock;
  /** How long an unused connection is kept, milliseconds. */
  readonly idleMs: number;
  /** Unused connections kept per endpoint. */
  readonly max: number;
}

/**
 * The unused HTTP/1 connections to the endpoints of one target. One timer for all: they come and go with
 * every request.
 */
export class Http1Pool {
  readonly #options: Http1PoolOptions;
  /** By endpoint; the one used last is at the end. */
  readonly #idle = new Map<EndpointState, Parked[]>();
  #timed = false;

  constructor(options: Http1PoolOptions) {
    this.#options = options;
  }

  /** Takes the one used last, which is the least likely to be closing; undefined: there is none. */
  take(endpoint: EndpointState): Connection | undefined {
    return this.#idle.get(endpoint)?.pop()?.connection;
  }

  /** Keeps a connection, or ends it when there are enough, and when it is to carry nothing new. */
  put(endpoint: EndpointState, connection: Connection): void {
    const { clock, idleMs, max } = this.#options;
    let idle = this.#idle.get(endpoint);
    if (idle === undefined) this.#idle.set(endpoint, (idle = []));
    if (idle.length >= max || connection.retired) {
      connection.destroy();
      return;
    }
    const parked = new Parked(connection, idle, clock.monotonic());
    idle.push(parked);
    connection.handler = parked;
    connection.resume();
    if (!this.#timed) this.#sweepIn(idleMs);
  }

  /** Ends the connections to endpoints that are no more. */
  keepOnly(endpoints: KnownEndpoints): void {
    for (const [endpoint, idle] of this.#idle) {
      if (endpoints.has(endpoint)) continue;
      this.#idle.delete(endpoint);
      for (const parked of idle.slice()) parked.end();
    }
  }

  #sweepIn(ms: number): void {
    this.#timed = true;
    this.#options.clock.after(ms, () => this.#sweep(), { unref: true });
  }

  /** Ends those that nobody has used for long, and comes back when the next one is due. */
  #sweep(): void {
    const { clock, idleMs } = this.#options;
    const now = clock.monotonic();
    this.#timed = false;
    let next = Infinity;
    for (const idle of this.#idle.values()) {
      for (const parked of idle.slice()) {
        if (parked.since + idleMs <= now) parked.end();
        else next = Math.min(next, parked.since + idleMs);
      }
    }
    if (next < Infinity) this.#sweepIn(next - now);
  }
}

/** An unused connection. If the endpoint sends anything on it, it is closed: nothing has been asked. */
class Parked implements ConnectionHandler {
  readonly connection: Connection;
  /** Monotonic milliseconds. */
  readonly since: number;
  readonly #among: Parked[];

  constructor(connection: Connection, among: Parked[], since: number) {
    this.connection = connection;
    this.#among = among;
    this.since = since;
  }

  /**
   * Destroys it. It is out of the pool at once: its close is told at the end of the event loop's turn, and
   * requests of the same turn must not be given what cannot carry them.
   */
  end(): void {
    this.#leave();
    this.connection.destroy();
  }

  onData(): void {
    this.end();
  }

  onEnd(): void {
    this.end();
  }

  onDrain(): void {
    // Nothing is sent on unused connections.
  }

  onRetire(): void {
    this.end();
  }

  onClose(): void {
    this.#leave();
  }

  #leave(): void {
    const at = this.#among.indexOf(this);
    if (at >= 0) this.#among.splice(at, 1);
  }
}

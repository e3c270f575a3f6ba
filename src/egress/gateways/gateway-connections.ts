import { targetKey } from '../../api/ports/target-key.ts';
import type { SocketAddress } from '../../base/address.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import type { Field } from '../../proxy/http/fields.ts';
import type { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import { targetField } from '../../proxy/streams/stream-head.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { StreamCarrier } from '../../proxy/upstream/target-options.ts';
import type { Route } from '../routes/routes.ts';
import type { GatewayPool } from './gateway-pool.ts';
import type { GatewayPools } from './gateway-pools.ts';

/**
 * How one route reaches the addresses of its gateway: the pools of connections that it uses, and the fields
 * that tell the gateway which service its streams are for.
 */
export class GatewayConnections implements StreamCarrier {
  readonly target: Field;
  readonly #route: Route;
  readonly #table: GatewayPools;
  readonly #counters: ProxyCounters;
  readonly #pools = new Map<string, GatewayPool>();
  #released = false;

  constructor(route: Route, table: GatewayPools, counters: ProxyCounters) {
    this.#route = route;
    this.#table = table;
    this.#counters = counters;
    this.target = targetField(targetKey(route.name, route.port));
  }

  /** Sets the gateway's current addresses. */
  update(hosts: readonly string[]): void {
    if (this.#released) return;
    const { port, identity } = this.#route.gateway;
    for (const [host, pool] of this.#pools) {
      if (hosts.includes(host)) continue;
      this.#pools.delete(host);
      this.#table.release(pool);
    }
    for (const host of hosts)
      if (!this.#pools.has(host)) this.#pools.set(host, this.#table.acquire({ host, port, identity }));
  }

  /** Releases all pools, once the route has no flows any more. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    for (const pool of this.#pools.values()) this.#table.release(pool);
    this.#pools.clear();
  }

  /**
   * A byte connection for one flow.
   * @param client the field `:client`, where the client is known
   * @throws ProxyFailure
   */
  async dial({ host }: SocketAddress, session: SessionProtocol, client?: Field): Promise<Connection> {
    const { name, port } = this.#route;
    return this.#to(host).open({ name, port, field: this.target, client }, session);
  }

  /** Whether the gateway at some address wants clients to be named, as far as is known. */
  get namesClients(): boolean {
    for (const pool of this.#pools.values()) if (pool.namesClients) return true;
    return false;
  }

  get possible(): boolean {
    for (const pool of this.#pools.values()) if (pool.takesStreams) return true;
    return false;
  }

  takes({ host }: SocketAddress): boolean {
    return this.#pools.get(host)?.takesStreams === true;
  }

  ready({ host }: SocketAddress): Http2Connection | undefined {
    const ready = this.#pools.get(host)?.ready();
    if (ready !== undefined) this.#counters.streams.requests++;
    return ready;
  }

  async prepare({ host }: SocketAddress): Promise<boolean> {
    return this.#to(host).prepare();
  }

  #to(host: string): GatewayPool {
    const pool = this.#pools.get(host);
    if (pool !== undefined) return pool;
    // The address was removed after the balancer had picked it.
    throw new ProxyFailure('connection failed', `${this.#route.label}: ${host} is no address of its gateway`);
  }
}

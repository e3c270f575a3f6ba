import { targetKey } from '../../api/ports/target-key.ts';
import type { SocketAddress } from '../../base/address.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import type { ToldOfConnection } from '../../proxy/io/dial.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import type { Field } from '../../proxy/http/fields.ts';
import type { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import { targetField } from '../../proxy/streams/stream-head.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { PathState, StreamCarrier } from '../../proxy/upstream/target-options.ts';
import type { RouteBackend } from '../routes/route.ts';
import type { GatewayPool } from './gateway-pool.ts';
import type { GatewayPools } from './gateway-pools.ts';

const NO_DRILL = (): boolean => false;

/**
 * How one route reaches the addresses of its gateway: the pools of connections that it uses, and the fields
 * that tell the gateway which service its streams are for.
 */
export class GatewayConnections implements StreamCarrier {
  readonly target: Field;
  readonly #route: RouteBackend & { readonly label: string };
  /** Of the whole egress. */
  readonly #table: GatewayPools;
  readonly #counters: ProxyCounters;
  /** Those that this route uses, by host. */
  readonly #pools = new Map<string, GatewayPool>();
  /** Whether a drill takes its cluster for dead: nothing new is sent there, what is under way goes on. */
  readonly #drilled: () => boolean;
  #released = false;

  constructor(
    route: RouteBackend & { readonly label: string },
    table: GatewayPools,
    counters: ProxyCounters,
    drilled: () => boolean = NO_DRILL,
  ) {
    this.#drilled = drilled;
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
   * @throws ProxyFailure
   */
  async dial(
    { host }: SocketAddress,
    session: SessionProtocol,
    told?: ToldOfConnection,
  ): Promise<Connection> {
    if (this.#drilled()) throw this.#drillFailure();
    const { name, port } = this.#route;
    return this.#to(host).open({ name, port, field: this.target, ...told }, session);
  }

  /** Whether the gateway at some address wants clients to be named, as far as is known. */
  get namesClients(): boolean {
    for (const pool of this.#pools.values()) if (pool.namesClients) return true;
    return false;
  }

  /** The longest of `GatewayPool.provenMs`. */
  get provenMs(): number | undefined {
    let longest: number | undefined;
    for (const { provenMs } of this.#pools.values())
      if (provenMs !== undefined && provenMs > (longest ?? -1)) longest = provenMs;
    return longest;
  }

  get possible(): boolean {
    if (this.#drilled()) return false;
    for (const pool of this.#pools.values()) if (pool.takesStreams) return true;
    return false;
  }

  get state(): PathState {
    let worst: PathState = 'good';
    for (const { state } of this.#pools.values()) {
      if (state === 'good') return 'good';
      if (worst !== 'lost') worst = state;
    }
    return worst;
  }

  stateOf({ host }: SocketAddress): PathState {
    return this.#pools.get(host)?.state ?? 'good';
  }

  takes({ host }: SocketAddress): boolean {
    return !this.#drilled() && this.#pools.get(host)?.takesStreams === true;
  }

  ready({ host }: SocketAddress): Http2Connection | undefined {
    const ready = this.#drilled() ? undefined : this.#pools.get(host)?.ready();
    if (ready !== undefined) this.#counters.streams.requests++;
    return ready;
  }

  async prepare({ host }: SocketAddress): Promise<boolean> {
    if (this.#drilled()) throw this.#drillFailure();
    return this.#to(host).prepare();
  }

  async prove({ host }: SocketAddress): Promise<boolean> {
    if (this.#drilled()) throw this.#drillFailure();
    return this.#to(host).prove();
  }

  #drillFailure(): ProxyFailure {
    return new ProxyFailure('connection failed', `${this.#route.label}: a drill takes its cluster for dead`);
  }

  #to(host: string): GatewayPool {
    const pool = this.#pools.get(host);
    if (pool !== undefined) return pool;
    // The address was removed after the balancer had picked it.
    throw new ProxyFailure('connection failed', `${this.#route.label}: ${host} is no address of its gateway`);
  }
}

import { targetKey } from '../../api/ports/target-key.ts';
import type { SocketAddress } from '../../base/address.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import type { ToldOfConnection } from '../../proxy/io/dial.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import type { Field } from '../../proxy/http/fields.ts';
import type { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import { targetField } from '../../proxy/streams/stream-head.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { EndpointCounts } from '../../proxy/upstream/balancer/endpoint.ts';
import type { PathState, StreamCarrier, TargetOptions } from '../../proxy/upstream/target-options.ts';
import { clusterOf, type RouteMember, type SingleRoute } from '../routes/route.ts';
import type { Drills } from './drills.ts';
import type { GatewayPool } from './gateway-pool.ts';
import type { GatewayPools } from './gateway-pools.ts';

/** What the routes of an egress share. */
export interface GatewayConnectionsOptions {
  readonly pools: GatewayPools;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  /** Drills that take clusters for dead; default: there are none. */
  readonly drills?: Pick<Drills, 'isDead'>;
}

/**
 * How one route reaches the addresses of its gateway: the pools of connections that it uses, and the fields
 * that tell the gateway which service its streams are for. They are the options of its targets themselves: a
 * copy for each backend of each Service would be most of what that costs.
 */
export class GatewayConnections implements StreamCarrier, TargetOptions {
  readonly label: string;
  readonly proxies = true;
  readonly #backend: SingleRoute | RouteMember;
  /** Of the whole egress. */
  readonly #options: GatewayConnectionsOptions;
  /** Those that this route uses, one for each host: mostly one. */
  #pools: readonly GatewayPool[] = [];
  #released = false;
  #target: Field | undefined;

  constructor(backend: SingleRoute | RouteMember, options: GatewayConnectionsOptions) {
    this.#backend = backend;
    this.label = backend.label;
    this.#options = options;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get random(): Random {
    return this.#options.random;
  }

  get counters(): ProxyCounters {
    return this.#options.counters;
  }

  get streams(): this {
    return this;
  }

  /**
   * What a target of it is made with. The field of its streams is made too: the members of a group, whose
   * targets are made one after the other, share it then (`targetField`).
   */
  forTarget(): TargetOptions {
    this.#target ??= this.#field();
    return this;
  }

  get target(): Field {
    return (this.#target ??= this.#field());
  }

  #field(): Field {
    return targetField(targetKey(this.#backend.name, this.#backend.port));
  }

  /** Sets the gateway's current addresses. */
  update(hosts: readonly string[]): void {
    if (this.#released) return;
    const { port, identity } = this.#backend.gateway;
    const { pools } = this.#options;
    const former = this.#pools;
    const cluster = clusterOf(this.#backend);
    const now = hosts.map((host) => this.#poolOf(host) ?? pools.acquire({ host, port, identity }, cluster));
    this.#pools = now.length === 1 && now[0] !== undefined ? now[0].alone : now;
    for (const pool of former) if (!this.#pools.includes(pool)) pools.release(pool);
  }

  /** As `GatewayPool.keepOpen`, for each address. */
  keepOpen(): void {
    for (const pool of this.#pools) pool.keepOpen();
  }

  /** Releases all pools, once the route has no flows any more. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    for (const pool of this.#pools) this.#options.pools.release(pool);
    this.#pools = [];
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
    if (this.#isDrilled) throw this.#drillFailure();
    const { name, port } = this.#backend;
    const { label, target: field } = this;
    return this.#to(host).open({ name, port, label, field, ...told }, session);
  }

  /** Whether the gateway at some address wants clients to be named, as far as is known. */
  get namesClients(): boolean {
    for (const pool of this.#pools) if (pool.namesClients) return true;
    return false;
  }

  /** The longest of `GatewayPool.provenMs`. */
  get provenMs(): number | undefined {
    let longest: number | undefined;
    for (const { provenMs } of this.#pools)
      if (provenMs !== undefined && provenMs > (longest ?? -1)) longest = provenMs;
    return longest;
  }

  get possible(): boolean {
    if (this.#isDrilled) return false;
    for (const pool of this.#pools) if (pool.takesStreams) return true;
    return false;
  }

  get state(): PathState {
    let worst: PathState = 'good';
    for (const { state } of this.#pools) {
      if (state === 'good') return 'good';
      if (worst !== 'lost') worst = state;
    }
    return worst;
  }

  stateOf({ host }: SocketAddress): PathState {
    return this.#poolOf(host)?.state ?? 'good';
  }

  takes({ host }: SocketAddress): boolean {
    return !this.#isDrilled && this.#poolOf(host)?.takesStreams === true;
  }

  ready({ host }: SocketAddress, good = false): Http2Connection | undefined {
    const ready = this.#isDrilled ? undefined : this.#poolOf(host)?.ready();
    if (good && ready?.doubtful === true) return undefined;
    if (ready !== undefined) this.#options.counters.streams.requests++;
    return ready;
  }

  countsOf({ host }: SocketAddress): EndpointCounts | undefined {
    return this.#poolOf(host)?.counts;
  }

  async prepare({ host }: SocketAddress): Promise<boolean> {
    if (this.#isDrilled) throw this.#drillFailure();
    return this.#to(host).prepare();
  }

  async prove({ host }: SocketAddress): Promise<boolean> {
    if (this.#isDrilled) throw this.#drillFailure();
    return this.#to(host).prove();
  }

  /** Whether a drill takes its cluster for dead: nothing new is sent there, what is under way goes on. */
  get #isDrilled(): boolean {
    return this.#options.drills?.isDead(this.#backend) === true;
  }

  #drillFailure(): ProxyFailure {
    return new ProxyFailure('connection failed', `${this.label}: a drill takes its cluster for dead`);
  }

  #poolOf(host: string): GatewayPool | undefined {
    for (const pool of this.#pools) if (pool.place.host === host) return pool;
    return undefined;
  }

  #to(host: string): GatewayPool {
    const pool = this.#poolOf(host);
    if (pool !== undefined) return pool;
    // The address was removed after the balancer had picked it.
    throw new ProxyFailure('connection failed', `${this.label}: ${host} is no address of its gateway`);
  }
}

import type { Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { Balancer, type EndpointAddress } from './balancer/balancer.ts';
import type { AccrualSettings, EndpointState } from './balancer/endpoint.ts';
import type { Connection, ConnectionHandler } from './connection.ts';
import { ProxyFailure } from './failures.ts';
import { Http1Upstream } from './http1/upstream.ts';
import { Http2Pool } from './http2/pool.ts';
import { Http2Upstream } from './http2/upstream.ts';
import type { OutgoingRequest, Upstream, UpstreamHandler } from './upstream.ts';

/** Opens a connection to an endpoint, ready for the application's bytes. @throws ProxyFailure `connection failed` or `connect timeout` */
export type Dial = (endpoint: { readonly host: string; readonly port: number }) => Promise<Connection>;

export interface TargetOptions {
  /** `name:port`, for messages and metrics. */
  readonly label: string;
  readonly dial: Dial;
  readonly clock: Clock;
  readonly random: Random;
  readonly accrual?: AccrualSettings;
  /** How long the first request waits for an endpoint to become ready before all fail at once; default 3 s (Linkerd's). */
  readonly failfastMs?: number;
  /** How long an unused HTTP/1 connection is kept; default 3 s (Linkerd's). */
  readonly idleMs?: number;
  /** Unused connections kept per endpoint; default 100. */
  readonly maxIdle?: number;
}

/** What is spoken to endpoints. */
export type TargetProtocol = 'http1' | 'http2' | 'opaque';

/** A connection to an endpoint that was picked for one request or flow. */
export interface Lease {
  readonly endpoint: EndpointState;
  readonly connection: Connection;
  /** It has carried a request before; its peer may be closing it at this moment. */
  readonly reused: boolean;
  /** When it was given out (monotonic milliseconds). */
  readonly since: number;
}

interface Idle {
  readonly connection: Connection;
  readonly timer: Timer;
}

/** A service that requests are balanced over: its endpoints, its unused connections, and what happens when there are none. */
export class Target implements ConnectionHandler {
  readonly label: string;
  readonly #options: TargetOptions;
  readonly #balancer: Balancer;
  readonly #idle = new Map<EndpointState, Idle[]>();
  readonly #owners = new Map<Connection, EndpointState>();
  readonly #waiting = new Set<() => void>();
  readonly #http2: Http2Pool;
  #failingFast = false;
  /** What the Service says that its pods speak; undefined = what the client speaks. */
  protocol: TargetProtocol | undefined;

  constructor(options: TargetOptions) {
    this.label = options.label;
    this.#options = options;
    this.#balancer = new Balancer(options);
    const { clock, dial } = options;
    this.#http2 = new Http2Pool({ clock, dial: (endpoint) => dial(endpoint) });
  }

  get counts(): { readonly ready: number; readonly known: number } {
    return this.#balancer.counts;
  }

  /** Takes the endpoints as they are now; those that wait for one go on. */
  update(addresses: readonly EndpointAddress[], protocol?: TargetProtocol): void {
    this.protocol = protocol;
    this.#balancer.update(addresses);
    const current = new Set(this.#balancer.endpoints);
    this.#http2.keepOnly(current);
    for (const [endpoint, idle] of this.#idle)
      if (!current.has(endpoint)) for (const { connection } of idle) connection.destroy();
    if (this.#balancer.counts.ready === 0) return;
    this.#failingFast = false;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Closes what is unused; flows under way live on. */
  close(): void {
    this.update([]);
  }

  /**
   * A connection to an endpoint: an unused one or a new one. An endpoint that cannot be connected to is passed over for another; nothing has been sent yet, so that is
   * always safe.
   * @param fresh do not take an unused connection
   * @throws ProxyFailure
   */
  lease(fresh: boolean): Promise<Lease> {
    return this.#balanced(async (endpoint) => {
      const idle = fresh ? undefined : this.#takeIdle(endpoint);
      const connection = idle ?? (await this.#options.dial(endpoint));
      const since = this.#options.clock.monotonic();
      return { endpoint, connection, reused: idle !== undefined, since };
    });
  }

  /**
   * Sends a request's head to an endpoint that speaks `protocol`; the rest goes through the `Upstream`.
   * @param fresh do not take an unused HTTP/1 connection
   * @throws ProxyFailure
   */
  async open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh = false,
  ): Promise<Upstream> {
    const now = () => this.#options.clock.monotonic();
    if (protocol === 'http1') {
      const lease = await this.lease(fresh);
      const upstream = new Http1Upstream({ lease, target: this, request, handler, now });
      upstream.start();
      return upstream;
    }
    return this.#balanced(async (endpoint) => {
      const connection = this.#http2.ready(endpoint) ?? (await this.#http2.connection(endpoint));
      const { label } = this;
      const upgraded = false;
      const upstream = new Http2Upstream({ label, connection, endpoint, request, handler, now, upgraded });
      upstream.start();
      return upstream;
    });
  }

  /** Takes back a connection that can carry another request. */
  giveBack({ endpoint, connection }: Lease): void {
    const idle = this.#idle.get(endpoint) ?? [];
    const known = [...this.#balancer.endpoints].includes(endpoint);
    if (connection.closed || !known || idle.length >= (this.#options.maxIdle ?? 100)) {
      connection.destroy();
      return;
    }
    const timer = this.#options.clock.after(this.#options.idleMs ?? 3000, () => connection.destroy(), {
      unref: true,
    });
    idle.push({ connection, timer });
    this.#idle.set(endpoint, idle);
    this.#owners.set(connection, endpoint);
    connection.handler = this;
    connection.resume();
  }

  /** An unused connection that says anything is of no more use. */
  onData(connection: Connection): void {
    connection.destroy();
  }

  onEnd(connection: Connection): void {
    connection.destroy();
  }

  onDrain(): void {
    // Nothing is sent on unused connections.
  }

  onClose(connection: Connection): void {
    const endpoint = this.#owners.get(connection);
    this.#owners.delete(connection);
    const idle = endpoint === undefined ? undefined : this.#idle.get(endpoint);
    const at = idle?.findIndex((entry) => entry.connection === connection) ?? -1;
    if (endpoint === undefined || idle === undefined || at < 0) return;
    idle.splice(at, 1)[0]?.timer.cancel();
    if (idle.length === 0) this.#idle.delete(endpoint);
  }

  #takeIdle(endpoint: EndpointState): Connection | undefined {
    const idle = this.#idle.get(endpoint);
    // The one used last is the least likely to be closing.
    const entry = idle?.pop();
    if (idle?.length === 0) this.#idle.delete(endpoint);
    if (entry === undefined) return undefined;
    entry.timer.cancel();
    this.#owners.delete(entry.connection);
    return entry.connection;
  }

  /** Picks endpoints until one can be used. */
  async #balanced<T>(use: (endpoint: EndpointState) => Promise<T>): Promise<T> {
    const tried = new Set<EndpointState>();
    let last: unknown;
    for (;;) {
      const picked = this.#balancer.pick(tried);
      if ('none' in picked) {
        if (picked.none === 'all tried') throw last;
        await this.#untilReady();
        continue;
      }
      const { endpoint } = picked;
      endpoint.begin();
      try {
        return await use(endpoint);
      } catch (error) {
        endpoint.failConnect();
        tried.add(endpoint);
        last = error;
      }
    }
  }

  /** Waits for an endpoint; once a wait was in vain everybody fails at once until there is one. */
  async #untilReady(): Promise<void> {
    const { clock, failfastMs = 3000 } = this.#options;
    const { known, ready } = this.#balancer.counts;
    const failure = () =>
      new ProxyFailure('failfast', `no ready endpoints for ${this.label} (${known} known, ${ready} ready)`);
    if (this.#failingFast || known === 0) throw failure();
    const came = await new Promise<boolean>((resolve) => {
      const wake = () => {
        timer.cancel();
        resolve(true);
      };
      const timer = clock.after(failfastMs, () => {
        this.#waiting.delete(wake);
        resolve(false);
      });
      this.#waiting.add(wake);
    });
    if (came) return;
    this.#failingFast = true;
    throw failure();
  }
}

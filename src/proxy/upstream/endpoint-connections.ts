import type { Boundary } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { Http2Connection } from '../http2/http2-connection.ts';
import type { EndpointState, KnownEndpoints, PickedEndpoint } from './balancer/endpoint.ts';
import { ConnectLimit } from './connect-limit.ts';
import type { ConnectionLease, LeaseProtocol } from './connection-lease.ts';
import { Http1Pool } from './http1-pool.ts';
import { Http1Upstream, type RequestedTarget } from './http1-request.ts';
import { Http2Pool } from './http2-pool.ts';
import { Http2Upstream } from './http2-request.ts';
import type { ToldOfConnection } from '../io/dial.ts';
import type { RequestTrace } from '../http/request-trace.ts';
import { type Opens, openTraced, type TracedRequest } from '../tracing/traced-try.ts';
import type { StreamCarrier, TargetOptions } from './target-options.ts';
import type { TryWatch } from './try-watch.ts';
import { transportTo } from './endpoint-transport.ts';

/** An HTTP/2 connection that a request is sent on. */
interface ChosenConnection {
  readonly connection: Http2Connection;
  readonly endpoint: PickedEndpoint;
  /** As `Http2UpstreamOptions.upgraded`. */
  readonly upgraded: boolean;
  /** As `Http2UpstreamOptions.startedAt`. */
  readonly startedAt: number | undefined;
  /** Stream mode: the pseudo-header that says what the stream is for. */
  readonly carried: Field | undefined;
  /** As `Http2UpstreamOptions.watch`. */
  readonly watch: TryWatch | undefined;
}

/** What is not said of a request that has waited for its connection. */
const UNSAID = { startedAt: undefined, carried: undefined, watch: undefined };

/**
 * The connections to the endpoints of one target, unused ones and new ones, and the requests that are sent on
 * them. The balancer has chosen the endpoint.
 */
export class EndpointConnections implements RequestedTarget {
  readonly #options: TargetOptions;
  readonly #boundary: Boundary;
  // Requests that travel on shared connections need none of these.
  #idle: Http1Pool | undefined;
  #http2: Http2Pool | undefined;
  #connectLimit: ConnectLimit | undefined;
  #endpoints: KnownEndpoints | undefined;

  constructor(options: TargetOptions, boundary: Boundary) {
    this.#options = options;
    this.#boundary = boundary;
  }

  get label(): string {
    return this.#options.label;
  }

  /** Closes what is unused to endpoints that are no more; flows under way live on. */
  keepOnly(endpoints: KnownEndpoints): void {
    this.#endpoints = endpoints;
    this.#http2?.keepOnly(endpoints);
    this.#idle?.keepOnly(endpoints);
  }

  caught(error: unknown): ProxyFailure {
    return this.#boundary.caught(error);
  }

  /**
   * Sends a request's head, once there is a connection.
   * @param protocol what the endpoint's application speaks
   * @param fresh not on an unused HTTP/1 connection
   * @throws ProxyFailure
   */
  open(
    picked: PickedEndpoint,
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh: boolean,
  ): Promise<Upstream> {
    return request.trace === undefined
      ? this.#open(picked, protocol, request, handler, fresh)
      : this.#openTraced(request.trace, picked, protocol, { request, handler }, fresh);
  }

  /** A function of its own: what a closure captures is allocated for each call, recorded or not. */
  #openTraced(
    trace: RequestTrace,
    picked: PickedEndpoint,
    protocol: 'http1' | 'http2',
    traced: TracedRequest,
    fresh: boolean,
  ): Promise<Upstream> {
    const open: Opens = (sent, heard) => this.#open(picked, protocol, sent, heard, fresh);
    return openTraced(trace, { picked, target: this }, traced, open);
  }

  async #open(
    picked: PickedEndpoint,
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh: boolean,
  ): Promise<Upstream> {
    const { streams } = this.#options;
    let transport = transportTo(picked.state, protocol, streams);
    if (transport === 'stream' && streams !== undefined) {
      const upstream = await this.#openStream(streams, picked, request, handler);
      if (upstream !== undefined) return upstream;
      transport = transportTo(picked.state, protocol, undefined);
    }
    if (transport === 'http1') {
      const lease = await this.lease(picked, fresh, 'http1', { client: request.client });
      return this.#onLease(lease, request, handler);
    }
    const connection = await this.#http2Pool.connection(picked.state);
    picked.connected();
    const upgraded = transport === 'upgraded';
    const chosen = { ...UNSAID, connection, endpoint: picked, upgraded };
    return this.#onStream(chosen, request, handler);
  }

  /**
   * As `open`, but without waiting; undefined where no connection is at hand.
   * @param now monotonic milliseconds
   */
  openNow(
    endpoint: EndpointState,
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    const { streams } = this.#options;
    const transport = transportTo(endpoint, protocol, streams);
    if (transport === 'http1') {
      const lease = this.leaseNow(endpoint);
      return lease === undefined ? undefined : this.#onLease(lease, request, handler);
    }
    const shared = transport === 'stream' ? streams : undefined;
    const connection = shared === undefined ? this.#http2?.take(endpoint) : shared.ready(endpoint);
    if (connection === undefined) return undefined;
    const upgraded = transport !== 'http2';
    const carried = shared?.target;
    const picked = endpoint.begin();
    const chosen = { connection, endpoint: picked, upgraded, startedAt: now, carried, watch: undefined };
    return this.#onStream(chosen, request, handler);
  }

  /**
   * As `openNow`, for a request without a body that may be taken over: only as a stream of a shared
   * connection that answers in time.
   */
  openWatched(
    endpoint: EndpointState,
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
    watch: TryWatch,
  ): Upstream | undefined {
    const { streams } = this.#options;
    if (streams?.takes(endpoint) !== true) return undefined;
    const connection = streams.ready(endpoint, true);
    if (connection === undefined) return undefined;
    const { target: carried } = streams;
    const chosen = { connection, endpoint: endpoint.begin(), upgraded: true, startedAt: now, carried, watch };
    return this.#onStream(chosen, request, handler);
  }

  /**
   * A connection for one HTTP/1 request or one raw flow: an unused one or a new one.
   * @param fresh do not take an unused connection
   * @throws ProxyFailure
   */
  async lease(
    picked: PickedEndpoint,
    fresh: boolean,
    purpose: LeaseProtocol,
    told?: ToldOfConnection,
  ): Promise<ConnectionLease> {
    const { state } = picked;
    const idle = fresh ? undefined : this.#idle?.take(state);
    if (idle !== undefined) return { endpoint: picked, connection: idle, reused: true, since: this.#now };
    this.#connectLimit ??= new ConnectLimit(this.#options.maxOpening);
    return this.#connectLimit.run(state, async (waited) => {
      const back = fresh || !waited ? undefined : this.#idle?.take(state);
      if (back !== undefined) return { endpoint: picked, connection: back, reused: true, since: this.#now };
      const connection = await this.#options.dial(state, purpose, told);
      // For raw bytes, all that is known is that the endpoint took the connection.
      if (purpose === 'opaque') picked.accepted();
      else picked.connected();
      return { endpoint: picked, connection, reused: false, since: this.#now };
    });
  }

  /**
   * Finds out whether an endpoint can be connected to: where it takes streams it has a connection for them
   * then, otherwise one more unused HTTP/1 connection.
   * @throws ProxyFailure if not
   */
  async prove(picked: PickedEndpoint): Promise<void> {
    const { streams } = this.#options;
    if (streams?.takes(picked.state) === true && (await streams.prove(picked.state))) picked.connected();
    else this.giveBack(await this.lease(picked, true, 'http1'));
  }

  /** As `lease`, where an unused connection is at hand. */
  leaseNow(endpoint: EndpointState): ConnectionLease | undefined {
    const connection = this.#idle?.take(endpoint);
    if (connection === undefined) return undefined;
    return { endpoint: endpoint.begin(), connection, reused: true, since: this.#now };
  }

  /** Takes back a connection that can carry another request. */
  giveBack({ endpoint: { state }, connection }: ConnectionLease): void {
    if (connection.closed || connection.personal === true || this.#endpoints?.has(state) !== true)
      connection.destroy();
    else {
      const { clock, idleMs = 3000, maxIdle = 100 } = this.#options;
      this.#idle ??= new Http1Pool({ clock, idleMs, max: maxIdle });
      this.#idle.put(state, connection);
    }
  }

  get #http2Pool(): Http2Pool {
    const options = this.#options;
    const { clock, proxies = false } = options;
    return (this.#http2 ??= new Http2Pool({
      clock,
      boundary: this.#boundary,
      dial: (endpoint) => options.dial(endpoint, 'http2'),
      pings: ({ mesh }) => proxies || mesh !== undefined,
    }));
  }

  /** Monotonic milliseconds. */
  get #now(): number {
    return this.#options.clock.monotonic();
  }

  /** Sends a request as a stream (stream mode). Undefined where the endpoint turns out to take no streams. */
  async #openStream(
    streams: StreamCarrier,
    picked: PickedEndpoint,
    request: OutgoingRequest,
    handler: UpstreamHandler,
  ): Promise<Upstream | undefined> {
    for (;;) {
      const connection = streams.ready(picked.state);
      // The check for room and its use must be one step: many requests may have waited for the same
      // connection.
      if (connection !== undefined) {
        const { target: carried } = streams;
        const chosen = { ...UNSAID, connection, endpoint: picked, upgraded: true, carried };
        return this.#onStream(chosen, request, handler);
      }
      if (!(await streams.prepare(picked.state))) return undefined;
      picked.connected();
    }
  }

  #onLease(lease: ConnectionLease, request: OutgoingRequest, handler: UpstreamHandler): Upstream {
    const upstream = new Http1Upstream({ lease, target: this, request, handler, clock: this.#options.clock });
    upstream.start();
    return upstream;
  }

  #onStream(chosen: ChosenConnection, request: OutgoingRequest, handler: UpstreamHandler): Upstream {
    const { connection, endpoint, upgraded, startedAt, carried, watch } = chosen;
    // A mesh proxy gives its application the version that `l5d-orig-proto` names: HTTP/1.1, which is what the
    // application speaks, also where the client spoke HTTP/2. In stream mode the gateway sees to that.
    const wrapped = upgraded && carried === undefined;
    const told =
      wrapped && request.version === 'HTTP/2' ? { ...request, version: 'HTTP/1.1' as const } : request;
    const upstream = new Http2Upstream({
      label: this.label,
      connection,
      endpoint,
      request: told,
      handler,
      clock: this.#options.clock,
      startedAt,
      carried,
      upgraded,
      watch,
    });
    upstream.start();
    return upstream;
  }
}

import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import { backoffDelay } from '../../base/backoff.ts';
import { sleep } from '../../base/clock.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import { ProxyCounters } from '../metrics/counters.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import { Balancer, type EndpointAddress } from './balancer/balancer.ts';
import { type PickedEndpoint, DEFAULT_ACCRUAL, type EndpointState } from './balancer/endpoint.ts';
import { ConnectLimit } from './connect-limit.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { AdmissionFilter } from '../filters/admission.ts';
import { Http1Upstream } from './http1-request.ts';
import type { Http2Connection } from '../http2/http2-connection.ts';
import { Http2Pool } from './http2-pool.ts';
import { Http2Upstream } from './http2-request.ts';
import { Http1Pool } from './http1-pool.ts';
import { RequestPolicy } from './retry/policy.ts';
import { RetryingRequest, type AttemptOpener } from './retry/retrying-request.ts';
import type { OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import { isUpgraded, type ConnectionLease, type LeasePurpose } from './connection-lease.ts';
import {
  MAX_PENDING,
  MAX_WAITING,
  type StreamCarrier,
  type TargetOptions,
  type TargetRules,
} from './target-options.ts';

const FAILFAST_MS = 3000;
/** Waits between rounds over endpoints that cannot be connected to (Linkerd's). */
const RECONNECT = { minMs: 100, maxMs: 500 } as const;
/** Waits before a request that was refused unseen is sent once more. */
const REFUSED = { minMs: 2, maxMs: 100 } as const;
/** After so long without a failure the next one begins an outage of its own. */
const OUTAGE_OVER_MS = 10_000;
/** A service that requests are balanced over: its endpoints, its unused connections, and what happens when there are none. */
export class Target implements AttemptOpener, Boundary {
  readonly label: string;
  readonly #options: TargetOptions;
  readonly #counters: ProxyCounters;
  readonly #balancer: Balancer;
  readonly #idle: Http1Pool;
  readonly #connectLimit: ConnectLimit;
  readonly #waiting = new Set<() => void>();
  readonly #http2: Http2Pool;
  readonly #now = () => this.#options.clock.monotonic();
  #failingFast = false;
  /** Since when, and when last, no endpoint could be connected to (monotonic milliseconds). */
  #outage: { readonly since: number; last: number } | undefined;
  #retrying = 0;
  /** Retries and timeouts, where the Service asks for any. */
  #policy: RequestPolicy | undefined;
  /** What the Service says that its pods speak; undefined = what the client speaks. */
  protocol: PortProtocol | undefined;
  /** What every request and raw connection passes before an endpoint is picked; undefined = nothing. */
  filter: AdmissionFilter | undefined;

  constructor(options: TargetOptions) {
    this.label = options.label;
    this.#options = options;
    this.#counters = options.counters ?? new ProxyCounters();
    this.#balancer = new Balancer(options);
    const { clock, dial, idleMs = 3000, maxIdle = 100, proxies = false } = options;
    this.#connectLimit = new ConnectLimit(options.maxOpening);
    this.#idle = new Http1Pool({ clock, idleMs, max: maxIdle });
    this.#http2 = new Http2Pool({
      clock,
      boundary: this.#counters,
      dial: (endpoint) => dial(endpoint, 'http2'),
      pings: ({ mesh }) => proxies || mesh !== undefined,
    });
  }

  get counts(): { readonly ready: number; readonly known: number } {
    return this.#balancer.counts;
  }

  /** Requests of HTTP/1 clients are to be sent with `open`: some endpoint takes them over HTTP/2, whether its application speaks that or only a proxy on the way, or they may be sent more than once. */
  get translates(): boolean {
    if (this.#policy !== undefined || this.#options.streams?.possible === true) return true;
    return this.protocol === 'http2' || (this.protocol !== 'opaque' && this.#balancer.meshed);
  }

  /** Takes the endpoints, and what is said of them all, as they are now; those that wait for one go on. */
  update(addresses: readonly EndpointAddress[], rules: TargetRules = {}): void {
    this.protocol = rules.protocol;
    const { accrual = DEFAULT_ACCRUAL } = this.#options;
    this.#balancer.update(addresses, { ...accrual, ...rules.accrual });
    this.#follow(rules.requests);
    const current = this.#balancer.endpoints;
    this.#http2.keepOnly(current);
    this.#idle.keepOnly(current);
    if (this.#balancer.counts.ready === 0) return;
    this.#failingFast = false;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** What is said of requests holds from the next one on. */
  #follow(requests: RequestRules | undefined): void {
    const former = this.#policy;
    if (requests === undefined || former?.follows(requests) !== true)
      this.#policy =
        requests === undefined
          ? undefined
          : new RequestPolicy(requests, { ...this.#options, counters: this.#counters }, former);
  }

  caught(error: unknown): ProxyFailure {
    return this.#counters.caught(error);
  }

  /** Closes what is unused; flows under way live on. */
  close(): void {
    this.update([]);
  }

  /**
   * A connection to an endpoint: an unused one or a new one. An endpoint that cannot be connected to is passed over for another; nothing has been sent yet, so that is
   * always safe.
   * @param fresh do not take an unused connection
   * @param protocol `opaque`: a raw flow, which is in hand until it ends
   * @param client on whose behalf, where the endpoint is to be told
   * @throws ProxyFailure
   */
  lease(fresh: boolean, protocol: LeasePurpose = 'http1', client?: Field): Promise<ConnectionLease> {
    return this.#balanced((attempt) => this.#leaseOf(attempt, fresh, protocol, client));
  }

  /**
   * Sends a request's head to an endpoint whose application speaks `protocol`; the rest goes through the `Upstream`. A mesh proxy in front of it gets HTTP/1 requests over HTTP/2.
   * @param fresh do not take an unused HTTP/1 connection
   * @throws ProxyFailure
   */
  open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh = false,
  ): Promise<Upstream> {
    if (this.#policy !== undefined)
      return Promise.resolve(this.#several(this.#policy, protocol, request, handler));
    return this.#openOne(protocol, request, handler, fresh);
  }

  openTry(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    { fresh, avoid }: { readonly fresh: boolean; readonly avoid: Set<EndpointState> },
  ): Promise<Upstream> {
    return this.#openOne(protocol, request, handler, fresh, avoid);
  }

  #several(
    policy: RequestPolicy,
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
  ): Upstream {
    const tries = new RetryingRequest({ opener: this, policy, protocol, request, handler });
    tries.begin();
    return tries;
  }

  #openOne(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh: boolean,
    avoid?: Set<EndpointState>,
  ): Promise<Upstream> {
    return this.#balanced(async (attempt) => {
      avoid?.add(attempt.endpoint);
      const { streams } = this.#options;
      if (streams?.takes(attempt.endpoint) === true) {
        const upstream = await this.#openStream(streams, attempt, request, handler);
        if (upstream !== undefined) return upstream;
      }
      const upgraded = isUpgraded(protocol, attempt.endpoint);
      if (protocol === 'http1' && !upgraded) {
        const lease = await this.#leaseOf(attempt, fresh, 'http1', request.client);
        return this.#http1Upstream(lease, request, handler);
      }
      const connection = await this.#http2Connection(attempt);
      const on = { connection, endpoint: attempt, upgraded, startedAt: undefined };
      return this.#http2Upstream(on, request, handler);
    }, avoid);
  }

  /** The same without waiting, where a connection is at hand; undefined = it takes `open`. @param now monotonic milliseconds */
  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    if (this.#policy !== undefined) return this.#several(this.#policy, protocol, request, handler);
    const endpoint = this.#pickNow();
    if (endpoint === undefined) return undefined;
    const { streams } = this.#options;
    if (streams?.takes(endpoint) === true) {
      const connection = streams.ready(endpoint);
      if (connection === undefined) return undefined;
      this.#outage = undefined;
      const { target: carried } = streams;
      const on = { connection, endpoint: endpoint.begin(), upgraded: true, startedAt: now, carried };
      return this.#http2Upstream(on, request, handler);
    }
    const upgraded = isUpgraded(protocol, endpoint);
    if (protocol === 'http1' && !upgraded) {
      const lease = this.#leaseIdle(endpoint);
      return lease === undefined ? undefined : this.#http1Upstream(lease, request, handler);
    }
    const connection = this.#http2.take(endpoint);
    if (connection === undefined) return undefined;
    this.#outage = undefined;
    const on = { connection, endpoint: endpoint.begin(), upgraded, startedAt: now };
    return this.#http2Upstream(on, request, handler);
  }

  /** As `lease`, where an unused connection is at hand. */
  leaseNow(): ConnectionLease | undefined {
    const endpoint = this.#pickNow();
    return endpoint === undefined ? undefined : this.#leaseIdle(endpoint);
  }

  #pickNow(): EndpointState | undefined {
    const { maxPending = MAX_PENDING } = this.#options;
    if (this.#balancer.pending + this.#waiting.size + this.#retrying >= maxPending) return undefined;
    const picked = this.#balancer.pick();
    return 'none' in picked ? undefined : picked.endpoint;
  }

  #leaseIdle(endpoint: EndpointState): ConnectionLease | undefined {
    const connection = this.#idle.take(endpoint);
    if (connection === undefined) return undefined;
    this.#outage = undefined;
    const since = this.#options.clock.monotonic();
    return { endpoint: endpoint.begin(), connection, reused: true, since };
  }

  #http1Upstream(lease: ConnectionLease, request: OutgoingRequest, handler: UpstreamHandler): Upstream {
    const upstream = new Http1Upstream({ lease, target: this, request, handler, now: this.#now });
    upstream.start();
    return upstream;
  }

  /** Undefined where the endpoint turns out to take no streams. */
  async #openStream(
    streams: StreamCarrier,
    attempt: PickedEndpoint,
    request: OutgoingRequest,
    handler: UpstreamHandler,
  ): Promise<Upstream | undefined> {
    for (;;) {
      const connection = streams.ready(attempt.endpoint);
      // Nothing may come between the look for room and its use: many may have waited for the same connection.
      if (connection !== undefined) {
        const { target: carried } = streams;
        const on = { connection, endpoint: attempt, upgraded: true, startedAt: undefined, carried };
        return this.#http2Upstream(on, request, handler);
      }
      if (!(await streams.prepare(attempt.endpoint))) return undefined;
      attempt.connected();
    }
  }

  #http2Upstream(
    on: {
      readonly connection: Http2Connection;
      readonly endpoint: PickedEndpoint;
      readonly upgraded: boolean;
      readonly startedAt: number | undefined;
      readonly carried?: Field;
    },
    request: OutgoingRequest,
    handler: UpstreamHandler,
  ): Upstream {
    const { connection, endpoint, upgraded, startedAt, carried } = on;
    // What the application speaks is what its proxy is told, whatever the client spoke; what it speaks behind a gateway, the gateway knows.
    const wrapped = upgraded && carried === undefined;
    const told =
      wrapped && request.version === 'HTTP/2' ? { ...request, version: 'HTTP/1.1' as const } : request;
    const { label } = this;
    const upstream = new Http2Upstream({
      label,
      connection,
      endpoint,
      request: told,
      handler,
      now: this.#now,
      startedAt,
      carried,
      upgraded,
    });
    upstream.start();
    return upstream;
  }

  /** Whether a request that its endpoint has not looked at (REFUSED_STREAM, GOAWAY; RFC 9113 section 8.7) may be sent again after so long. */
  mayOpenAgain(elapsedMs: number): boolean {
    return elapsedMs < (this.#options.failfastMs ?? FAILFAST_MS);
  }

  /** The wait before it is: none at first, then as between rounds over endpoints that cannot be connected to. @param refusals there have been before */
  async untilOpenAgain(refusals: number): Promise<void> {
    if (refusals === 0) return;
    const { clock, random } = this.#options;
    await sleep(clock, backoffDelay(refusals - 1, REFUSED, random));
  }

  /** Takes back a connection that can carry another request. */
  giveBack({ endpoint: { endpoint }, connection }: ConnectionLease): void {
    if (connection.closed || connection.personal === true || !this.#balancer.has(endpoint))
      connection.destroy();
    else this.#idle.put(endpoint, connection);
  }

  async #leaseOf(
    attempt: PickedEndpoint,
    fresh: boolean,
    protocol: LeasePurpose,
    client?: Field,
  ): Promise<ConnectionLease> {
    const since = () => this.#options.clock.monotonic();
    const idle = fresh ? undefined : this.#idle.take(attempt.endpoint);
    if (idle !== undefined) return { endpoint: attempt, connection: idle, reused: true, since: since() };
    return this.#connectLimit.run(attempt.endpoint, async (waited) => {
      const back = fresh || !waited ? undefined : this.#idle.take(attempt.endpoint);
      if (back !== undefined) return { endpoint: attempt, connection: back, reused: true, since: since() };
      const connection = await this.#options.dial(attempt.endpoint, protocol, client);
      // Of raw bytes nobody can say more than that they were taken.
      if (protocol === 'opaque') attempt.accepted();
      else attempt.connected();
      return { endpoint: attempt, connection, reused: false, since: since() };
    });
  }

  async #http2Connection(attempt: PickedEndpoint): Promise<Http2Connection> {
    const { endpoint } = attempt;
    const connection = await this.#http2.connection(endpoint);
    attempt.connected();
    return connection;
  }

  /** Picks endpoints until one can be used. When none can be connected to, begins again for a while: nothing has been sent, and what is being replaced is back in a moment. */
  async #balanced<T>(
    use: (attempt: PickedEndpoint) => Promise<T>,
    avoid?: ReadonlySet<EndpointState>,
  ): Promise<T> {
    this.#admit();
    let tried = avoid === undefined || avoid.size === 0 ? undefined : new Set(avoid);
    let last: unknown;
    let round = 0;
    for (;;) {
      const picked = this.#balancer.pick(tried);
      if ('none' in picked) {
        if (picked.none === 'no endpoints') await this.#untilReady();
        // Where there is no other endpoint, one that was to be avoided is better than none.
        else if (last !== undefined && !(await this.#mayTryAgain(round++))) throw last;
        tried = undefined;
        continue;
      }
      const attempt = picked.endpoint.begin();
      try {
        const used = await use(attempt);
        this.#outage = undefined;
        return used;
      } catch (error) {
        if (!(error instanceof ProxyFailure) || error.kind === 'internal error') {
          attempt.abandon();
          throw this.caught(error);
        }
        attempt.failConnect();
        tried = (tried ?? new Set()).add(picked.endpoint);
        last = error;
      }
    }
  }

  /** One target that hangs must not take the memory that all need. @throws ProxyFailure `load shed` */
  #admit(): void {
    const { maxPending = MAX_PENDING } = this.#options;
    const { pending } = this.#balancer;
    const underWay = pending + this.#waiting.size + this.#retrying;
    if (underWay < maxPending) return;
    const text = `${this.label} has ${underWay} requests under way, which is as many as it may have`;
    throw new ProxyFailure('load shed', text);
  }

  /** Waits a little. False once no endpoint could be connected to for the failfast time: from then on everybody fails at the first round. */
  async #mayTryAgain(round: number): Promise<boolean> {
    const { clock, random, failfastMs = FAILFAST_MS } = this.#options;
    const now = clock.monotonic();
    if (this.#outage === undefined || now - this.#outage.last > OUTAGE_OVER_MS)
      this.#outage = { since: now, last: now };
    this.#outage.last = now;
    const delay = backoffDelay(round, RECONNECT, random);
    if (now - this.#outage.since + delay > failfastMs) return false;
    this.#retrying++;
    await sleep(clock, delay);
    this.#retrying--;
    return true;
  }

  /** Waits for an endpoint; once a wait was in vain everybody fails at once until there is one. */
  async #untilReady(): Promise<void> {
    const { clock, failfastMs = FAILFAST_MS, maxWaiting = MAX_WAITING } = this.#options;
    const { known, ready } = this.#balancer.counts;
    const failure = () =>
      new ProxyFailure('failfast', `no ready endpoints for ${this.label} (${known} known, ${ready} ready)`);
    if (this.#failingFast || known === 0) throw failure();
    if (this.#waiting.size >= maxWaiting) {
      const text = `no ready endpoints for ${this.label} (${known} known), and ${maxWaiting} requests wait for one already`;
      throw new ProxyFailure('load shed', text);
    }
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

import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import { backoffDelay } from '../../base/backoff.ts';
import { sleep } from '../../base/clock.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import { ProxyCounters } from '../metrics/counters.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import { Balancer, type EndpointAddress } from './balancer/balancer.ts';
import { type PickedEndpoint, DEFAULT_ACCRUAL, type EndpointState } from './balancer/endpoint.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { RequestFilter } from '../filters/request-filter.ts';
import { EndpointConnections } from './endpoint-connections.ts';
import { RequestPolicy } from './retry/policy.ts';
import type { AttemptOpener } from './retry/attempt.ts';
import { RetryingRequest } from './retry/retrying-request.ts';
import type { OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { ConnectionLease, LeaseProtocol } from './connection-lease.ts';
import { MAX_PENDING, MAX_WAITING, type TargetOptions, type TargetRules } from './target-options.ts';
import { someOverHttp2 } from './endpoint-transport.ts';

const FAILFAST_MS = 3000;
/** Waits between rounds over endpoints that cannot be connected to (Linkerd's). */
const RECONNECT = { minMs: 100, maxMs: 500 } as const;
/** Waits before a request that was refused unseen is sent once more. */
const REFUSED = { minMs: 2, maxMs: 100 } as const;
/** After so long without a failure the next one begins an outage of its own. */
const OUTAGE_OVER_MS = 10_000;

/**
 * A service that requests are balanced over: its endpoints, its unused connections, and what happens when
 * there are none.
 */
export class Target implements AttemptOpener, Boundary {
  readonly label: string;
  readonly #options: TargetOptions;
  readonly #counters: ProxyCounters;
  readonly #balancer: Balancer;
  readonly #connections: EndpointConnections;
  readonly #waiting = new Set<() => void>();
  #failingFast = false;
  /** Since when, and when last, no endpoint could be connected to (monotonic milliseconds). */
  #outage: { readonly since: number; last: number } | undefined;
  #retrying = 0;
  /** Retries and timeouts, where the Service asks for any. */
  #policy: RequestPolicy | undefined;
  /** What the Service says that its pods speak; undefined = what the client speaks. */
  protocol: PortProtocol | undefined;
  /** What every request and raw connection passes before an endpoint is picked; undefined = nothing. */
  filter: RequestFilter | undefined;

  constructor(options: TargetOptions) {
    this.label = options.label;
    this.#options = options;
    this.#counters = options.counters ?? new ProxyCounters();
    this.#balancer = new Balancer(options);
    this.#connections = new EndpointConnections(options, this.#counters);
  }

  get counts(): { readonly ready: number; readonly known: number } {
    return this.#balancer.counts;
  }

  /**
   * Requests of HTTP/1 clients are to be sent with `open`: some endpoint takes them over HTTP/2, whether its
   * application speaks that or only a proxy on the way, or they may be sent more than once.
   */
  get translates(): boolean {
    if (this.#policy !== undefined) return true;
    return someOverHttp2(this.protocol, this.#balancer.upgrading, this.#options.streams);
  }

  /** Takes the endpoints, and what is said of them all, as they are now; those that wait for one go on. */
  update(addresses: readonly EndpointAddress[], rules: TargetRules = {}): void {
    this.protocol = rules.protocol;
    const { accrual = DEFAULT_ACCRUAL } = this.#options;
    this.#balancer.update(addresses, { ...accrual, ...rules.accrual });
    this.#follow(rules.requests);
    this.#connections.keepOnly(this.#balancer.endpoints);
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
   * A connection to an endpoint: an unused one or a new one. An endpoint that cannot be connected to is
   * passed over for another; nothing has been sent yet, so that is always safe.
   * @param fresh do not take an unused connection
   * @param protocol `opaque`: a raw flow, which is in hand until it ends
   * @param client on whose behalf, where the endpoint is to be told
   * @throws ProxyFailure
   */
  lease(fresh: boolean, protocol: LeaseProtocol = 'http1', client?: Field): Promise<ConnectionLease> {
    return this.#balanced((picked) => this.#connections.lease(picked, fresh, protocol, client));
  }

  /**
   * Sends a request's head to an endpoint whose application speaks `protocol`; the rest goes through the
   * `Upstream`. A mesh proxy in front of it gets HTTP/1 requests over HTTP/2.
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

  openAttempt(
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
    const retrying = new RetryingRequest({ opener: this, policy, protocol, request, handler });
    retrying.begin();
    return retrying;
  }

  #openOne(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh: boolean,
    avoid?: Set<EndpointState>,
  ): Promise<Upstream> {
    return this.#balanced((picked) => {
      avoid?.add(picked.state);
      return this.#connections.open(picked, protocol, request, handler, fresh);
    }, avoid);
  }

  /**
   * The same without waiting, where a connection is at hand; undefined = it takes `open`.
   * @param now monotonic milliseconds
   */
  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    if (this.#policy !== undefined) return this.#several(this.#policy, protocol, request, handler);
    const endpoint = this.#pickNow();
    if (endpoint === undefined) return undefined;
    const upstream = this.#connections.openNow(endpoint, protocol, request, handler, now);
    if (upstream !== undefined) this.#outage = undefined;
    return upstream;
  }

  /** As `lease`, where an unused connection is at hand. */
  leaseNow(): ConnectionLease | undefined {
    const endpoint = this.#pickNow();
    const lease = endpoint === undefined ? undefined : this.#connections.leaseNow(endpoint);
    if (lease !== undefined) this.#outage = undefined;
    return lease;
  }

  #pickNow(): EndpointState | undefined {
    const { maxPending = MAX_PENDING } = this.#options;
    if (this.#balancer.pending + this.#waiting.size + this.#retrying >= maxPending) return undefined;
    const picked = this.#balancer.pick();
    return 'none' in picked ? undefined : picked.endpoint;
  }

  /**
   * Whether a request that its endpoint has not looked at (REFUSED_STREAM, GOAWAY; RFC 9113 section 8.7) may
   * be sent again after so long.
   */
  mayOpenAgain(elapsedMs: number): boolean {
    return elapsedMs < (this.#options.failfastMs ?? FAILFAST_MS);
  }

  /**
   * The wait before it is: none at first, then as between rounds over endpoints that cannot be connected to.
   * @param refusals there have been before
   */
  async untilOpenAgain(refusals: number): Promise<void> {
    if (refusals === 0) return;
    const { clock, random } = this.#options;
    await sleep(clock, backoffDelay(refusals - 1, REFUSED, random));
  }

  /** Takes back a connection that can carry another request. */
  giveBack(lease: ConnectionLease): void {
    this.#connections.giveBack(lease);
  }

  /**
   * Picks endpoints until one can be used. When none can be connected to, begins again for a while: nothing
   * has been sent, and what is being replaced is back in a moment.
   */
  async #balanced<T>(
    use: (picked: PickedEndpoint) => Promise<T>,
    avoid?: ReadonlySet<EndpointState>,
  ): Promise<T> {
    this.#admit();
    let tried = avoid === undefined || avoid.size === 0 ? undefined : new Set(avoid);
    let last: unknown;
    let round = 0;
    for (;;) {
      const pick = this.#balancer.pick(tried);
      if ('none' in pick) {
        if (pick.none === 'no endpoints') await this.#untilReady();
        // Where there is no other endpoint, one that was to be avoided is better than none.
        else if (last !== undefined && !(await this.#mayTryAgain(round++))) throw last;
        tried = undefined;
        continue;
      }
      const picked = pick.endpoint.begin();
      try {
        const used = await use(picked);
        this.#outage = undefined;
        return used;
      } catch (error) {
        if (!(error instanceof ProxyFailure) || error.kind === 'internal error') {
          picked.abandon();
          throw this.caught(error);
        }
        picked.failConnect();
        tried = (tried ?? new Set()).add(picked.state);
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

  /**
   * Waits a little. False once no endpoint could be connected to for the failfast time: from then on
   * everybody fails at the first round.
   */
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

import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import { ProxyCounters } from '../metrics/counters.ts';
import { Outage } from './outage.ts';
import { Balancer, type EndpointAddress, type EndpointPick } from './balancer/balancer.ts';
import { type PickedEndpoint, DEFAULT_ACCRUAL, type EndpointState } from './balancer/endpoint.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { ToldOfConnection } from '../io/dial.ts';
import type { RequestFilter } from '../filters/request-filter.ts';
import { EndpointConnections } from './endpoint-connections.ts';
import { EndpointProofs } from './endpoint-proofs.ts';
import { RequestPolicy } from './retry/policy.ts';
import type { AttemptOpener } from './retry/attempt.ts';
import type { EarlierTries } from './retry/earlier-tries.ts';
import { RetryingRequest } from './retry/retrying-request.ts';
import type { OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { ConnectionLease, LeaseProtocol } from './connection-lease.ts';
import {
  FAILFAST_MS,
  MAX_PENDING,
  MAX_WAITING,
  type TargetOptions,
  type TargetRules,
} from './target-options.ts';
import { someOverHttp2 } from './endpoint-transport.ts';
import { EndpointWait, noneReady } from './endpoint-wait.ts';
import { unseen, untilOpenAgain } from './unprocessed.ts';
import type { LeaseRequest, SessionTarget, Standing } from './session-target.ts';
import type { TryWatch } from './try-watch.ts';

/**
 * One port of a service, over whose endpoints requests are balanced: its endpoints, the connections to them,
 * and what happens when none can be used.
 */
export class Target implements AttemptOpener, SessionTarget {
  /** `name:port`. */
  readonly label: string;
  readonly #options: TargetOptions;
  readonly #counters: ProxyCounters;
  readonly #balancer: Balancer;
  readonly #connections: EndpointConnections;
  // Most targets of an egress never need these.
  #outage: Outage | undefined;
  #wait: EndpointWait | undefined;
  #proofs: EndpointProofs | undefined;
  /** Retries and timeouts, where the Service asks for any. */
  #policy: RequestPolicy | undefined;
  /** The protocol that the Service declares for its pods; undefined: the same as the client's. */
  protocol: PortProtocol | undefined;
  /** Rate limits and faults that every request and raw connection passes first; undefined: there are none. */
  filter: RequestFilter | undefined;

  constructor(options: TargetOptions) {
    this.label = options.label;
    this.#options = options;
    this.#counters = options.counters ?? new ProxyCounters();
    this.#balancer = new Balancer(options);
    this.#connections = new EndpointConnections(options, this.#counters);
  }

  /** How many endpoints there are, and how many of them are ready. */
  get counts(): { readonly ready: number; readonly known: number } {
    return this.#balancer.counts;
  }

  get unready(): ProxyFailure | undefined {
    const { ready, known } = this.#balancer.counts;
    return ready > 0 ? undefined : noneReady(this.label, known);
  }

  /**
   * Whether requests of HTTP/1 clients are to be parsed and sent with `open` rather than passed on as bytes
   * on a `lease`: some endpoint takes them over HTTP/2 (its application, or a proxy in front of it), or they
   * may be sent more than once.
   */
  get translates(): boolean {
    if (this.#policy !== undefined) return true;
    return someOverHttp2(this.protocol, this.#balancer.upgrading, this.#options.streams);
  }

  /**
   * Takes in the endpoints, and the rules for all of them, as they are now; requests that wait for one go on.
   */
  update(addresses: readonly EndpointAddress[], rules: TargetRules = {}): void {
    this.protocol = rules.protocol;
    const { accrual = DEFAULT_ACCRUAL } = this.#options;
    const own = rules.accrual === undefined ? accrual : { ...accrual, ...rules.accrual };
    this.#balancer.update(addresses, own);
    this.#follow(rules.requests);
    this.#connections.keepOnly(this.#balancer);
    if (this.#balancer.counts.ready > 0) this.#wait?.wake();
  }

  /** Takes in retries and timeouts, for requests that begin from now on. */
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

  /** Takes all endpoints away: unused connections are closed, flows that are under way go on. */
  close(): void {
    this.update([]);
  }

  /**
   * A connection to an endpoint: an unused one or a new one. Where an endpoint cannot be connected to,
   * another is tried; nothing has been sent yet, so that is always safe.
   * @param fresh whether a new connection is wanted
   * @param protocol `opaque`: for a raw flow, which counts as the endpoint's load until it ends
   * @param client whom it is for, where the endpoint is to be told
   * @param asked who could take it instead
   * @throws ProxyFailure
   */
  lease(
    fresh: boolean,
    protocol: LeaseProtocol = 'http1',
    client?: Field,
    asked?: LeaseRequest,
  ): Promise<ConnectionLease> {
    return this.#leased(fresh, protocol, { client }, asked?.alternatives);
  }

  /** As `lease`, but without waiting for an endpoint to be ready, and with one round over the endpoints. */
  leaseOrFail(fresh: boolean, protocol: LeaseProtocol, told?: ToldOfConnection): Promise<ConnectionLease> {
    return this.#leased(fresh, protocol, told, 0);
  }

  #leased(
    fresh: boolean,
    protocol: LeaseProtocol,
    told: ToldOfConnection | undefined,
    alternatives: number | undefined,
  ): Promise<ConnectionLease> {
    const lease = (picked: PickedEndpoint) => this.#connections.lease(picked, fresh, protocol, told);
    return this.#balanced(lease, undefined, alternatives);
  }

  /**
   * Whether another request can be sent now. `unproven`: the endpoints could not be connected to, or all
   * connections to them were lost, and one of them is due to be tried again (`prove`).
   */
  get standing(): Standing {
    if (this.#full) return 'closed';
    if (!this.#balancer.hasOpen) {
      const due = this.#balancer.due();
      if (due === undefined) return 'closed';
      if (due.refused) return 'unproven';
    }
    const state = this.#options.streams?.state;
    if (state === 'lost') return 'unproven';
    return state === 'late' ? 'closed' : 'open';
  }

  /** Tries to connect to an endpoint that could not be connected to, so that no request has to. */
  prove(): void {
    const endpoint = this.#balancer.due() ?? this.#balancer.anyOpen();
    if (endpoint !== undefined) this.#prove(endpoint);
  }

  /** The same where none can be used and none is due to be tried again: how long that takes costs nobody. */
  proveEarly(): void {
    const pick = this.#balancer.hasOpen ? undefined : this.#balancer.pick();
    if (pick !== undefined && !('none' in pick) && pick.endpoint.refused) this.#prove(pick.endpoint);
  }

  #prove(endpoint: EndpointState): void {
    (this.#proofs ??= new EndpointProofs(this.#connections, this.#counters)).begin(endpoint);
  }

  /**
   * Sends a request's head to an endpoint whose application speaks `protocol`; the rest goes through the
   * `Upstream`. A mesh proxy in front of it gets HTTP/1 requests over HTTP/2.
   * @param fresh whether a new HTTP/1 connection is wanted rather than an unused one
   * @throws ProxyFailure
   */
  open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh = false,
  ): Promise<Upstream> {
    const policy = this.#policy;
    if (policy !== undefined)
      return Promise.resolve(
        new RetryingRequest({ opener: this, policy, protocol, request, handler }).begin(),
      );
    return this.#openOne(protocol, request, handler, fresh);
  }

  /** As `open`, for one attempt of a retried request. */
  openAttempt(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    { fresh, earlier }: { readonly fresh: boolean; readonly earlier: EarlierTries },
  ): Promise<Upstream> {
    return this.#openOne(protocol, request, handler, fresh, earlier.endpoints);
  }

  #openOne(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh: boolean,
    avoid?: Set<EndpointState>,
  ): Promise<Upstream> {
    return this.#balanced(
      (picked) => {
        avoid?.add(picked.state);
        return this.#connections.open(picked, protocol, request, handler, fresh);
      },
      avoid,
      request.alternatives,
    );
  }

  /**
   * As `open`, but without waiting; undefined: no connection is at hand, and `open` is to be called.
   * @param now monotonic milliseconds
   */
  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    const policy = this.#policy;
    if (policy !== undefined)
      return new RetryingRequest({ opener: this, policy, protocol, request, handler }).begin();
    // What is recorded goes where its tries are heard of.
    const endpoint = request.trace === undefined ? this.#pickNow() : undefined;
    if (endpoint === undefined) return undefined;
    const upstream = this.#connections.openNow(endpoint, protocol, request, handler, now);
    if (upstream !== undefined) this.#outage?.over();
    return upstream;
  }

  /**
   * As `openNow`, for a request without a body that `watch` may take over: only where nothing speaks against
   * the endpoint that is picked.
   */
  openWatched(
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
    watch: TryWatch,
  ): Upstream | undefined {
    const endpoint = (this.#policy ?? request.trace) === undefined ? this.#pickNow() : undefined;
    if (endpoint?.open !== true) return undefined;
    const upstream = this.#connections.openWatched(endpoint, request, handler, now, watch);
    if (upstream !== undefined) this.#outage?.over();
    return upstream;
  }

  /** As `lease`, but without waiting; undefined: no unused connection is at hand. */
  leaseNow(): ConnectionLease | undefined {
    const endpoint = this.#pickNow();
    const lease = endpoint === undefined ? undefined : this.#connections.leaseNow(endpoint);
    if (lease !== undefined) this.#outage?.over();
    return lease;
  }

  #pickNow(): EndpointState | undefined {
    if (this.#full) return undefined;
    const picked = this.#pick();
    return 'none' in picked ? undefined : picked.endpoint;
  }

  /**
   * Picks an endpoint. One of several whose shared connections are late with their answers, or were lost, is
   * passed over as long as nothing is wrong with another; one that was lost is connected to in the
   * background.
   */
  #pick(tried?: ReadonlySet<EndpointState>): EndpointPick {
    const { streams } = this.#options;
    const first = this.#balancer.pick(tried);
    if (streams === undefined || this.#balancer.endpoints.length < 2) return first;
    let passed: Set<EndpointState> | undefined;
    for (let pick = first; !('none' in pick) && pick.endpoint.breaker !== 'ejected'; ) {
      const { endpoint } = pick;
      const state = streams.stateOf(endpoint);
      if (state === 'good') return pick;
      if (state === 'lost') this.#prove(endpoint);
      passed = (passed ?? new Set(tried)).add(endpoint);
      pick = this.#balancer.pick(passed);
    }
    return first;
  }

  /**
   * Whether a request that its endpoint refused unprocessed (REFUSED_STREAM, GOAWAY; RFC 9113 section 8.7)
   * may be sent again.
   * @param elapsedMs since the request came, milliseconds
   */
  mayOpenAgain(elapsedMs: number): boolean {
    return elapsedMs < (this.#options.failfastMs ?? FAILFAST_MS);
  }

  /**
   * Waits before such a request is sent again: not at all the first time, then for 2 to 100 ms.
   * @param refusals how many there were before this one
   */
  untilOpenAgain(refusals: number): Promise<void> {
    return untilOpenAgain(refusals, this.#options);
  }

  /** Takes back a connection that can carry another request. */
  giveBack(lease: ConnectionLease): void {
    this.#connections.giveBack(lease);
  }

  /**
   * Picks endpoints until one can be used. When none can be connected to, it begins again, until the failfast
   * time is over: nothing has been sent yet, and pods that are being replaced are back in a moment.
   * @param avoid endpoints that are used only where there is no other
   * @param alternatives as in `OutgoingRequest`; if given, it does not wait: the client tries its others
   */
  async #balanced<T>(
    use: (picked: PickedEndpoint) => Promise<T>,
    avoid?: ReadonlySet<EndpointState>,
    alternatives?: number,
  ): Promise<T> {
    this.#admit();
    let tried = avoid === undefined || avoid.size === 0 ? undefined : new Set(avoid);
    let last: ProxyFailure | undefined;
    let round = 0;
    for (;;) {
      const pick = this.#pick(tried);
      if ('none' in pick) {
        if (pick.none === 'no endpoints') await this.#untilReady(alternatives);
        // All endpoints have been tried, or are to be avoided: the next round may use any.
        else if (last !== undefined) await this.#nextRound(last, round++, alternatives);
        tried = undefined;
        continue;
      }
      const picked = pick.endpoint.begin();
      try {
        const used = await use(picked);
        this.#outage?.over();
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

  /**
   * Waits before another round over all endpoints, none of which could be connected to.
   * @throws the last failure, where there is to be no other round
   */
  async #nextRound(last: ProxyFailure, round: number, alternatives: number | undefined): Promise<void> {
    const { clock, random, failfastMs = FAILFAST_MS } = this.#options;
    this.#outage ??= new Outage(clock, random, failfastMs);
    if (alternatives === undefined && (await this.#outage.mayTryAgain(round))) return;
    throw unseen(new ProxyFailure(last.kind, last.message, last.cause, { unreached: true }), alternatives);
  }

  async #untilReady(alternatives: number | undefined): Promise<void> {
    const { label, clock, failfastMs = FAILFAST_MS, maxWaiting = MAX_WAITING } = this.#options;
    this.#wait ??= new EndpointWait({ label, clock, failfastMs, maxWaiting });
    try {
      await this.#wait.untilReady(this.#balancer.counts.known, alternatives === undefined);
    } catch (error) {
      throw unseen(this.caught(error), alternatives);
    }
  }

  /**
   * Refuses a request where too many are under way: one target that hangs must not take all memory.
   * @throws ProxyFailure `load shed`
   */
  #admit(): void {
    if (!this.#full) return;
    const text = `${this.label} has ${this.#underWay} requests under way, which is as many as it may have`;
    throw new ProxyFailure('load shed', text);
  }

  get #underWay(): number {
    return this.#balancer.pending + (this.#wait?.size ?? 0) + (this.#outage?.waiting ?? 0);
  }

  get #full(): boolean {
    return this.#underWay >= (this.#options.maxPending ?? MAX_PENDING);
  }
}

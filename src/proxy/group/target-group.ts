import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import type { Field } from '../http/fields.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { ProxyCounters } from '../metrics/counters.ts';
import type { GroupCounters } from '../metrics/group-counters.ts';
import type { ConnectionLease, LeaseProtocol } from '../upstream/connection-lease.ts';
import { Outage } from '../upstream/outage.ts';
import type { AttemptOpener } from '../upstream/retry/attempt.ts';
import type { EarlierTries } from '../upstream/retry/earlier-tries.ts';
import { RequestPolicy } from '../upstream/retry/policy.ts';
import { RetryingRequest } from '../upstream/retry/retrying-request.ts';
import type { LeaseRequest, SessionTarget } from '../upstream/session-target.ts';
import { FAILFAST_MS, MAX_PENDING } from '../upstream/target-options.ts';
import { untilOpenAgain } from '../upstream/unprocessed.ts';
import { drawBackend, Parts } from './draw.ts';
import { FirstTries } from './first-tries.ts';
import { type BackendDraw, type BackendSpec, GroupBackend } from './group-backend.ts';
import { GroupLease } from './group-lease.ts';
import { GroupRequest } from './group-request.ts';
import type { ChosenBackend, RequestedGroup } from './requested-group.ts';

/** What many groups may share. */
export interface TargetGroupOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: ProxyCounters;
  /**
   * How long requests are sent to the backends again where none has taken them (`failfast`), milliseconds;
   * default `FAILFAST_MS`.
   */
  readonly failfastMs?: number;
}

/**
 * For how long it holds that all backends can take a request, milliseconds: in between only the one that is
 * drawn is asked. What a backend says of itself takes a walk through its connections.
 */
const ALL_OPEN_MS = 5;

/** When a client whose request was refused may come again, in seconds: shares may have changed by then. */
const RETRY_AFTER_S = '1';

/**
 * Several targets that serve one Service. For each request and each raw connection, one of those that can
 * take it now is drawn in proportion to their shares. A request that a target has not processed goes to
 * another, whatever its method.
 */
export class TargetGroup implements SessionTarget, AttemptOpener, RequestedGroup {
  readonly label: string;
  readonly protocol = undefined;
  readonly filter = undefined;
  /** HTTP/1 requests are always parsed: a request that is passed on as bytes cannot be sent again. */
  readonly translates = true;
  readonly outage: Outage;
  readonly numbers: GroupCounters;
  readonly #options: TargetGroupOptions;
  #backends: readonly GroupBackend[] = [];
  #parts = new Parts<GroupBackend>([]);
  /** When all backends could take a request (monotonic milliseconds). */
  #allOpenAt = Number.NEGATIVE_INFINITY;
  #policy: RequestPolicy | undefined;
  #refused = 0;

  /** @param label `name:port`, for messages and metrics */
  constructor(label: string, options: TargetGroupOptions) {
    const { clock, random, counters, failfastMs = FAILFAST_MS } = options;
    this.label = label;
    this.#options = options;
    this.outage = new Outage(clock, random, failfastMs);
    this.numbers = counters.group(label);
  }

  get backends(): readonly GroupBackend[] {
    return this.#backends;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get random(): Random {
    return this.#options.random;
  }

  /**
   * Takes in the backends as they are now; those whose target stays keep their state. Their order means
   * nothing. New ones have the share of one among equals until `divide` says otherwise.
   * @param requests retries and timeouts of the group as a whole; undefined: there are none
   */
  update(specs: readonly BackendSpec[], requests?: RequestRules): void {
    const former = new Map(this.#backends.map((backend) => [backend.target, backend]));
    this.#backends = specs
      .map((spec) => former.get(spec.target) ?? new GroupBackend(spec, this.numbers.backend(spec.name)))
      .sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
    for (const backend of this.#backends) backend.http1Tries = backend.http2Tries = undefined;
    this.#divided();
    const before = this.#policy;
    if (requests === undefined) this.#policy = undefined;
    else if (before?.follows(requests) !== true)
      this.#policy = new RequestPolicy(requests, { ...this.#options, label: this.label }, before);
  }

  /**
   * Takes in how backends are drawn from now on.
   * @param draws by name of the backend; one that is missing is not drawn
   * @param refused the part of the requests and raw connections that is refused, 0 to 1; the others are
   * divided
   */
  divide(draws: ReadonlyMap<string, BackendDraw>, refused: number): void {
    for (const backend of this.#backends) backend.draw = draws.get(backend.name);
    this.#refused = refused;
    this.#divided();
  }

  #divided(): void {
    this.#parts = new Parts(this.#backends);
    this.#allOpenAt = Number.NEGATIVE_INFINITY;
  }

  caught(error: unknown): ProxyFailure {
    return this.#options.counters.caught(error);
  }

  pick(tried: readonly GroupBackend[], now: number, tier?: number): ChosenBackend | undefined {
    const open = this.pickOpen(tried, now, tier);
    if (open !== undefined) return open;
    const backend = drawBackend(this.#backends, isLeft(tried, tier), this.#options.random);
    return backend === undefined ? undefined : { backend, alternatives: 0 };
  }

  pickOpen(tried: readonly GroupBackend[], now: number, tier?: number): ChosenBackend | undefined {
    const any = tried.length === 0 && tier === undefined;
    if (any && this.#allOpen(now)) {
      const backend = this.#parts.draw(this.#options.random);
      // If it cannot, another draw among those that can has the same parts as if all had been asked before.
      if (backend?.takes(now) === true) return this.#amongAll(backend);
    }
    const open = this.#open(tried, now, tier);
    if (any) this.#allOpenAt = open === this.#backends ? now : Number.NEGATIVE_INFINITY;
    const backend = drawBackend(open, undefined, this.#options.random);
    return backend === undefined ? undefined : { backend, alternatives: open.length - 1 };
  }

  /** A backend that was drawn where all could take the request. */
  #amongAll(backend: GroupBackend): ChosenBackend {
    return { backend, alternatives: this.#backends.length - 1 };
  }

  /** Whether all backends could take a request when they were last asked, which is not long ago. */
  #allOpen(now: number): boolean {
    return now - this.#allOpenAt < ALL_OPEN_MS;
  }

  /** The backends that can take a request now. Each is asked once: that is most of what a draw costs. */
  #open(tried: readonly GroupBackend[], now: number, tier: number | undefined): readonly GroupBackend[] {
    const backends = this.#backends;
    if (tried.length > 0 || tier !== undefined) {
      const left = isLeft(tried, tier);
      return backends.filter((backend) => left(backend) && backend.takes(now));
    }
    // As a rule all can, and no list is made.
    let open: GroupBackend[] | undefined;
    let nth = 0;
    for (const backend of backends) {
      if (backend.takes(now)) open?.push(backend);
      else open ??= backends.slice(0, nth);
      nth++;
    }
    return open ?? backends;
  }

  open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh = false,
  ): Promise<Upstream> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    return Promise.resolve(this.#begin(protocol, request, handler, fresh, this.clock.monotonic()));
  }

  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now = this.clock.monotonic(),
  ): Upstream | undefined {
    // `open` can say that it is refused.
    return this.#refused > 0 ? undefined : this.#begin(protocol, request, handler, false, now);
  }

  openAttempt(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    { fresh, earlier }: { readonly fresh: boolean; readonly earlier: EarlierTries },
  ): Promise<Upstream> {
    const one = new GroupRequest(this, { protocol, request, handler, earlier }, this.clock.monotonic());
    one.begin(fresh);
    return Promise.resolve(one);
  }

  #begin(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh: boolean,
    now: number,
  ): Upstream {
    const policy = this.#policy;
    if (policy !== undefined)
      return new RetryingRequest({ opener: this, policy, protocol, request, handler }).begin();
    const isPlain = !fresh && request.framing.kind === 'none';
    const first = isPlain ? this.#drawFirst(request, now) : undefined;
    const refusal = first === undefined ? undefined : request.permit?.(first.name);
    const mayGo = first !== undefined && refusal === undefined;
    const sent = mayGo ? this.#sendFirst(first, protocol, request, handler, now) : undefined;
    if (sent !== undefined) return sent;
    const one = new GroupRequest(this, { protocol, request, handler, earlier: undefined }, now);
    // Not another draw where it can take it: backends that are never watched would have less than their
    // parts.
    const chosen = first?.takes(now) === true ? this.#amongAll(first) : undefined;
    if (chosen === undefined) one.begin(fresh);
    else one.beginAt(chosen, fresh, refusal);
    return one;
  }

  /**
   * Draws the backend of a request that has not been tried, where all backends are known to take one. A
   * permit counts whom it refuses, so it is asked about one that can take it only: another is drawn else.
   */
  #drawFirst({ permit }: OutgoingRequest, now: number): GroupBackend | undefined {
    if (this.outage.lasts(now) || !this.#allOpen(now)) return undefined;
    const drawn = this.#parts.draw(this.#options.random);
    return permit === undefined || drawn?.takes(now) === true ? drawn : undefined;
  }

  /** Sends a request without a body that is watched (`FirstTries`); undefined: that is not possible now. */
  #sendFirst(
    backend: GroupBackend,
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
  ): Upstream | undefined {
    if (backend.rests(now)) return undefined;
    const watch =
      protocol === 'http2'
        ? (backend.http2Tries ??= new FirstTries(this, backend, protocol))
        : (backend.http1Tries ??= new FirstTries(this, backend, protocol));
    const sent = backend.target.openWatched?.(request, handler, now, watch);
    if (sent !== undefined) this.outage.over();
    return sent;
  }

  leaseNow(): undefined {
    // Backends are drawn by share; one with an unused connection at hand must not be preferred.
    return undefined;
  }

  /** Draws whether a request is refused; undefined: it is not. */
  #refusal(): ProxyFailure | undefined {
    if (this.#refused === 0 || this.#options.random() >= this.#refused) return undefined;
    this.numbers.refused++;
    const text = `no backend of ${this.label} may get a larger share than it has`;
    return new ProxyFailure('load shed', text, undefined, { fields: { 'retry-after': RETRY_AFTER_S } });
  }

  async lease(
    fresh: boolean,
    protocol: LeaseProtocol = 'http1',
    client?: Field,
    asked?: LeaseRequest,
  ): Promise<ConnectionLease> {
    const overShare = this.#refusal();
    if (overShare !== undefined) throw overShare;
    return new GroupLease(this, { fresh, protocol, client, asked }).open();
  }

  /**
   * Closes it. Connections of groups are leased only for upgrades, raw connections and requests that
   * authenticate their connection, and no other client may use those.
   */
  giveBack({ connection }: ConnectionLease): void {
    connection.destroy();
  }

  mayOpenAgain(elapsedMs: number): boolean {
    // Between two rounds a request counts for no target: without a limit those that wait could take all
    // memory.
    if (this.outage.waiting >= MAX_PENDING) return false;
    return elapsedMs < (this.#options.failfastMs ?? FAILFAST_MS);
  }

  untilOpenAgain(refusals: number): Promise<void> {
    return untilOpenAgain(refusals, this.#options);
  }

  outOfReach(now: number): ProxyFailure | undefined {
    if (!this.outage.lasts(now)) return undefined;
    const failures = new Map<string, ProxyFailure>();
    for (const backend of this.#backends) {
      const { name, isUsed, unreached } = backend;
      if (!isUsed) continue;
      if (unreached === undefined || backend.takes(now)) return undefined;
      failures.set(name, unreached);
    }
    if (failures.size === 0) return undefined;
    return this.unserved(failures);
  }

  unserved(failures: ReadonlyMap<string, ProxyFailure>): ProxyFailure {
    if (failures.size === 0) return new ProxyFailure('failfast', `no backend of ${this.label} is known`);
    const [first] = failures.values();
    const whys = [...failures].map(([name, { message }]) => `${name}: ${message}`);
    return new ProxyFailure(first?.kind ?? 'connection failed', whys.join('; '));
  }
}

/** Whether a backend is drawn, has not been tried, and is in the tier, if only one is allowed. */
function isLeft(
  tried: readonly GroupBackend[],
  tier: number | undefined,
): (backend: GroupBackend) => boolean {
  return (backend) =>
    backend.isUsed && (tier === undefined || backend.tier === tier) && !tried.includes(backend);
}

import { backoffDelay, type Random } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import type { DialAddress, MeshPeer } from '../../io/dial-address.ts';

/** Peak-EWMA parameters; defaults are Linkerd's. */
export interface EwmaSettings {
  /** Estimate of an endpoint that has not answered yet, milliseconds; default 30. */
  readonly defaultRttMs: number;
  /** Time constant with which an old estimate loses its weight, milliseconds; default 10,000. */
  readonly decayMs: number;
}

/**
 * Consecutive-failure accrual. Defaults are Linkerd's, whose proxies have no `maxConnectFailures`, and count
 * only where a Service asks for it (wire protocol 3.3).
 */
export interface AccrualSettings {
  /**
   * Failures in a row that eject an endpoint; default 7. Failed connects are counted apart
   * (`maxConnectFailures`).
   */
  readonly maxFailures: number;
  /**
   * Failed connects in a row that eject an endpoint; default 1: an endpoint that refuses is not a fast one.
   */
  readonly maxConnectFailures: number;
  /**
   * First time that an ejected endpoint waits, milliseconds; default 1,000. It doubles with each failed
   * probation.
   */
  readonly minPenaltyMs: number;
  /** Longest such time, milliseconds, before jitter; default 60,000. */
  readonly maxPenaltyMs: number;
  /** Share of the time that is added at random, at most; default 0.5. */
  readonly jitter: number;
}

/** Linkerd's. */
export const DEFAULT_EWMA: EwmaSettings = { defaultRttMs: 30, decayMs: 10_000 };
/** The defaults of `AccrualSettings`. */
export const DEFAULT_ACCRUAL: AccrualSettings = {
  maxFailures: 7,
  maxConnectFailures: 1,
  minPenaltyMs: 1000,
  maxPenaltyMs: 60_000,
  jitter: 0.5,
};

/**
 * `open`: takes requests. `ejected`: failed, and waits, or is being probed. `probation`: its time is over,
 * the next request decides.
 */
export type Breaker = 'open' | 'ejected' | 'probation';

/** The endpoints among which one is picked. */
export interface EndpointTier {
  /** The state of its breaker has changed. */
  move(endpoint: EndpointState): void;
}

/** What was sent to one endpoint, by whichever targets. */
export interface EndpointCounts {
  /** Requests and raw flows. */
  requests: number;
  /** Those that it answered with a failure (5xx) or not at all, or for which it could not be connected to. */
  failures: number;
}

/** Where endpoints are counted. */
export interface CountingOptions {
  /** Where what is sent to an endpoint is counted, asked for once; default nowhere. */
  countsOf?(endpoint: DialAddress): EndpointCounts | undefined;
}

/** What all endpoints of a balancer share: the balancer itself. */
export interface EndpointParts extends CountingOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly ewma: EwmaSettings;
  /** Takes effect with the next failure. */
  readonly accrual: AccrualSettings;
  /** Told when `open`, `probing` or `ejectedUntil` has changed. */
  onBreaker(endpoint: EndpointState): void;
  /** Requests and flows in hand, of all endpoints together. */
  pending: number;
}

/** Whether an endpoint is one of a target's now. */
export type KnownEndpoints = Pick<ReadonlySet<EndpointState>, 'has'>;

/** What an endpoint's breaker knows, once something has failed: most endpoints never need it. */
interface Failures {
  /** In a row. */
  requests: number;
  connects: number;
  /** Ejections in a row. */
  penalties: number;
  ejectedUntil: number;
  /** Whether it was ejected because it could not be connected to. */
  refused: boolean;
  /** The attempt that decides whether it opens again. */
  probing: PickedEndpoint | undefined;
  /** Goes up whenever the endpoint is ejected: attempts from before then no longer count. */
  era: number;
}

/**
 * One endpoint as the balancer sees it: how long it takes, how much it has in hand, whether it is to be
 * trusted.
 */
export class EndpointState implements DialAddress {
  readonly host: string;
  readonly port: number;
  readonly mesh?: MeshPeer;
  /** Requests and flows in hand. */
  pending = 0;
  /** Among which it is picked; undefined: discovery gives it no more. For its balancer. */
  tier: EndpointTier | undefined;
  readonly #parts: EndpointParts;
  /** How long an answer takes, milliseconds. */
  #estimate: number;
  /** When the estimate was made (monotonic milliseconds). */
  #stamp: number;
  #failures: Failures | undefined;
  readonly #counts: EndpointCounts | undefined;

  constructor(place: DialAddress, parts: EndpointParts) {
    this.host = place.host;
    this.port = place.port;
    if (place.mesh !== undefined) this.mesh = place.mesh;
    this.#parts = parts;
    this.#counts = parts.countsOf?.(place);
    this.#estimate = parts.ewma.defaultRttMs;
    this.#stamp = parts.clock.monotonic();
  }

  get breaker(): Breaker {
    const { ejectedUntil } = this;
    if (ejectedUntil === 0) return 'open';
    return this.probing || this.#parts.clock.monotonic() < ejectedUntil ? 'ejected' : 'probation';
  }

  get open(): boolean {
    return this.ejectedUntil === 0;
  }

  /** Whether it was ejected because it could not be connected to. */
  get refused(): boolean {
    return this.#failures?.refused === true;
  }

  /** A request is out that decides whether it opens again. */
  get probing(): boolean {
    return this.#failures?.probing !== undefined;
  }

  /** When an ejected endpoint may be tried again (monotonic milliseconds); 0 when it is open. */
  get ejectedUntil(): number {
    return this.#failures === undefined ? 0 : this.#failures.ejectedUntil;
  }

  get #era(): number {
    return this.#failures === undefined ? 0 : this.#failures.era;
  }

  get #failed(): Failures {
    return (this.#failures ??= {
      requests: 0,
      connects: 0,
      penalties: 0,
      ejectedUntil: 0,
      refused: false,
      probing: undefined,
      era: 0,
    });
  }

  /** Estimated cost of giving it one more request. @param now monotonic milliseconds */
  load(now: number): number {
    return this.#estimate * Math.exp((this.#stamp - now) / this.#parts.ewma.decayMs) * (this.pending + 1);
  }

  /** A request or flow begins. Where the ejection is over, it decides whether the endpoint opens again. */
  begin(): PickedEndpoint {
    this.pending++;
    this.#parts.pending++;
    if (this.#counts !== undefined) this.#counts.requests++;
    const attempt = new PickedEndpoint(this, this.#era);
    if (this.breaker === 'probation') this.#probe(attempt);
    return attempt;
  }

  /**
   * Takes the outcome of an attempt. For `PickedEndpoint` only.
   * @param ms time to the first byte of the answer, where it counts
   */
  learn(attempt: PickedEndpoint, outcome: EndpointOutcome, ms: number | undefined, now?: number): void {
    if (ms !== undefined) this.#observe(ms, now ?? this.#parts.clock.monotonic());
    if (attempt.era !== this.#era) return;
    const decides = attempt === this.#failures?.probing;
    if (outcome === 'served') return this.#reopen();
    if (outcome === 'connected') return this.#connected();
    if (outcome === 'unknown') {
      if (decides) this.#probe(undefined);
      return;
    }
    // When all endpoints are ejected, requests are still tried; the failure of one of those is nothing new.
    if (this.open || decides) this.#fail(outcome === 'refused', decides);
  }

  #fail(refused: boolean, decides: boolean): void {
    const failed = this.#failed;
    const failures = refused ? ++failed.connects : ++failed.requests;
    const { maxConnectFailures, maxFailures } = this.#parts.accrual;
    const limit = refused ? maxConnectFailures : maxFailures;
    if (decides || failures >= limit) this.#eject(refused);
  }

  /** An attempt is over. For `PickedEndpoint` only. */
  release(outcome: EndpointOutcome): void {
    this.pending--;
    this.#parts.pending--;
    const counts = this.#counts;
    if (counts !== undefined && (outcome === 'failed' || outcome === 'refused')) counts.failures++;
  }

  /**
   * It has taken a connection: if it was ejected for refusing them it opens again, and what it does with
   * requests is counted apart.
   */
  #connected(): void {
    if (this.#failures === undefined) return;
    this.#failures.connects = 0;
    if (this.#failures.refused) this.#reopen();
  }

  #probe(attempt: PickedEndpoint | undefined): void {
    this.#failed.probing = attempt;
    this.#parts.onBreaker(this);
  }

  #reopen(): void {
    const failures = this.#failures;
    if (failures === undefined) return;
    failures.requests = 0;
    failures.connects = 0;
    if (this.open) return;
    failures.penalties = 0;
    failures.ejectedUntil = 0;
    failures.refused = false;
    failures.probing = undefined;
    this.#parts.onBreaker(this);
  }

  #eject(refused: boolean): void {
    const { clock, random, accrual } = this.#parts;
    const { minPenaltyMs, maxPenaltyMs, jitter } = accrual;
    const failures = this.#failed;
    const growing = { minMs: minPenaltyMs, maxMs: maxPenaltyMs, jitter: 0 };
    const base = backoffDelay(failures.penalties++, growing, random);
    failures.ejectedUntil = clock.monotonic() + base * (1 + jitter * random());
    failures.refused = refused;
    failures.probing = undefined;
    failures.era++;
    failures.requests = 0;
    failures.connects = 0;
    this.#parts.onBreaker(this);
  }

  /** Peak-sensitive: a slower answer counts at once, a faster one by and by. */
  #observe(ms: number, now: number): void {
    const weight = 1 - Math.exp((this.#stamp - now) / this.#parts.ewma.decayMs);
    this.#estimate = ms > this.#estimate ? ms : this.#estimate + (ms - this.#estimate) * weight;
    this.#stamp = now;
  }
}

/**
 * The outcome of an attempt at its endpoint. `served`: it answered, and not with a failure. `failed`: it
 * answered with one (5xx), or not at all. `connected`: it has taken a connection. `refused`: it could not be
 * connected to. `unknown`: the client went away first.
 */
export type EndpointOutcome = 'served' | 'failed' | 'connected' | 'refused' | 'unknown';

/**
 * One request or flow at an endpoint, from when it was picked. It ends once; later outcomes do not count.
 */
export class PickedEndpoint {
  /** What the balancer knows of the endpoint. */
  readonly state: EndpointState;
  /** How often the endpoint had been ejected when the attempt began. */
  readonly era: number;
  #over = false;

  constructor(state: EndpointState, era: number) {
    this.state = state;
    this.era = era;
  }

  /** `host:port`, for the access log. */
  get endpoint(): string {
    return `${this.state.host}:${this.state.port}`;
  }

  /** A new connection to the endpoint has been opened. */
  connected(): void {
    this.state.learn(this, 'connected', undefined);
  }

  /**
   * The endpoint does what it should; the flow goes on, which may be for hours, and is in hand until it ends.
   */
  accepted(): void {
    this.state.learn(this, 'served', undefined);
  }

  /**
   * The first byte of an answer came after `ms`, or a flow ended (`undefined`).
   * @param now monotonic milliseconds, where they are at hand
   */
  succeed(ms: number | undefined, now?: number): void {
    this.#end('served', ms, now);
  }

  /** The answer was a failure (5xx), or there was none. */
  fail(): void {
    this.#end('failed', undefined);
  }

  /** It could not be connected to. */
  failConnect(): void {
    this.#end('refused', undefined);
  }

  /** The request went away by the client's doing: no verdict about the endpoint. */
  abandon(): void {
    this.#end('unknown', undefined);
  }

  #end(outcome: EndpointOutcome, ms: number | undefined, now?: number): void {
    if (this.#over) return;
    this.#over = true;
    this.state.release(outcome);
    this.state.learn(this, outcome, ms, now);
  }
}

import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';

/** Peak-EWMA parameters; defaults are Linkerd's. */
export interface EwmaSettings {
  /** Estimate of an endpoint that has not answered yet, milliseconds; default 30. */
  readonly defaultRttMs: number;
  /** Time in which an old estimate loses its weight, milliseconds; default 10,000. */
  readonly decayMs: number;
}

/** Consecutive-failure accrual; defaults are Linkerd's. */
export interface AccrualSettings {
  /** Failures in a row that shut an endpoint; default 7. Failed connects count alone with `maxConnectFailures`. */
  readonly maxFailures: number;
  /** Failed connects in a row that shut an endpoint; default 1: an endpoint that refuses is not a fast one. */
  readonly maxConnectFailures: number;
  readonly minPenaltyMs: number;
  readonly maxPenaltyMs: number;
  readonly jitter: number;
}

export const DEFAULT_EWMA: EwmaSettings = { defaultRttMs: 30, decayMs: 10_000 };
export const DEFAULT_ACCRUAL: AccrualSettings = {
  maxFailures: 7,
  maxConnectFailures: 1,
  minPenaltyMs: 1000,
  maxPenaltyMs: 60_000,
  jitter: 0.5,
};

/** `open`: takes requests. `shut`: failed, waits. `probation`: one request decides. */
export type Breaker = 'open' | 'shut' | 'probation';

/** One endpoint as the balancer sees it: how long it takes, how much it has in hand, whether it is to be trusted. */
export class EndpointState {
  readonly host: string;
  readonly port: number;
  pending = 0;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #ewma: EwmaSettings;
  readonly #accrual: AccrualSettings;
  #estimate: number;
  #stamp: number;
  #failures = 0;
  #connectFailures = 0;
  #penalties = 0;
  #shutUntil = 0;
  #onProbation = false;

  constructor(
    address: { readonly host: string; readonly port: number },
    parts: {
      readonly clock: Clock;
      readonly random: Random;
      readonly ewma: EwmaSettings;
      readonly accrual: AccrualSettings;
    },
  ) {
    this.host = address.host;
    this.port = address.port;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#ewma = parts.ewma;
    this.#accrual = parts.accrual;
    this.#estimate = parts.ewma.defaultRttMs;
    this.#stamp = parts.clock.monotonic();
  }

  get breaker(): Breaker {
    if (this.#shutUntil === 0) return 'open';
    return this.#onProbation || this.#clock.monotonic() < this.#shutUntil ? 'shut' : 'probation';
  }

  /** When a shut endpoint may be tried again (monotonic milliseconds); 0 when it is open. */
  get shutUntil(): number {
    return this.#shutUntil;
  }

  /** Estimated cost of giving it one more request. */
  get load(): number {
    const age = this.#clock.monotonic() - this.#stamp;
    return this.#estimate * Math.exp(-age / this.#ewma.decayMs) * (this.pending + 1);
  }

  /** A request begins. On probation this is the one that decides. */
  begin(): void {
    if (this.breaker === 'probation') this.#onProbation = true;
    this.pending++;
  }

  /** The first byte of an answer came after `ms`, or the flow ended without a time (`undefined`). */
  succeed(ms: number | undefined): void {
    this.pending--;
    if (ms !== undefined) this.#observe(ms);
    this.#failures = 0;
    this.#connectFailures = 0;
    this.#penalties = 0;
    this.#shutUntil = 0;
    this.#onProbation = false;
  }

  /** The answer was a failure (5xx), or there was none. */
  fail(): void {
    this.pending--;
    this.#failures++;
    if (this.#onProbation || this.#failures >= this.#accrual.maxFailures) this.#shut();
  }

  /** It could not be connected to. */
  failConnect(): void {
    this.pending--;
    this.#connectFailures++;
    if (this.#onProbation || this.#connectFailures >= this.#accrual.maxConnectFailures) this.#shut();
  }

  /** The request went away by the client's doing: no verdict about the endpoint. */
  abandon(): void {
    this.pending--;
    this.#onProbation = false;
  }

  #shut(): void {
    const { minPenaltyMs, maxPenaltyMs, jitter } = this.#accrual;
    const base = backoffDelay(
      this.#penalties++,
      { minMs: minPenaltyMs, maxMs: maxPenaltyMs, jitter: 0 },
      this.#random,
    );
    this.#shutUntil = this.#clock.monotonic() + base * (1 + jitter * this.#random());
    this.#onProbation = false;
    this.#failures = 0;
    this.#connectFailures = 0;
  }

  /** Peak-sensitive: a slower answer counts at once, a faster one by and by. */
  #observe(ms: number): void {
    const now = this.#clock.monotonic();
    const weight = 1 - Math.exp(-(now - this.#stamp) / this.#ewma.decayMs);
    this.#estimate = ms > this.#estimate ? ms : this.#estimate + (ms - this.#estimate) * weight;
    this.#stamp = now;
  }
}

import type { RouteStats, TargetStats } from '../api/answers/stats-report.ts';
import { failures } from '../proxy/http/failures.ts';
import {
  addLatency,
  type LatencyNumbers,
  latencyCount,
  latencyQuantile,
  NO_LATENCY,
} from '../proxy/metrics/latency-histogram.ts';

/** The golden signals of something, for programs; null where there was no traffic. */
export interface SignalFields {
  /** The part of the requests that succeeded, 0 to 1. */
  readonly success: number | null;
  readonly rps: number | null;
  readonly latency_ms_p50: number | null;
  readonly latency_ms_p95: number | null;
  readonly latency_ms_p99: number | null;
  readonly tcp_open_connections: number | null;
  readonly tcp_read_bytes_rate: number | null;
  readonly tcp_write_bytes_rate: number | null;
  readonly in_flight: number;
  /** What the proxy itself has answered or ended, each second, by kind. */
  readonly errors: Readonly<Record<string, number>>;
}

/** What is known of requests, whoever counted them. */
export type Counted = Pick<TargetStats, 'requests' | 'failures'> &
  Partial<Pick<TargetStats, 'errors' | 'inFlight' | 'latency' | 'responses' | 'tcp' | 'waitedMs' | 'waits'>>;

/** What endpoints, and not proxies, have answered with 5xx or its like. */
export const ENDPOINT_FAILURES = 'ServerErrors';

interface TcpRates {
  readonly open: number;
  readonly readRate: number;
  readonly writeRate: number;
}

/** Adds up what processes have counted in their windows, of one thing. */
export class Tally {
  #requestRate = 0;
  #requests = 0;
  #ended = 0;
  #failed = 0;
  #inFlight = 0;
  #latency: LatencyNumbers = NO_LATENCY;
  #waits = 0;
  #waitedMs = 0;
  #tcp: TcpRates | undefined;
  readonly #errors = new Map<string, { count: number; rate: number }>();
  #endpointFailures = 0;

  /** @param ms how long that was counted, milliseconds */
  add(counted: Counted, ms: number): void {
    const seconds = ms / 1000;
    const { requests, inFlight = 0, errors = {}, tcp, latency } = counted;
    this.#requests += requests;
    this.#requestRate += requests / seconds;
    this.#inFlight += inFlight;
    const { ended, failed, ofEndpoints } = endsOf(counted);
    this.#ended += ended;
    this.#failed += failed;
    this.#endpointFailures += ofEndpoints;
    this.#waits += counted.waits ?? 0;
    this.#waitedMs += counted.waitedMs ?? 0;
    if (latency !== undefined) this.#latency = addLatency(this.#latency, latencyNumbers(latency));
    if (tcp !== undefined)
      this.#addTcp({
        open: tcp.open,
        readRate: tcp.readBytes / seconds,
        writeRate: tcp.writtenBytes / seconds,
      });
    for (const [kind, count] of Object.entries(errors)) this.#addError(kind, count, count / seconds);
  }

  /** All of another one, too. */
  include(other: Tally): void {
    this.#requests += other.#requests;
    this.#requestRate += other.#requestRate;
    this.#ended += other.#ended;
    this.#failed += other.#failed;
    this.#inFlight += other.#inFlight;
    this.#endpointFailures += other.#endpointFailures;
    this.#latency = addLatency(this.#latency, other.#latency);
    this.#waits += other.#waits;
    this.#waitedMs += other.#waitedMs;
    if (other.#tcp !== undefined) this.#addTcp(other.#tcp);
    for (const [kind, { count, rate }] of other.#errors) this.#addError(kind, count, rate);
  }

  #addTcp({ open, readRate, writeRate }: TcpRates): void {
    const known = this.#tcp ?? { open: 0, readRate: 0, writeRate: 0 };
    this.#tcp = {
      open: known.open + open,
      readRate: known.readRate + readRate,
      writeRate: known.writeRate + writeRate,
    };
  }

  #addError(kind: string, count: number, rate: number): void {
    const known = this.#errors.get(kind) ?? { count: 0, rate: 0 };
    this.#errors.set(kind, { count: known.count + count, rate: known.rate + rate });
  }

  /** Whether anything has begun, ended or is under way. */
  get busy(): boolean {
    return this.#requests > 0 || this.#ended > 0 || this.#inFlight > 0;
  }

  /** Requests and connections that have ended. */
  get ended(): number {
    return this.#ended;
  }

  get success(): number | undefined {
    return this.#ended > 0 ? 1 - this.#failed / this.#ended : undefined;
  }

  /** How many times were measured. */
  get answered(): number {
    return latencyCount(this.#latency);
  }

  /** The rate of one kind of failure, each second. */
  rateOf(...kinds: readonly string[]): number {
    return kinds.reduce((sum, kind) => sum + (this.#errors.get(kind)?.rate ?? 0), 0);
  }

  /** @param q 0 to 1 @returns milliseconds */
  quantile(q: number): number | undefined {
    return latencyQuantile(this.#latency, q);
  }

  /**
   * How long a request waits in the proxy until it is sent to an endpoint, of the median, milliseconds: where
   * most are sent at once, it is none of that.
   */
  get waitMs(): number {
    return this.#waits > 0 && this.#waits * 2 >= this.answered ? this.#waitedMs / this.#waits : 0;
  }

  /** The kind of failure that was most frequent; undefined: there was none. */
  get worstKind(): string | undefined {
    const kinds = [...this.#errors].map(([kind, { count }]) => [kind, count] as const);
    const ours = kinds.filter(([kind, count]) => isFailing(kind) && count > 0);
    const all = [...ours, [ENDPOINT_FAILURES, this.#endpointFailures] as const].filter(([, n]) => n > 0);
    return all.sort((a, b) => b[1] - a[1])[0]?.[0];
  }

  /** For programs. */
  get fields(): SignalFields {
    const { busy } = this;
    const ms = (q: number) => rounded(this.quantile(q));
    return {
      success: rounded(this.success, 1e6),
      rps: busy ? rounded(this.#requestRate) : null,
      latency_ms_p50: ms(0.5),
      latency_ms_p95: ms(0.95),
      latency_ms_p99: ms(0.99),
      tcp_open_connections: this.#tcp?.open ?? null,
      tcp_read_bytes_rate: rounded(this.#tcp?.readRate, 1),
      tcp_write_bytes_rate: rounded(this.#tcp?.writeRate, 1),
      in_flight: this.#inFlight,
      errors: Object.fromEntries([...this.#errors].map(([kind, { rate }]) => [kind, rounded(rate) ?? 0])),
    };
  }
}

/**
 * How many have ended, and failed. Answers count where there are any: a failure of the proxy is one of them
 * as a rule. Raw connections have none: those that are no longer open have ended.
 */
function endsOf(counted: Counted): { ended: number; failed: number; ofEndpoints: number } {
  const { requests, failures: failedAnswers, errors = {}, inFlight = 0, responses } = counted;
  const entries = Object.entries(errors);
  const ours = entries.reduce((sum, [kind, count]) => sum + (isFailing(kind) ? count : 0), 0);
  const failed = Math.max(failedAnswers, ours);
  const ended = responses === undefined || responses === 0 ? requests - inFlight : responses;
  return { ended: Math.max(ended, failed), failed, ofEndpoints: Math.max(0, failedAnswers - ours) };
}

/** Whether a failure is not the client's own: denials and limits are as they should be. */
function isFailing(kind: string): boolean {
  const known: Readonly<Record<string, { readonly status: number }>> = failures;
  return !Object.hasOwn(known, kind) || (known[kind]?.status ?? 500) >= 500;
}

/** The buckets by index, as they are added up. */
export function latencyNumbers({ sumMs, offset, counts }: TargetStats['latency']): LatencyNumbers {
  const buckets: Record<string, number> = {};
  for (const [at, count] of counts.entries()) if (count > 0) buckets[offset + at] = count;
  return { sum: sumMs, buckets };
}

/** Attempts at endpoints of a route, as `Tally` counts. */
export function attemptsOf({ attempts, failedAttempts }: RouteStats): Counted {
  return { requests: attempts, responses: attempts, failures: failedAttempts };
}

/** @param steps of one; default thousandths */
export function rounded(value: number | undefined, steps = 1000): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Math.round(value * steps) / steps;
}

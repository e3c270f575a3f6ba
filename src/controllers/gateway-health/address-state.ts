import type { ProbeOutcome, ProbeReason } from '../../api/reasons/probe-outcome.ts';

/**
 * When an address of a gateway counts as alive or dead, and when it is probed next. Pure: no clock, no I/O.
 *
 * With a Link's defaults (period 3 s, threshold 3, timeout 30 s) the worst cases are
 * - connections refused: dead after 1.65 s + 2 × 250 ms = 2.15 s;
 * - accepted but silent: dead after 1.65 s + 3 × 2 s + 2 × 250 ms = 8.15 s;
 * - back again: alive within 2.25 s (it comes back just after a probe that then times out).
 *
 * Linkerd probes once a period and lets each probe take its own timeout, which is 30 s by default: a silent
 * gateway is in use for 100 s.
 */

/** `unknown` until enough probes have been answered or failed to say which; then only probes change it. */
export type GatewayAddressState = 'unknown' | 'alive' | 'dead';

/** `probeSpec` of a Link. */
export interface ProbeTiming {
  /** Milliseconds; Link default 3000. Probes go out twice per period. */
  readonly periodMs: number;
  /** Milliseconds; Link default 30,000. An upper bound only: see `probeTimeoutMs`. */
  readonly timeoutMs: number;
  /** Failures in a row after which an address is dead; Link default 3. */
  readonly failureThreshold: number;
}

/** What the probes of one address have found so far. */
export interface AddressRecord {
  readonly state: GatewayAddressState;
  /** Failed probes since the last success. */
  readonly failures: number;
  /** How many of the last ones were refused in a row. */
  readonly refusals: number;
  /** Why the last probe failed; undefined: it was answered. */
  readonly reason: ProbeReason | undefined;
  /** The same for people; empty when the last probe was answered. */
  readonly message: string;
  /** Of the last probe that was answered. */
  readonly latencyMs: number | undefined;
  /** Milliseconds since the epoch of the last change of state. */
  readonly since: number;
  /** Milliseconds since the epoch of the last outcome. */
  readonly checked: number | undefined;
}

/** A probe's outcome, and what was known before it. */
export interface AddressFacts {
  readonly timing: ProbeTiming;
  readonly current: AddressRecord;
  readonly outcome: ProbeOutcome;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** In [0, 1): where in the range of jitter the next probe lies. */
  readonly jitter: number;
}

/** What is known now, and when the next probe is due. */
export interface AddressVerdict {
  readonly next: AddressRecord;
  /** Milliseconds from now until the next probe. */
  readonly delayMs: number;
}

/**
 * Time from a failure that does not decide yet to the next probe: without it a verdict would take whole
 * periods.
 */
export const RETRY_MS = 250;
/** So many refusals in a row make an `unknown` address dead, whatever the threshold. */
export const REFUSALS_WHEN_UNKNOWN = 2;
/** Share of the time between probes that is random, so that hundreds of Links do not probe in step. */
export const JITTER = 0.1;
/** Least time-out of a probe, whatever the Link says. */
export const MIN_TIMEOUT_MS = 200;
/** Least time between the beginnings of two probes, whatever the Link says. */
export const MIN_PACE_MS = 100;

/** An address that has just been added. */
export function newAddress(now: number): AddressRecord {
  return {
    state: 'unknown',
    failures: 0,
    refusals: 0,
    reason: undefined,
    message: 'not probed yet',
    latencyMs: undefined,
    since: now,
    checked: undefined,
  };
}

/**
 * Milliseconds for one probe: the Link's timeout, but at most two thirds of the period, and at least 200 ms.
 */
export function probeTimeoutMs(timing: ProbeTiming): number {
  return Math.max(MIN_TIMEOUT_MS, Math.min(timing.timeoutMs, Math.floor((timing.periodMs * 2) / 3)));
}

/**
 * The longest time in milliseconds from the moment that an alive address stops answering until it counts as
 * dead.
 * @param probeMs how long a probe takes to fail: 0 when connections are refused, `probeTimeoutMs` when it is
 * silent
 */
export function longestDetectionMs(timing: ProbeTiming, probeMs: number): number {
  const threshold = thresholdOf(timing);
  return paceMs(timing, 1) + threshold * probeMs + (threshold - 1) * RETRY_MS;
}

/** What the outcome of a probe makes of an address, and when to probe it again. */
export function nextAddress(facts: AddressFacts): AddressVerdict {
  const { current, outcome, now } = facts;
  const record = outcome.ok ? answered(current, outcome.latencyMs) : missed(facts, outcome);
  const since = record.state === current.state ? current.since : now;
  return { next: { ...record, since, checked: now }, delayMs: delayMs(facts, record.state) };
}

function answered(current: AddressRecord, latencyMs: number): AddressRecord {
  return { ...current, state: 'alive', failures: 0, refusals: 0, reason: undefined, message: '', latencyMs };
}

function missed(facts: AddressFacts, outcome: ProbeOutcome & { ok: false }): AddressRecord {
  const { current, timing } = facts;
  const { reason, message } = outcome;
  const failures = current.failures + 1;
  const refusals = reason === 'ProbeRefused' ? current.refusals + 1 : 0;
  const refused = current.state === 'unknown' && refusals >= REFUSALS_WHEN_UNKNOWN;
  const state = refused || failures >= thresholdOf(timing) ? 'dead' : current.state;
  return { ...current, state, failures, refusals, reason, message };
}

/**
 * Milliseconds from the outcome of a probe to the next one. The time between two probes counts from their
 * beginnings, so that slow answers do not stretch it. A failure that decides nothing yet is followed by the
 * next probe after `RETRY_MS`; a dead address is left alone for at least as long.
 */
function delayMs({ timing, outcome, jitter }: AddressFacts, state: GatewayAddressState): number {
  const rest = paceMs(timing, jitter) - outcome.latencyMs;
  if (outcome.ok) return Math.max(0, rest);
  return state === 'dead' ? Math.max(RETRY_MS, rest) : RETRY_MS;
}

function paceMs(timing: ProbeTiming, jitter: number): number {
  return Math.max(MIN_PACE_MS, (timing.periodMs / 2) * (1 + JITTER * jitter));
}

function thresholdOf(timing: ProbeTiming): number {
  return Math.max(1, timing.failureThreshold);
}

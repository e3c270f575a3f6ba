import { MAX_FACTS_LENGTH } from './failover-names.ts';
import { readJsonObject } from './json-object.ts';

/** Whether a cluster can be reached for traffic; `unknown`: no probe has ended yet. */
export type PathState = 'alive' | 'dead' | 'unknown';

/**
 * What the peer of a member has observed of it. Shares are decided from nothing else, so every process that
 * reads the same facts decides the same (ADR 0035).
 */
export interface FailoverFacts {
  readonly path: PathState;
  /** Number of ready endpoints. */
  readonly ready: number;
  /** Number of all endpoints, ready or not; at least `ready`. */
  readonly known: number;
  /**
   * Number of endpoints that the member has when it is healthy: the highest number that was ready in the
   * capacity window; at least `ready`.
   */
  readonly expected: number;
  /** Since when it could always be used, milliseconds since the epoch; null: it cannot be used. */
  readonly usableSince: number | null;
  /** How often it was withdrawn; 0 again after it has had its full share for ten minutes. */
  readonly flaps: number;
  /**
   * When something was last observed of it before this was written, milliseconds since the epoch. When its
   * cluster was last heard of at all is in the status of the Link.
   */
  readonly lastWord: number;
}

/** Largest number of endpoints that is accepted. */
export const MAX_ENDPOINTS = 1_000_000;
/** Withdrawals are counted up to this number; the hold does not grow any more long before. */
export const MAX_FLAPS = 64;
/** Latest time: the end of the year 9999, so that a hold or a ramp that begins then is still a `Date`. */
const MAX_TIME = Date.UTC(10_000, 0, 1) - 1;

/** The value of the annotation for facts; equal facts have equal values. */
export function writeFacts(facts: FailoverFacts): string {
  const { path, ready, known, expected, usableSince, flaps, lastWord } = facts;
  return JSON.stringify({ path, ready, known, expected, usableSince, flaps, lastWord });
}

/**
 * Reads the value of the annotation; unknown keys are ignored.
 * @returns undefined where the text is not valid: nothing is known of the member then
 */
export function readFacts(text: string | undefined): FailoverFacts | undefined {
  const said = readJsonObject(text, MAX_FACTS_LENGTH);
  if (said === undefined || !areFacts(said)) return undefined;
  const { path, ready, known, expected, usableSince, flaps, lastWord } = said;
  return {
    path,
    ready,
    known: Math.max(known, ready),
    expected: Math.max(expected, ready),
    usableSince,
    flaps: Math.min(flaps, MAX_FLAPS),
    lastWord,
  };
}

function areFacts(said: Partial<Record<keyof FailoverFacts, unknown>>): said is FailoverFacts {
  return (
    isPath(said.path) &&
    isWhole(said.ready, MAX_ENDPOINTS) &&
    isWhole(said.known, MAX_ENDPOINTS) &&
    isWhole(said.expected, MAX_ENDPOINTS) &&
    (said.usableSince === null || isWhole(said.usableSince, MAX_TIME)) &&
    isWhole(said.flaps, Number.MAX_SAFE_INTEGER) &&
    isWhole(said.lastWord, MAX_TIME)
  );
}

function isPath(value: unknown): value is PathState {
  return value === 'alive' || value === 'dead' || value === 'unknown';
}

function isWhole(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

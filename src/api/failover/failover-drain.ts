import { parseDuration } from '../../base/duration.ts';
import { plainWords } from '../../base/text.ts';
import { MAX_DRAIN_LENGTH } from './failover-names.ts';
import { readJsonObject, readTime } from './json-object.ts';

/** A drain: for a time, a cluster gets less traffic, or none. */
export interface FailoverDrain {
  /** The part of its share that is left at the end of the ramp: 0 (nothing) to 1. */
  readonly to: number;
  /** When it begins, milliseconds since the epoch. */
  readonly start: number;
  /** How long its share takes to fall, and later to grow again, milliseconds; 0: at once. */
  readonly rampMs: number;
  /** When it ends, milliseconds since the epoch. */
  readonly until: number;
  /** Whether it is a drill. */
  readonly drill: boolean;
  /** Who has started it, and why; only shown to users. */
  readonly by?: string;
  readonly reason?: string;
}

/** Longest ramp: a day. */
export const MAX_DRAIN_RAMP_MS = 86_400_000;
/** Longest `by` and `reason`, in characters; more is cut off, and there is one line of each. */
const MAX_WORDS = 200;

/** The value of the annotation for a drain. */
export function writeDrain(drain: FailoverDrain): string {
  const { to, start, rampMs, until, drill } = drain;
  return JSON.stringify({
    to,
    start: new Date(start).toISOString(),
    ramp: `${rampMs}ms`,
    until: new Date(until).toISOString(),
    ...(drill ? { drill } : {}),
    ...wordsOf(drain),
  });
}

/**
 * Reads the text of an annotation: `{"to": 0, "start": "2026-11-29T14:00:00Z", "ramp": "5m", "until":
 * "2026-11-29T16:00:00Z"}`. `until` is required, because a drain without an end would be forgotten.
 * @returns undefined where the text is not a valid drain
 */
export function readDrain(text: string | undefined): FailoverDrain | undefined {
  const read = text === undefined ? undefined : parseDrain(text);
  return typeof read === 'string' ? undefined : read;
}

/** What is wrong with the text of an annotation, for people; undefined: nothing, or there is none. */
export function drainProblem(text: string | undefined): string | undefined {
  const read = text === undefined ? undefined : parseDrain(text);
  return typeof read === 'string' ? read : undefined;
}

const TIME = 'a time such as "2026-11-29T16:00:00Z"';

/** @returns a text: what is wrong */
function parseDrain(text: string): FailoverDrain | string {
  const said = readJsonObject(text, MAX_DRAIN_LENGTH);
  if (said === undefined) return `no JSON object of up to ${MAX_DRAIN_LENGTH} characters`;
  const { to, drill } = said;
  if (typeof to !== 'number' || !(to >= 0 && to <= 1)) return '"to" must be a number from 0 to 1';
  const [start, until] = [readTime(said['start']), readTime(said['until'])];
  if (start === undefined) return `"start" must be ${TIME}`;
  if (until === undefined) return `"until" must be ${TIME}: a drain without an end would be forgotten`;
  if (until < start) return '"until" is before "start"';
  const rampMs = rampOf(said['ramp']);
  if (rampMs === undefined) return '"ramp" must be a time of up to 24h, such as "5m"';
  return { to, start, rampMs, until, drill: drill === true, ...wordsOf(said) };
}

function wordsOf({
  by,
  reason,
}: {
  readonly by?: unknown;
  readonly reason?: unknown;
}): Pick<FailoverDrain, 'by' | 'reason'> {
  return {
    ...(typeof by === 'string' ? { by: plainWords(by, MAX_WORDS) } : {}),
    ...(typeof reason === 'string' ? { reason: plainWords(reason, MAX_WORDS) } : {}),
  };
}

function rampOf(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? parseDuration(value) : undefined;
  return ms !== undefined && ms <= MAX_DRAIN_RAMP_MS ? Math.round(ms) : undefined;
}

import { type Annotations, readAnnotation } from '../../api/annotations.ts';
import { FAILURE_ACCRUAL, FAILURE_ACCRUAL_CONSECUTIVE } from '../../api/linkerd/traffic-annotations.ts';
import { parseDuration } from '../../base/duration.ts';

/** Which failures eject an endpoint, and for how long, as a Service says it. */
export interface AccrualRules {
  /** Failures in a row. */
  readonly maxFailures: number;
  readonly minPenaltyMs: number;
  readonly maxPenaltyMs: number;
  /** Share of the time that is added at random, at most: 0 to 100. */
  readonly jitter: number;
}

export interface ReadAccrual {
  /** Absent: the Service says nothing that can be followed. */
  readonly accrual?: AccrualRules;
  /** What is wrong with the annotations, one line each, and what is done instead. */
  readonly problems: readonly string[];
}

type Part = 'max-failures' | 'jitter-ratio' | 'min-penalty' | 'max-penalty';
/** What Linkerd takes for what is not said. */
const DEFAULTS: AccrualRules = { maxFailures: 7, minPenaltyMs: 1000, maxPenaltyMs: 60_000, jitter: 0.5 };
const NOTHING_WRONG: ReadAccrual = { problems: [] };

/**
 * Reads `balancer.linkerd.io/failure-accrual` and what belongs to it. A value that is wrong gives way to its
 * default, because a slip in one annotation must not take a Service's protection away, nor the Service. Pure.
 */
export function readAccrual(annotations: Annotations = {}): ReadAccrual {
  const mode = readAnnotation(annotations, FAILURE_ACCRUAL)?.trim();
  if (mode === undefined) {
    const idle = Object.keys(annotations).filter((key) => key.startsWith(FAILURE_ACCRUAL_CONSECUTIVE));
    if (idle.length === 0) return NOTHING_WRONG;
    return {
      problems: idle.sort().map((key) => `${key} has no effect without ${FAILURE_ACCRUAL}: consecutive`),
    };
  }
  const problems: string[] = [];
  if (mode === 'unified')
    problems.push(`${FAILURE_ACCRUAL}: "unified" is not known here, failures in a row are counted`);
  else if (mode !== 'consecutive')
    return { problems: [`${FAILURE_ACCRUAL}: "${mode}" is not known, it is ignored`] };

  const read = (name: Part, byDefault: string, parse: (text: string) => number | undefined) => {
    const text = readAnnotation(annotations, `${FAILURE_ACCRUAL_CONSECUTIVE}${name}`);
    const value = text === undefined ? undefined : parse(text.trim());
    if (text !== undefined && value === undefined)
      problems.push(`${FAILURE_ACCRUAL_CONSECUTIVE}${name}: "${text}" is not valid, it is ${byDefault}`);
    return value;
  };
  const maxFailures = read('max-failures', '7', parseCount) ?? DEFAULTS.maxFailures;
  const jitter = read('jitter-ratio', '0.5', parseRatio) ?? DEFAULTS.jitter;
  const minPenaltyMs = read('min-penalty', '1s', parsePenalty) ?? DEFAULTS.minPenaltyMs;
  const maxPenaltyMs = read('max-penalty', '1m', parsePenalty) ?? DEFAULTS.maxPenaltyMs;
  if (minPenaltyMs <= maxPenaltyMs)
    return { accrual: { maxFailures, jitter, minPenaltyMs, maxPenaltyMs }, problems };
  problems.push(`${FAILURE_ACCRUAL_CONSECUTIVE}min-penalty is longer than max-penalty, they are 1s and 1m`);
  const { minPenaltyMs: min, maxPenaltyMs: max } = DEFAULTS;
  return { accrual: { maxFailures, jitter, minPenaltyMs: min, maxPenaltyMs: max }, problems };
}

function parseCount(text: string): number | undefined {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  return count >= 1 ? count : undefined;
}

function parseRatio(text: string): number | undefined {
  const ratio = /^\d{1,3}(\.\d{1,9})?$/.test(text) ? Number(text) : Number.NaN;
  return ratio <= 100 ? ratio : undefined;
}

function parsePenalty(text: string): number | undefined {
  const ms = parseDuration(text);
  return ms !== undefined && ms > 0 && Number.isFinite(ms) ? ms : undefined;
}

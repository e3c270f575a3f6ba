import type { AnnotationReader } from '../../api/annotation-reader.ts';
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

type Part = 'max-failures' | 'jitter-ratio' | 'min-penalty' | 'max-penalty';
/** Linkerd's defaults. */
const DEFAULTS: AccrualRules = { maxFailures: 7, minPenaltyMs: 1000, maxPenaltyMs: 60_000, jitter: 0.5 };

/**
 * Reads `balancer.linkerd.io/failure-accrual` and what belongs to it; undefined where nothing is said that
 * can be followed. A wrong value is replaced by its default: a slip in one annotation must take away neither
 * the Service's protection nor the Service.
 */
export function readAccrual(reader: AnnotationReader): AccrualRules | undefined {
  const mode = reader.read([FAILURE_ACCRUAL], parseMode, 'is not known, it is ignored');
  if (mode === undefined) {
    if (!reader.names.includes(FAILURE_ACCRUAL))
      for (const name of reader.names.filter((one) => one.startsWith(FAILURE_ACCRUAL_CONSECUTIVE)).sort())
        reader.problems.push(`${name} has no effect without ${FAILURE_ACCRUAL}: consecutive`);
    return undefined;
  }
  if (mode === 'unified')
    reader.problems.push(`${FAILURE_ACCRUAL}: "unified" is not known here, failures in a row are counted`);

  const read = (part: Part, byDefault: string, parse: (text: string) => number | undefined) =>
    reader.read([`${FAILURE_ACCRUAL_CONSECUTIVE}${part}`], parse, `is not valid, it is ${byDefault}`);
  const maxFailures = read('max-failures', '7', parseCount) ?? DEFAULTS.maxFailures;
  const jitter = read('jitter-ratio', '0.5', parseRatio) ?? DEFAULTS.jitter;
  const minPenaltyMs = read('min-penalty', '1s', parsePenalty) ?? DEFAULTS.minPenaltyMs;
  const maxPenaltyMs = read('max-penalty', '1m', parsePenalty) ?? DEFAULTS.maxPenaltyMs;
  if (minPenaltyMs <= maxPenaltyMs) return { maxFailures, jitter, minPenaltyMs, maxPenaltyMs };
  reader.problems.push(
    `${FAILURE_ACCRUAL_CONSECUTIVE}min-penalty is longer than max-penalty, they are 1s and 1m`,
  );
  reader.drop(`${FAILURE_ACCRUAL_CONSECUTIVE}min-penalty`, `${FAILURE_ACCRUAL_CONSECUTIVE}max-penalty`);
  const { minPenaltyMs: min, maxPenaltyMs: max } = DEFAULTS;
  return { maxFailures, jitter, minPenaltyMs: min, maxPenaltyMs: max };
}

function parseMode(text: string): 'consecutive' | 'unified' | undefined {
  return text === 'consecutive' || text === 'unified' ? text : undefined;
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

import type { AnnotationReader } from '../../api/annotation-reader.ts';
import {
  BUDGET_ANNOTATIONS,
  readBudget,
  readRetry,
  RETRY_ANNOTATIONS,
} from '../retries/retry-annotations.ts';
import { readTimeouts, TIMEOUT_ANNOTATIONS } from '../timeouts/timeout-rules.ts';
import type { RequestRules } from './request-rules.ts';

export interface ReadRequests {
  /** Absent: nothing is said that can be followed. */
  readonly requests?: RequestRules;
  /** What is wrong, one line each, and what is done instead. */
  readonly problems: readonly string[];
}

const ALL: ReadonlySet<string> = new Set([...RETRY_ANNOTATIONS, ...TIMEOUT_ANNOTATIONS]);

/**
 * Reads what a Service says of retries and timeouts; undefined where nothing is said that can be followed. A
 * value that is wrong is left out, and what else is said holds: a slip in one annotation must not take the
 * others away. Any retry annotation that can be followed turns retries on.
 */
export function readRequestAnnotations(reader: AnnotationReader): RequestRules | undefined {
  if (!reader.names.some((name) => ALL.has(name))) return undefined;
  const retry = readRetry(reader);
  const timeouts = readTimeouts(reader);
  const budget = readBudget(reader);
  // A budget means nothing where there are no retries.
  if (retry === undefined) reader.drop(...BUDGET_ANNOTATIONS);
  if (retry === undefined && timeouts === undefined) return undefined;
  return {
    ...(retry === undefined ? {} : { retry }),
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(retry === undefined || budget === undefined ? {} : { budget }),
  };
}

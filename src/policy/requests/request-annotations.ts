import { AnnotationReader } from '../../api/annotation-reader.ts';
import type { Annotations } from '../../api/annotations.ts';
import { readBudget, readRetry, RETRY_ANNOTATIONS } from '../retries/retry-annotations.ts';
import { readTimeouts, TIMEOUT_ANNOTATIONS } from '../timeouts/timeout-annotations.ts';
import type { RequestRules } from './request-rules.ts';

export interface ReadRequests {
  /** Absent: nothing is said that can be followed. */
  readonly requests?: RequestRules;
  /** What is wrong, one line each, and what is done instead. */
  readonly problems: readonly string[];
}

const ALL: ReadonlySet<string> = new Set([...RETRY_ANNOTATIONS, ...TIMEOUT_ANNOTATIONS]);
const NOTHING: ReadRequests = { problems: [] };

/**
 * Reads what a Service says of retries and timeouts. A value that is wrong is left out, and what else is said
 * holds: a slip in one annotation must not take the others away. Any retry annotation that can be followed
 * turns retries on. Pure.
 */
export function readRequestAnnotations(annotations: Annotations = {}): ReadRequests {
  if (!Object.keys(annotations).some((key) => ALL.has(key))) return NOTHING;
  const reader = new AnnotationReader(annotations);
  const retry = readRetry(reader);
  const timeouts = readTimeouts(reader);
  const budget = readBudget(reader);
  const { problems } = reader;
  const rules = {
    ...(retry === undefined ? {} : { retry }),
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(retry === undefined || budget === undefined ? {} : { budget }),
  };
  return retry === undefined && timeouts === undefined ? { problems } : { requests: rules, problems };
}

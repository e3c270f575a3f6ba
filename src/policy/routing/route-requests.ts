import { AnnotationReader } from '../../api/annotation-reader.ts';
import type { Annotations } from '../../api/annotations.ts';
import { NotValid } from '../../api/routing/read-value.ts';
import type { WrittenRetry, WrittenTimeouts } from '../../api/routing/route-spec.ts';
import { parseDuration } from '../../base/duration.ts';
import { readRequestAnnotations } from '../requests/request-annotations.ts';
import type { RequestRules } from '../requests/request-rules.ts';
import type { RetryRules } from '../retries/retry-rules.ts';
import type { TimeoutRules } from '../timeouts/timeout-rules.ts';

/** Longest time limit: timers of JavaScript are 31 bits of milliseconds. */
const MAX_MS = 0x7fffffff;
/** Most retries of one request, and the longest pause before one, whatever a route asks for. */
const MAX_RETRIES = 10;
const MAX_PAUSE_MS = 60_000;
/** Statuses that are retried where a route asks for retries and names none. */
const DEFAULT_STATUSES = [{ min: 500, max: 599 }];

/**
 * What the annotations of a route say of its requests, as those of a Service do (`retry.linkerd.io/…`,
 * `timeout.linkerd.io/…`).
 */
export function annotatedRequests(annotations: Annotations | undefined): {
  readonly requests: RequestRules | undefined;
  readonly problems: readonly string[];
} {
  const reader = new AnnotationReader(annotations);
  const requests = readRequestAnnotations(reader);
  return { requests, problems: reader.problems };
}

/**
 * Retries and timeouts of a rule: what its own fields say, else what the annotations of its route say.
 * `timeouts.backendRequest` is the limit of one try. No attempts, and limits of `0s`, are words, too: then
 * there are none, whatever annotations of the route or of the Service say.
 * @returns undefined: nothing is said, and what the Service says holds
 * @throws NotValid
 */
export function ruleRequests(
  annotated: RequestRules | undefined,
  timeouts: WrittenTimeouts | null | undefined,
  retry: WrittenRetry | null | undefined,
): RequestRules | undefined {
  if (annotated === undefined && !retry && !saysTime(timeouts)) return undefined;
  const limits = timeRules(annotated?.timeouts, timeouts);
  const retries = retry ? retryRules(retry) : annotated?.retry;
  return {
    ...(retries === undefined || retries.limit === 0 ? {} : { retry: retries }),
    ...(limits === undefined ? {} : { timeouts: limits }),
    ...(annotated?.budget === undefined ? {} : { budget: annotated.budget }),
  };
}

function saysTime(written: WrittenTimeouts | null | undefined): boolean {
  return Boolean(written?.request) || Boolean(written?.backendRequest);
}

function timeRules(
  annotated: TimeoutRules | undefined,
  written: WrittenTimeouts | null | undefined,
): TimeoutRules | undefined {
  const requestMs = time(written?.request) ?? annotated?.requestMs;
  const responseMs = time(written?.backendRequest) ?? annotated?.responseMs;
  const idleMs = annotated?.idleMs;
  const rules = Object.entries({ requestMs, responseMs, idleMs }).filter(([, ms]) => ms);
  return rules.length === 0 ? undefined : (Object.fromEntries(rules) as TimeoutRules);
}

function retryRules({ codes, attempts, backoff }: WrittenRetry): RetryRules {
  const pauseMs = time(backoff);
  return {
    statuses: codes?.length ? codes.map((code) => ({ min: code, max: code })) : DEFAULT_STATUSES,
    grpc: [],
    limit: Math.min(attempts ?? 1, MAX_RETRIES),
    ...(pauseMs === undefined ? {} : { pauseMs: Math.min(pauseMs, MAX_PAUSE_MS) }),
  };
}

/** A duration of Gateway API (GEP-2257); `0s` is no limit, and undefined where nothing is said. */
function time(text: string | null | undefined): number | undefined {
  if (!text) return undefined;
  const ms = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text) ? parseDuration(text) : undefined;
  if (ms === undefined) throw new NotValid(`"${text.slice(0, 60)}" is no duration`);
  return Math.min(ms, MAX_MS);
}

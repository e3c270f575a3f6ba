/**
 * Annotations on a Service by which people say how its requests are treated (wire protocol 3.3 and 3.4):
 * Linkerd's, each with its older spelling where there is one, the first that is there holds; and ours where
 * Linkerd has none. What they mean is read in src/policy.
 */

/** Which answers are tried again. */
export const RETRY_HTTP = ['retry.linkerd.io/http', 'linkerd.io/retry-on'] as const;
export const RETRY_GRPC = ['retry.linkerd.io/grpc'] as const;
/** How often, and how long one try may take. */
export const RETRY_LIMIT = ['retry.linkerd.io/limit', 'linkerd.io/retry-max'] as const;
export const RETRY_TIMEOUT = ['retry.linkerd.io/timeout'] as const;
/** Ours: Linkerd has a budget in ServiceProfiles only. */
export const RETRY_BUDGET_RATIO = ['linkspan.dev/retry-budget-ratio'] as const;
export const RETRY_BUDGET_MIN = ['linkspan.dev/retry-budget-min-per-second'] as const;
export const RETRY_BUDGET_TTL = ['linkspan.dev/retry-budget-ttl'] as const;

/** How long a request may take, its answer, and silence. */
export const TIMEOUT_REQUEST = ['timeout.linkerd.io/request', 'linkerd.io/timeout'] as const;
export const TIMEOUT_RESPONSE = ['timeout.linkerd.io/response'] as const;
export const TIMEOUT_IDLE = ['timeout.linkerd.io/idle'] as const;

/** Which failures shut an endpoint, and what belongs to `consecutive`. */
export const FAILURE_ACCRUAL = 'balancer.linkerd.io/failure-accrual';
export const FAILURE_ACCRUAL_CONSECUTIVE = `${FAILURE_ACCRUAL}-consecutive-` as const;

/** All of them. */
export const TRAFFIC_ANNOTATIONS = [
  ...RETRY_HTTP,
  ...RETRY_GRPC,
  ...RETRY_LIMIT,
  ...RETRY_TIMEOUT,
  ...RETRY_BUDGET_RATIO,
  ...RETRY_BUDGET_MIN,
  ...RETRY_BUDGET_TTL,
  ...TIMEOUT_REQUEST,
  ...TIMEOUT_RESPONSE,
  ...TIMEOUT_IDLE,
  FAILURE_ACCRUAL,
  `${FAILURE_ACCRUAL_CONSECUTIVE}max-failures`,
  `${FAILURE_ACCRUAL_CONSECUTIVE}jitter-ratio`,
  `${FAILURE_ACCRUAL_CONSECUTIVE}min-penalty`,
  `${FAILURE_ACCRUAL_CONSECUTIVE}max-penalty`,
] as const;
export type TrafficAnnotation = (typeof TRAFFIC_ANNOTATIONS)[number];

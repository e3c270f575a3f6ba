import type { DemandReport } from '../../api/answers/demand-report.ts';
import { FAILOVER_CONDITIONS } from '../../api/failover/failover-names.ts';
import type { FailoverReason } from '../../api/failover/failover-reasons.ts';

/**
 * What those who ask a Service's backends have met lately. `strained`: requests fail or wait; `met`: they do
 * not; `unheard`: nobody has said anything about it.
 */
export type Demand = (typeof DEMANDS)[number];

const DEMANDS = ['strained', 'met', 'unheard'] as const;

/** What one witness has counted of a Service; all but `pending` only grow. */
export type DemandCounts = Omit<DemandReport, 'service'>;

/**
 * The part of requests that fail from which on they count, 0 to 1: below, applications fail by themselves.
 */
const STRAINED_PART = 0.01;

/**
 * Whether requests fail or wait between two looks at one witness. One that has started anew counts from
 * nothing. Pure.
 */
export function isStrained(before: DemandCounts, now: DemandCounts): boolean {
  if (now.pending > 0) return true;
  const isAnew = now.requests < before.requests;
  const since = (what: 'requests' | 'failures' | 'refused') =>
    Math.max(0, now[what] - (isAnew ? 0 : before[what]));
  // A request that nobody took is answered by a failure, where it is one of HTTP.
  const failed = Math.max(since('failures'), since('refused'));
  return failed > 0 && failed >= STRAINED_PART * since('requests');
}

/**
 * Whether all backends together have too little: by their endpoints, and nobody who asks them says otherwise.
 * What is expected may be of the day, and it is night. Pure.
 * @param decision `short`: by endpoints
 */
export function isCapacityShort(decision: { readonly short: boolean }, demand: Demand): boolean {
  return decision.short && demand !== 'met';
}

/** Why capacity is short, or is not. Pure. @param decision `short`: by endpoints */
export function capacityReason(decision: { readonly short: boolean }, demand: Demand): FailoverReason {
  return decision.short ? REASONS[demand] : 'CapacitySuffices';
}

const REASONS = {
  strained: 'DemandUnmet',
  met: 'DemandMet',
  unheard: 'CapacityShort',
} as const satisfies Record<Demand, FailoverReason>;

/**
 * How requests fared when the condition `CapacityShort` was written: whoever cannot ask, or has just begun
 * to, goes by that. Pure.
 * @param conditions of the Service's status
 */
export function demandStated(conditions: readonly StatedCondition[] = []): Demand {
  const reason = conditions.find(({ type }) => type === FAILOVER_CONDITIONS.short)?.reason;
  return DEMANDS.find((demand) => REASONS[demand] === reason) ?? 'unheard';
}

interface StatedCondition {
  readonly type: string;
  readonly reason: string;
}

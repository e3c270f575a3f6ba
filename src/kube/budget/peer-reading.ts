import type { Pace } from './pace.ts';
import type { BudgetShare, Cost, PeerBudget } from './peer-budget.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';

/** How much may be read of one peer, and how fast, by all reflectors that read it together. */
export interface PeerReading {
  readonly budget: PeerBudget;
  readonly pace: Pace;
  /** Most pages of one list. */
  readonly maxPages: number;
}

/**
 * The same as options of one reflector, which gets a share of the budget of its own.
 * @param reading undefined: no limits
 * @param costOf as `PeerBudget.share`
 */
export function reflectorLimits<T extends KubeObject>(
  reading: PeerReading | undefined,
  costOf?: (object: T) => Cost,
): { readonly budget?: BudgetShare<T>; readonly pace?: Pace; readonly maxPages?: number } {
  if (reading === undefined) return {};
  const { budget, pace, maxPages } = reading;
  return { budget: budget.share(costOf), pace, maxPages };
}

import type { Pace } from './pace.ts';
import type { BudgetShare, Cost, PeerBudget } from './peer-budget.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';

/** How one peer may be read, by all that read it together. */
export interface PeerReading {
  readonly budget: PeerBudget;
  readonly pace: Pace;
  /** Pages of one list. */
  readonly maxPages: number;
}

/** The same as options of one reflector, which has a share of the budget of its own. */
export function reflectorLimits<T extends KubeObject>(
  reading: PeerReading | undefined,
  costOf?: (object: T) => Cost,
): { readonly budget?: BudgetShare<T>; readonly pace?: Pace; readonly maxPages?: number } {
  if (reading === undefined) return {};
  const { budget, pace, maxPages } = reading;
  return { budget: budget.share(costOf), pace, maxPages };
}

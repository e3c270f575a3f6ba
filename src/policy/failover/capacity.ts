import type { Figures, TierFigures, Weighing } from './backend.ts';

/** A tier with its backends, ordered by name. */
export interface Tier extends TierFigures {
  readonly members: readonly Figures[];
}

/** The capacity of all backends together. */
export interface Capacity {
  /** What all requests need, in endpoints: as many as the first tier that has any is expected to have. */
  readonly demand: number;
  /** The sum of the tiers' capacities before filling, as parts of the demand. */
  readonly unfilled: number;
  /** g: the part of the capacity that holds and ramps keep back which is used nevertheless; 0 to 1. */
  readonly fill: number;
  /** The same sum after filling. */
  readonly total: number;
}

/** A backend that was withdrawn more often is not used before its hold is over, whatever others lack. */
const MAX_FLAPS_TO_FILL = 1;

/** Whether its hold and its ramp may be cut short (filling). */
function isFillable({ usable, off, backend }: Figures): boolean {
  return usable && !off && (backend.facts?.flaps ?? 0) <= MAX_FLAPS_TO_FILL;
}

/** Calculates the capacity of each backend and of each tier. Sets `room`, `filled` and `health`. */
export function measureCapacity(tiers: readonly Tier[], overprovision: number): Capacity {
  const demand = demandOf(tiers);
  let unfilled = 0;
  let kept = 0;
  for (const { members } of tiers) {
    let its = 0;
    for (const one of members) {
      one.room = roomOf(one, demand, overprovision);
      its += one.phi * one.room;
      if (isFillable(one)) kept += one.drain * (1 - one.back) * one.room;
    }
    unfilled += Math.min(1, its);
  }
  // While the sum is below 1, no tier is limited to 1, so the sum is linear in g and can be solved for 1.
  const fill = unfilled < 1 && kept > 0 ? Math.min(1, (1 - unfilled) / kept) : 0;
  let total = 0;
  for (const tier of tiers) {
    let its = 0;
    for (const one of tier.members) {
      // Only holds and ramps are cut short; what a user drains stays drained.
      one.filled = fill > 0 && isFillable(one) ? one.drain * (one.back + (1 - one.back) * fill) : one.phi;
      its += one.filled * one.room;
    }
    tier.health = Math.min(1, its);
    total += tier.health;
  }
  return { demand, unfilled, fill, total };
}

function demandOf(tiers: readonly Tier[]): number {
  for (const { members } of tiers) {
    let demand = 0;
    for (const { off, factor, expected } of members) if (!off) demand += factor * expected;
    if (demand > 0) return demand;
  }
  return 0;
}

function roomOf({ off, factor, ready, expected }: Figures, demand: number, overprovision: number): number {
  if (off || demand === 0) return 0;
  return Math.min(1, (overprovision * factor * Math.min(ready, expected)) / demand);
}

/**
 * The weights of a tier's backends when all of them are healthy. Where one backend of the tier has a
 * configured weight, those without have 1: a weight cannot be compared with a number of endpoints.
 */
export function configuredWeights(members: readonly Figures[]): number[] {
  const weighted = members.some(({ wish, off }) => !off && wish !== undefined);
  return members.map(({ wish, off, factor, expected }) => {
    if (off) return 0;
    return weighted ? (wish ?? 1) : factor * expected;
  });
}

/** Sets `weight`. If `graded`, that of a backend with too few ready endpoints is less than configured. */
export function weighTier(members: readonly Figures[], overprovision: number, weighing: Weighing): void {
  const configured = configuredWeights(members);
  for (const [at, one] of members.entries()) {
    const { ready, expected } = one;
    const part = weighing === 'exact' || expected === 0 ? 1 : Math.min(1, (overprovision * ready) / expected);
    one.weight = (configured[at] ?? 0) * part;
  }
}

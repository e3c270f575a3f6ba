import type { Figures } from './backend.ts';
import { BASIS_POINTS } from './apportion.ts';
import type { Tier } from './capacity.ts';
import { pourWithin } from './pour.ts';

/** Less than a millionth of a basis point comes from rounding. */
const ROUNDING = 1e-10;

/**
 * Limits backends to their largest share. The excess goes to others, tier by tier: first as far as they have
 * capacity, then as far as their own limits allow. Sets `load`.
 * @param maxShare basis points, by name
 * @returns the part of all requests that no backend may get, and that is refused
 */
export function limitShares(tiers: readonly Tier[], maxShare: ReadonlyMap<string, number>): number {
  if (maxShare.size === 0) return 0;
  const mayGet = ({ backend: { name } }: Figures): number =>
    (maxShare.get(name) ?? BASIS_POINTS) / BASIS_POINTS;
  let excess = 0;
  for (const { members } of tiers)
    for (const one of members) {
      const over = one.load - mayGet(one);
      if (over <= 0) continue;
      excess += over;
      one.load -= over;
    }
  if (excess < ROUNDING) return 0;
  for (const limit of [(one: Figures) => Math.min(mayGet(one), one.filled * one.room), mayGet])
    for (const { members } of tiers) excess = addTo(members, excess, limit);
  for (const tier of tiers) tier.load = tier.members.reduce((sum, { load }) => sum + load, 0);
  return excess < ROUNDING ? 0 : excess;
}

/** Adds the excess to backends, up to a limit of each. @returns the rest */
function addTo(members: readonly Figures[], excess: number, limit: (one: Figures) => number): number {
  const { given, left } = pourWithin(
    excess,
    // After `fallBack` no backend has a φ; those that serve are those that have a load.
    members.map((one) => (one.filled > 0 ? one.filled * one.weight : one.load)),
    members.map((one) => Math.max(0, limit(one) - one.load)),
  );
  for (const [at, one] of members.entries()) one.load += given[at] ?? 0;
  return left;
}

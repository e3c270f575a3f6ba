import type { Figures, Weighing } from './backend.ts';
import type { Tier } from './capacity.ts';
import { pour } from './pour.ts';

/**
 * Divides requests among tiers, lowest first: each gets as much as it has capacity for. Where all together
 * have too little, each gets more in the same proportion. Sets `load` of tiers and their members.
 * @param total capacity of all tiers together as a part of the demand, more than 0
 * @param whole the part of all requests that is divided: 1, or less where some are refused beforehand
 */
export function loadTiers(
  tiers: readonly Tier[],
  total: number,
  { weighing, whole }: { readonly weighing: Weighing; readonly whole: number },
): void {
  const scale = Math.min(1, total);
  let rest = 1;
  for (const tier of tiers) {
    const part = Math.min(rest, tier.health / scale);
    rest -= part;
    tier.load = part * whole;
    if (tier.load > 0) splitTier(tier.members, tier.load, weighing);
  }
}

/**
 * Divides a tier's load in proportion to weight and φ. While another backend has room, none gets more than φ
 * times its fair part, or than its capacity. Without this limit a backend whose fair part is 90 % would have
 * half of the load after a ninth of its ramp. With `exact` weights, a backend with φ = 1 has no such limit.
 */
function splitTier(members: readonly Figures[], load: number, weighing: Weighing): void {
  let sum = 0;
  let fairSum = 0;
  let moving = false;
  for (const { phi, filled, weight, usable, drain } of members) {
    sum += filled * weight;
    if (usable) fairSum += drain * weight;
    moving ||= phi < 1;
  }
  if (!moving) {
    for (const one of members) one.load = (load * one.weight) / sum;
    return;
  }
  const weights = members.map(({ filled, weight }) => filled * weight);
  const limits = members.map(({ phi, filled, drain, weight, room }) => {
    if (weighing === 'exact' && phi === 1) return Number.POSITIVE_INFINITY;
    // Its part if it were not drained itself, and the others were as they are.
    const fair = phi > 0 ? weight / (fairSum + (1 - drain) * weight) : 0;
    return Math.max(phi * fair * load, filled * room);
  });
  const given = pour(load, weights, limits);
  for (const [at, one] of members.entries()) one.load = given[at] ?? 0;
}

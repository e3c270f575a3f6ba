import type { Figures } from './backend.ts';
import { configuredWeights, type Tier } from './capacity.ts';

/** Which backends serve where none has any capacity: those of the first step that fits any. */
const STEPS = [
  // It is held because it was withdrawn repeatedly; as there is no other, the hold is cut short.
  { step: 'held', takes: ({ usable, drain }: Figures) => usable && drain > 0 },
  // A user drains it, but it works.
  { step: 'drained', takes: ({ usable }: Figures) => usable },
  {
    step: 'below-minimum',
    takes: ({ backend, ready }: Figures) => backend.facts?.path === 'alive' && ready > 0,
  },
  { step: 'path-not-alive', takes: ({ ready }: Figures) => ready > 0 },
  // No endpoint is ready anywhere: requests fail there, but succeed as soon as one is ready again.
  { step: 'nobody-ready', takes: () => true },
] as const;

export type FallbackStep = (typeof STEPS)[number]['step'];

/** Larger than the number of any tier. */
const TIERS = 1024;

/**
 * In which order backends without a share are tried while those with one cannot take a request: lower numbers
 * first. They follow the order in which `decide` would choose them if the others were gone: those with
 * capacity by tier, then by the steps of last resort.
 * @returns undefined: its weight is 0, it is never used
 */
export function standbyOrder(one: Figures): number | undefined {
  if (one.off) return undefined;
  const step = one.phi > 0 ? 0 : STEPS.findIndex(({ takes }) => takes(one)) + 1;
  return step * TIERS + one.backend.tier;
}

/**
 * Divides requests by weight where no backend has any capacity: among the backends of the first step that
 * fits any, in the first tier that has such. So there is always a backend with a share. Sets `load`.
 * @param whole the part of all requests that is divided, 0 to 1
 * @returns the step; undefined: there is no backend
 */
export function fallBack(tiers: readonly Tier[], whole: number): FallbackStep | undefined {
  for (const { step, takes } of STEPS) {
    for (const tier of tiers) {
      const chosen = tier.members.filter((one) => !one.off && takes(one));
      if (chosen.length === 0) continue;
      share(chosen, whole);
      tier.load = whole;
      return step;
    }
  }
  return undefined;
}

function share(chosen: readonly Figures[], whole: number): void {
  const graded = chosen.map(({ weight }) => weight);
  const weights = [graded, configuredWeights(chosen)].find((some) => some.some((weight) => weight > 0));
  const sum = weights?.reduce((all, weight) => all + weight, 0) ?? chosen.length;
  for (const [at, one] of chosen.entries()) one.load = (whole * (weights?.[at] ?? 1)) / sum;
}

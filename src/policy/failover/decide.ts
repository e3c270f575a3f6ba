import type { FailoverReason } from '../../api/failover/failover-reasons.ts';
import { apportion, BASIS_POINTS } from './apportion.ts';
import type { Backend, Figures, TierFigures, Weighing } from './backend.ts';
import { type Capacity, configuredWeights, measureCapacity, type Tier, weighTier } from './capacity.ts';
import type { FailoverPolicy } from './failover-policy.ts';
import { reasonToLeave, verdictOf } from './failover-verdict.ts';
import { type FallbackStep, fallBack } from './fallback.ts';
import { limitShares } from './max-share.ts';
import { nextChange } from './next-change.ts';
import { figuresOf } from './figures.ts';
import { loadTiers } from './tier-load.ts';

/** The share of each backend, why it has it, and until when that holds. */
export interface Decision extends Capacity {
  /** Ordered by tier, then by name, whatever the order of the backends was. */
  readonly backends: readonly Readonly<Figures>[];
  /** The tiers that have a backend, lowest first. */
  readonly tiers: readonly Readonly<TierFigures>[];
  /**
   * Requests that are refused, in basis points: all backends are at their limit (`max-share`), or those whose
   * part it is cannot be used, and no other may take it over (`on-unavailable=fail`). Together with the
   * shares of all backends it makes 10,000.
   */
  readonly refused: number;
  /**
   * Where no backend can be used as it should be: by which step of last resort those that serve were chosen.
   */
  readonly fallback?: FallbackStep;
  /** Whether all tiers together have less capacity than the demand, judged by their endpoints. */
  readonly short: boolean;
  /** The main reason for the shares. */
  readonly reason: FailoverReason;
  /**
   * When shares next change by time alone, milliseconds since the epoch; in a ramp, its next hundredth.
   * Undefined: they change only when facts, drains or the policy do.
   */
  readonly nextChangeAt?: number;
}

/** A shortage of less than a millionth of the demand comes from rounding. */
const ROUNDING = 1e-6;

/**
 * Divides requests among backends. Pure: the same facts, policy and time give the same shares.
 * @param now milliseconds since the epoch
 * @param weighing `exact` for splits and routes with weights of their owner and without tiers
 */
export function decide(
  backends: readonly Backend[],
  policy: FailoverPolicy,
  now: number,
  weighing: Weighing = 'graded',
): Decision {
  const figures = figuresOf(backends, policy, now);
  const tiers = tiersOf(figures);
  const capacity = measureCapacity(tiers, policy.overprovision);
  for (const { members } of tiers) weighTier(members, policy.overprovision, weighing);

  const whole = 1 - refusedBeforehand(tiers, policy, weighing);
  let fallback: FallbackStep | undefined;
  if (capacity.total > 0) loadTiers(tiers, capacity.total, { weighing, whole });
  else if (whole > 0) fallback = fallBack(tiers, whole);
  const refusedLoad = 1 - whole + limitShares(tiers, policy.maxShare);
  const refused = round(figures, refusedLoad);

  const first = tiers.find(({ members }) => members.some(({ off }) => !off));
  for (const one of figures) [one.state, one.reason] = verdictOf(one, first?.tier ?? 0, now);
  const nextChangeAt = nextChange(figures, policy.rampMs, now);
  return {
    ...capacity,
    backends: figures,
    tiers,
    refused,
    ...(fallback === undefined ? {} : { fallback }),
    short: capacity.total < 1 - ROUNDING,
    reason: capacity.total > 0 ? reasonToLeave(tiers, first) : 'NoHealthyBackend',
    ...(nextChangeAt === undefined ? {} : { nextChangeAt }),
  };
}

function tiersOf(figures: readonly Figures[]): Tier[] {
  const tiers: { tier: number; health: number; load: number; members: Figures[] }[] = [];
  for (const one of figures) {
    const last = tiers.at(-1);
    if (last?.tier === one.backend.tier) last.members.push(one);
    else tiers.push({ tier: one.backend.tier, health: 0, load: 0, members: [one] });
  }
  return tiers;
}

/** For a split with `on-unavailable=fail`: the part of all requests whose backends cannot be used, 0 to 1. */
function refusedBeforehand(tiers: readonly Tier[], policy: FailoverPolicy, weighing: Weighing): number {
  const [only] = tiers;
  if (only === undefined) return 1;
  if (policy.onUnavailable !== 'fail' || weighing !== 'exact' || tiers.length > 1) return 0;
  const weights = configuredWeights(only.members);
  let sum = 0;
  let lost = 0;
  for (const [at, { usable }] of only.members.entries()) {
    sum += weights[at] ?? 0;
    if (!usable) lost += weights[at] ?? 0;
  }
  return sum > 0 ? lost / sum : 0;
}

/** Rounds loads to shares. Sets `share`. @returns the refused part, basis points */
function round(figures: readonly Figures[], refusedLoad: number): number {
  const parts = figures.map(({ load }) => load);
  parts.push(refusedLoad);
  const shares = apportion(parts);
  for (const [at, one] of figures.entries()) one.share = shares[at] ?? 0;
  return figures.length === 0 ? BASIS_POINTS : (shares.at(-1) ?? 0);
}

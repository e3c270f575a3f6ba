import type { FailoverReason, FailoverState } from '../../api/failover/failover-reasons.ts';
import type { Figures } from './backend.ts';
import type { Tier } from './capacity.ts';

type Verdict = readonly [state: FailoverState, reason: FailoverReason];

/** The state of a backend and the reason for it; all other figures must have been calculated. */
export function verdictOf(one: Figures, firstTier: number, now: number): Verdict {
  return withdrawn(one) ?? drained(one, now) ?? returning(one, now) ?? serving(one, firstTier);
}

function withdrawn({ backend: { facts }, usable, ready }: Figures): Verdict | undefined {
  if (facts === undefined || usable) return undefined;
  if (facts.path === 'unknown') return ['Unknown', 'FactsUnknown'];
  if (facts.path === 'dead') return ['Withdrawn', 'PathDead'];
  return ['Withdrawn', ready === 0 ? 'NoReadyEndpoints' : 'BelowMinHealthy'];
}

function drained({ drainedBy: said, drain }: Figures, now: number): Verdict | undefined {
  if (said === undefined) return undefined;
  if (now >= said.until) return ['Returning', 'FailBackRamp'];
  const reason = said.drill ? 'DrillActive' : 'Drained';
  return [drain > said.to ? 'Draining' : 'Drained', reason];
}

function returning({ backend: { facts }, back, holdMs }: Figures, now: number): Verdict | undefined {
  if (facts === undefined || back === 1) return undefined;
  const held = facts.usableSince === null || now < facts.usableSince + holdMs;
  return held ? ['Held', 'FailBackHeld'] : ['Returning', 'FailBackRamp'];
}

function serving({ backend, load }: Figures, firstTier: number): Verdict {
  if (backend.facts === undefined) return ['Unknown', 'FactsUnknown'];
  return backend.tier > firstTier && load > 0
    ? ['Spilling', 'SpillLowCapacity']
    : ['Active', 'PrimaryServing'];
}

/** Why a backend has less than its whole share, the gravest first: it is what people hear of several. */
export const GRAVEST: readonly FailoverReason[] = [
  'DrillActive',
  'Drained',
  'PathDead',
  'NoReadyEndpoints',
  'BelowMinHealthy',
  'FailBackHeld',
  'FailBackRamp',
];

/** Why requests go to other tiers than the first; `PrimaryServing` where none does. */
export function reasonToLeave(tiers: readonly Tier[], first: Tier | undefined): FailoverReason {
  if (!tiers.some((tier) => tier !== first && tier.load > 0)) return 'PrimaryServing';
  const reasons = new Set(first?.members.filter(({ off }) => !off).map(({ reason }) => reason));
  return GRAVEST.find((reason) => reasons.has(reason)) ?? 'SpillLowCapacity';
}

import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import type { FailoverPolicy } from './failover-policy.ts';

/** The parts of the policy that decide how a backend returns. */
export type ReturnRules = Pick<FailoverPolicy, 'delayMs' | 'maxDelayMs' | 'rampMs'>;

/** Tolerance for rounding, in endpoints: 0.1 × 30 is a little more than 3 in floating point. */
const ROUNDING = 1e-5;

/** Whether enough of the expected endpoints are ready. */
export function isEnough(ready: number, expected: number, minHealthy: number): boolean {
  return ready > 0 && ready >= minHealthy * expected - ROUNDING;
}

/**
 * How long a backend that is usable again is held without a share, milliseconds: twice as long for each
 * further withdrawal.
 */
export function holdMs(flaps: number, { delayMs, maxDelayMs }: ReturnRules): number {
  return flaps === 0 ? 0 : Math.min(maxDelayMs, delayMs * 2 ** (flaps - 1));
}

/** How far a backend's share has grown again since its last outage: 0 (held) to 1 (full share). */
export function backAt(facts: FailoverFacts, rules: ReturnRules, now: number): number {
  if (facts.flaps === 0) return 1;
  // By the facts it cannot be used, so its hold has not begun.
  if (facts.usableSince === null) return 0;
  return progress(now - facts.usableSince - holdMs(facts.flaps, rules), rules.rampMs);
}

/**
 * The part of a backend's share that a drain leaves at a moment: 1 before it, `to` from the end of its ramp
 * on, and 1 again when it is over and has been ramped back.
 */
export function drainLevel(drain: FailoverDrain, now: number): number {
  const { to, start, rampMs, until } = drain;
  const down = (at: number): number => {
    const done = at < start ? 0 : progress(at - start, rampMs);
    return done === 1 ? to : 1 - (1 - to) * done;
  };
  if (now < until) return down(now);
  // The way back takes a ramp, too: after a long drain, caches are as cold as after an outage.
  const reached = down(until);
  const done = progress(now - until, rampMs);
  return done === 1 ? 1 : reached + (1 - reached) * done;
}

/**
 * What several drains of one backend leave of its share: as little as the strictest of them does, so that
 * nobody takes back what another has asked for. `drain` is that one; undefined: none leaves less than all.
 */
export function strictestDrain(
  drains: readonly FailoverDrain[] | undefined,
  now: number,
): { readonly drain: FailoverDrain | undefined; readonly level: number } {
  let strictest: FailoverDrain | undefined;
  let least = 1;
  for (const drain of drains ?? []) {
    const level = drainLevel(drain, now);
    if (level >= least) continue;
    strictest = drain;
    least = level;
  }
  return { drain: strictest, level: least };
}

/** The part of a time that has passed, 0 to 1. */
function progress(passed: number, whole: number): number {
  if (passed < 0) return 0;
  return passed >= whole ? 1 : passed / whole;
}

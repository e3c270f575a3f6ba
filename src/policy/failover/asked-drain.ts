import { isDeepStrictEqual } from 'node:util';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { endedDrain, isInEffect } from './drain-change.ts';
import { drainLevel } from './readiness.ts';

/**
 * What the addresses of a gateway ask for together: several may answer, and those that were started later
 * know less. One that asks for a drain counts more than one that asks for nothing; of several the one that
 * began last, whose end was moved last.
 */
export function askedTogether(asked: readonly (FailoverDrain | undefined)[]): FailoverDrain | undefined {
  let found: FailoverDrain | undefined;
  for (const one of asked) {
    if (one === undefined) continue;
    if (found === undefined || one.start > found.start) found = one;
    else if (one.start === found.start && one.until < found.until) found = one;
  }
  return found;
}

/**
 * What a gateway asks for, as it is believed: what it says, and where it says nothing any more, the way back
 * of what it said before. So a word that is taken back does not make the share jump.
 * @param before as it was believed until now
 * @param said what it says now
 */
export function believedDrain(
  before: FailoverDrain | undefined,
  said: FailoverDrain | undefined,
  now: number,
): FailoverDrain | undefined {
  if (said !== undefined) {
    if (isDeepStrictEqual(said, before)) return before;
    return isInEffect(said, now) ? said : undefined;
  }
  if (before === undefined || !isInEffect(before, now)) return undefined;
  return endedDrain(before, now) ?? before;
}

/**
 * How a gateway answers probes while it asks for a drain. `over`: its ramp is over and nothing is to be left
 * of its share, so that sources that do not know the field, such as Linkerd, leave it, too.
 */
export function askingOf(
  drain: FailoverDrain | undefined,
  now: number,
): { readonly asks: boolean; readonly over: boolean } {
  if (drain === undefined || !isInEffect(drain, now)) return { asks: false, over: false };
  return { asks: true, over: now < drain.until && drainLevel(drain, now) === 0 };
}

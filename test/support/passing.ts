/** What a test asks of things that may be over before a busy machine has let it look. */
import { eventually } from './eventually.ts';
import type { Outcome } from './linkspan.ts';

/**
 * Refusals of drains and drills for what others can bear just now. They change nothing, and last for as long
 * as a probe was missed, or somebody who was missed comes back slowly.
 */
const CANNOT_BEAR = /\[DRAIN_(CAPACITY|SOLE_BACKEND)\]/;

/**
 * Runs a verb, again for as long as it is refused because the others cannot bear it. For tests that are not
 * about that refusal.
 * @param run has to ask for the same each time
 */
export function untilTaken(run: () => Promise<Outcome>): Promise<Outcome> {
  return eventually('the others can bear it', async () => {
    const outcome = await run();
    if (outcome.code !== 0 && CANNOT_BEAR.test(outcome.stderr)) throw new Error(outcome.stderr);
    return outcome;
  });
}

/** How often something that passes is begun before it counts as not to be seen. */
const BEGUN_AT_MOST = 5;

/**
 * Begins what is over by itself after a time, and looks until it is seen meanwhile. Where nobody could look
 * in that time, because the machine or this process stood still, it is begun anew.
 * @param look whether it is seen; what it throws ends the test
 * @returns what `begin` has come to
 */
export async function seenMeanwhile<T>(
  what: string,
  begin: () => Promise<T>,
  look: () => Promise<boolean> | boolean,
): Promise<T> {
  for (let begun = 1; begun <= BEGUN_AT_MOST; begun++) {
    let isOver = false;
    const passing = begin().finally(() => (isOver = true));
    // Whoever looks may fail first, and nobody waits for it any more.
    passing.catch(() => undefined);
    let isSeen = false;
    await eventually(`${what}, or it is over`, async () => (isSeen = await look()) || isOver);
    const outcome = await passing;
    if (isSeen) return outcome;
  }
  throw new Error(`begun ${BEGUN_AT_MOST} times, and never seen: ${what}`);
}

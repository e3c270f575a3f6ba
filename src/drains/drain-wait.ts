import { isDeepStrictEqual } from 'node:util';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { FailoverDrain } from '../api/failover/failover-drain.ts';
import { type Clock, sleep } from '../base/clock.ts';

/** How often is looked, milliseconds. */
const LOOK_MS = 1000;

/** How things stand with a drain. */
export interface DrainLook {
  /** As it stands in the cluster. */
  readonly drain: FailoverDrain | undefined;
  /** The cluster's time, milliseconds since the epoch. */
  readonly now: number;
}

/** Who looks, and who hears of it. */
export interface DrainWaiting {
  look(): Promise<DrainLook>;
  readonly clock: Clock;
  /** @param left milliseconds until the end of the ramp */
  onLook(left: number): void;
  /** Whether something is wrong with what clients get; undefined: it is not, or nobody knows. */
  trouble(): Promise<string | undefined>;
  /** Has the drain go no further. @returns what is left of the share */
  pause(why: string): Promise<number>;
}

/**
 * Waits until the ramp of a drain is over.
 * @throws LinkspanError DRAIN_CHANGED when somebody else has changed it, DRAIN_PAUSED when something was
 * wrong and it was paused
 */
export async function waitForDrain(wanted: FailoverDrain, options: DrainWaiting): Promise<void> {
  for (;;) {
    const { drain, now } = await options.look();
    if (!isDeepStrictEqual(drain, wanted))
      throw new LinkspanError(
        'DRAIN_CHANGED',
        drain === undefined ? 'the drain has been taken away' : 'the drain has been changed',
      );
    const left = wanted.start + wanted.rampMs - now;
    if (left <= 0) return;
    options.onLook(left);
    const why = await options.trouble();
    if (why !== undefined) {
      const part = Number(((await options.pause(why)) * 100).toFixed(1));
      throw new LinkspanError('DRAIN_PAUSED', `${part}% of its share are left to it: ${why}`);
    }
    await sleep(options.clock, Math.min(LOOK_MS, left));
  }
}

import { isDeepStrictEqual } from 'node:util';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { FailoverDrain } from '../api/failover/failover-drain.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { BLIND_MS } from './recent-traffic.ts';

/** How often is looked, milliseconds. */
const LOOK_MS = 1000;

/** How things stand with a drain. */
export interface DrainLook {
  /** As it stands in the cluster. */
  readonly drain: FailoverDrain | undefined;
  /** The cluster's time, milliseconds since the epoch. */
  readonly now: number;
}

/** What is seen of what clients get. */
export interface DrainSight {
  /** What is wrong with it; undefined: nothing is, or nobody knows. */
  readonly trouble: string | undefined;
  /** Why nothing can be seen of it; undefined: somebody sees it, or there are no clients. */
  readonly unseen: string | undefined;
}

/** Who looks, and who hears of it. */
export interface DrainWaiting {
  look(): Promise<DrainLook>;
  readonly clock: Clock;
  /** @param left milliseconds until the end of the ramp */
  onLook(left: number): void;
  sight(): Promise<DrainSight>;
  /** Nobody sees any more what clients get, and the ramp goes on; once, until somebody does again. */
  onBlind(error: LinkspanError): void;
  /** Has the drain go no further. @returns what is left of the share */
  pause(why: string): Promise<number>;
}

/**
 * Waits until the ramp of a drain is over, and somebody has seen since what clients get.
 * @throws LinkspanError DRAIN_CHANGED when somebody else has changed it, DRAIN_PAUSED when something was
 * wrong and it was paused, DRAIN_BLIND when it is over and nobody has seen for a while what clients get
 */
export async function waitForDrain(wanted: FailoverDrain, options: DrainWaiting): Promise<void> {
  const { clock } = options;
  let seenAt = clock.monotonic();
  let told = false;
  for (;;) {
    const left = await leftOf(wanted, options);
    if (left > 0) options.onLook(left);
    const { trouble, unseen } = await options.sight();
    if (trouble !== undefined) {
      const part = Number(((await options.pause(trouble)) * 100).toFixed(1));
      throw new LinkspanError('DRAIN_PAUSED', `${part}% of its share are left to it: ${trouble}`);
    }
    if (unseen === undefined) {
      if (left <= 0) return;
      seenAt = clock.monotonic();
      told = false;
    }
    const blindMs = clock.monotonic() - seenAt;
    if (unseen !== undefined && blindMs >= BLIND_MS) {
      const error = blindness(blindMs, unseen);
      if (left <= 0) throw error;
      if (!told) options.onBlind(error);
      told = true;
    }
    await sleep(clock, left > 0 ? Math.min(LOOK_MS, left) : LOOK_MS);
  }
}

function blindness(ms: number, why: string): LinkspanError {
  const text = `for ${Math.round(ms / 1000)} s nothing was seen of what clients get: ${why}`;
  return new LinkspanError('DRAIN_BLIND', text);
}

/** @returns milliseconds until the end of the ramp @throws LinkspanError DRAIN_CHANGED */
async function leftOf(wanted: FailoverDrain, { look }: Pick<DrainWaiting, 'look'>): Promise<number> {
  const { drain, now } = await look();
  if (!isDeepStrictEqual(drain, wanted))
    throw new LinkspanError(
      'DRAIN_CHANGED',
      drain === undefined ? 'the drain has been taken away' : 'the drain has been changed',
    );
  return wanted.start + wanted.rampMs - now;
}

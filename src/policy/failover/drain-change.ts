import { type FailoverDrain, readDrain, writeDrain } from '../../api/failover/failover-drain.ts';
import { drainLevel } from './readiness.ts';

/** What somebody wants of a drain; times in milliseconds. */
export interface DrainWish {
  /** The part of its share that is left at the end of the ramp: 0 to 1. */
  readonly to: number;
  readonly rampMs: number;
  /** From the beginning to the end, ramp included. */
  readonly lastsMs: number;
  readonly drill: boolean;
  readonly by?: string | undefined;
  readonly reason?: string | undefined;
}

/** Whether a drain leaves less than everything at that moment, or will. */
export function isInEffect(drain: FailoverDrain, now: number): boolean {
  return now < drain.until || drainLevel(drain, now) < 1;
}

/**
 * A drain that begins now. One that is in effect already goes on from where it is: its ramp counts as begun
 * earlier, so that the share does not jump back to the whole.
 * @returns as whoever reads it will have it: times in whole milliseconds, words as they are shown
 */
export function newDrain(wish: DrainWish, before: FailoverDrain | undefined, now: number): FailoverDrain {
  const { to, rampMs, lastsMs, drill, by, reason } = wish;
  const level = before === undefined ? 1 : drainLevel(before, now);
  const done = to < 1 ? Math.min(1, (1 - level) / (1 - to)) : 1;
  const made = {
    to,
    start: Math.round(now - done * rampMs),
    rampMs: Math.round(rampMs),
    until: Math.round(now + lastsMs),
    drill,
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { reason }),
  };
  return readDrain(writeDrain(made)) ?? made;
}

/**
 * The drain as it is when somebody ends it now: the share grows back over the same ramp, from where it is.
 * @returns undefined where it has ended already
 */
export function endedDrain(drain: FailoverDrain, now: number): FailoverDrain | undefined {
  if (now >= drain.until) return undefined;
  return { ...drain, start: Math.min(drain.start, now), until: now };
}

/**
 * The drain as it is when it goes no further: what is left now is left until its end, and then its share
 * comes back over the same ramp.
 */
export function pausedDrain(drain: FailoverDrain, now: number): FailoverDrain {
  return {
    ...drain,
    to: Math.max(drain.to, drainLevel(drain, now)),
    start: Math.min(drain.start, now - drain.rampMs),
  };
}

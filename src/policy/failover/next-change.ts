import type { Figures } from './backend.ts';

/** How many times during a ramp shares are calculated anew. */
const STEPS = 100;
/** Shortest time between two of these, milliseconds. */
const MIN_STEP_MS = 100;

/**
 * The next moment at which shares change by time alone: the beginning of a ramp, its next step, or its end.
 * Steps are counted from the beginning of the ramp, so that all processes calculate at the same moments.
 * @returns milliseconds since the epoch, later than `now`; undefined: there is none
 */
export function nextChange(figures: readonly Figures[], rampMs: number, now: number): number | undefined {
  let next = Number.POSITIVE_INFINITY;
  for (const { backend, off, usable, holdMs, back } of figures) {
    const { facts, drains = [] } = backend;
    if (off) continue;
    if (usable && back < 1 && facts !== undefined && facts.usableSince !== null)
      next = Math.min(next, ofRamp(facts.usableSince + holdMs, rampMs, now));
    for (const { start, rampMs: ramp, until } of drains)
      next = Math.min(next, ofRamp(start, ramp, now), ofRamp(until, ramp, now));
  }
  return next === Number.POSITIVE_INFINITY ? undefined : next;
}

function ofRamp(start: number, rampMs: number, now: number): number {
  const end = start + rampMs;
  if (now < start) return start;
  if (now >= end) return Number.POSITIVE_INFINITY;
  const step = Math.max(MIN_STEP_MS, rampMs / STEPS);
  const next = start + (Math.floor((now - start) / step) + 1) * step;
  return Math.min(end, next > now ? next : next + step);
}

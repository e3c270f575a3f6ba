import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { formatDuration } from '../../base/duration.ts';

/** A drain for people, in one line: by whom, how far, until when and why. */
export function describedDrain({ to, rampMs, until, by, reason }: FailoverDrain): string {
  const over = rampMs === 0 ? 'at once' : `over ${formatDuration(rampMs)}`;
  const who = by === undefined ? '' : ` by ${by}`;
  const why = reason === undefined ? '' : `: ${reason}`;
  return `drained${who} to ${percentText(to)} ${over}, until ${timeText(until)}${why}`;
}

/** RFC 3339, whole seconds. @param at milliseconds since the epoch */
export function timeText(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** A part of a whole, 0 to 1, with two digits behind the point at most. */
export function percentText(part: number): string {
  return `${Number((part * 100).toFixed(2))}%`;
}

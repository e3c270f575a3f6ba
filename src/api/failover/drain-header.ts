import type { FailoverDrain } from './failover-drain.ts';
import { MAX_DRAIN_RAMP_MS } from './failover-drain.ts';

/**
 * Field of a gateway's answer to probes: it wants to be drained. A dictionary of RFC 9651, times as its
 * dates, durations in seconds: `to=0, start=@1764424800, ramp=300, until=@1764432000`.
 */
export const DRAIN_FIELD = 'linkspan-drain';

/** Longest value that is read, characters; ours have some 70. */
const MAX_LENGTH = 128;
/** How far ahead of now the end may be, milliseconds: what `drain` itself allows, and a day for clocks. */
const MAX_AHEAD_MS = 31 * 86_400_000;
const FORM = /^to=(\d{1,1}(?:\.\d{1,3})?), start=@(\d{1,12}), ramp=(\d{1,5}), until=@(\d{1,12})$/;

/** The value of the field for a drain. */
export function writeDrainField({ to, start, rampMs, until }: FailoverDrain): string {
  const seconds = (ms: number) => String(Math.ceil(ms / 1000));
  return `to=${Number(to.toFixed(3))}, start=@${seconds(start)}, ramp=${seconds(rampMs)}, until=@${seconds(until)}`;
}

/**
 * Reads the value of the field: another cluster's word, which may be anything. It can ask for as much as
 * whoever drains it here, and no more: less traffic for itself, with an end.
 * @param now milliseconds since the epoch
 * @returns undefined where the text is not of that form, or it has no near end
 */
export function readDrainField(text: unknown, now: number): FailoverDrain | undefined {
  if (typeof text !== 'string' || text.length > MAX_LENGTH) return undefined;
  const found = FORM.exec(text);
  if (found === null) return undefined;
  const [to = Number.NaN, start = 0, ramp = 0, until = 0] = found.slice(1).map(Number);
  const drain = { to, start: start * 1000, rampMs: ramp * 1000, until: until * 1000, drill: false };
  if (to > 1 || drain.rampMs > MAX_DRAIN_RAMP_MS || drain.until < drain.start) return undefined;
  return drain.until > now + MAX_AHEAD_MS ? undefined : { ...drain, by: 'gateway' };
}

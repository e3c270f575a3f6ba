/**
 * Share of what is left of a leaf's life after which it is renewed, and the bounds of the wait: Linkerd's
 * (`IDENTITY_MIN_REFRESH`, `IDENTITY_MAX_REFRESH`).
 */
const RENEW_SHARE = 0.7;
const MIN_MS = 10_000;
const MAX_MS = 24 * 3_600_000;

/**
 * Milliseconds from now until a leaf that has just been issued is renewed: 70 % of its life, at least 10 s,
 * at most 24 h.
 * @param notAfter end of its validity, milliseconds since the epoch
 */
export function renewalDelayMs(now: number, notAfter: number): number {
  return Math.min(MAX_MS, Math.max(MIN_MS, (notAfter - now) * RENEW_SHARE));
}

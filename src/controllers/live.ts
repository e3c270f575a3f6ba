import type { Health } from '../telemetry/admin.ts';

/** A write that takes longer than this is stuck: every request has its own, much shorter, limit. */
const WEDGED_MS = 300_000;

/**
 * Whether work goes on: a write that never ends means that the process should be started anew.
 * @param running for how long the longest write of each part has been under way, milliseconds
 */
export function livenessOf(running: readonly (readonly [what: string, ms: number])[]): Health {
  const stuck = running.find(([, ms]) => ms > WEDGED_MS);
  if (stuck === undefined) return { ok: true, reason: '' };
  return {
    ok: false,
    reason: `${stuck[0]}: a write has been under way for ${Math.round(stuck[1] / 1000)} s`,
  };
}

import type { EventEmitter } from 'node:events';

/** How long and how often a condition is looked at. */
export interface Patience {
  /**
   * Default 60 s: who passes never waits for it, and a busy machine is no failure. Of a pause that grows
   * longer than it should, because the machine or this process had something else to do, only what it should
   * have taken counts.
   */
  readonly timeoutMs?: number;
  /** Default 20 ms, at first. */
  readonly everyMs?: number;
  /** Looks at once when it emits one of these, as soon as who was there before has heard it. */
  readonly source?: EventEmitter;
  readonly events?: readonly string[];
}

/** How much longer each pause is than the one before it, and the longest than the first. */
const GROWTH = 1.2;
const WIDEST = 5;
/** No pause grows longer, milliseconds. */
const LONGEST_MS = 250;
/** How much longer than a look the pause behind it is: a run of a verb takes a fifth of a second of CPU. */
const REST = 2;

/**
 * Waits until `probe` returns without throwing (and not `false`/`undefined`), and returns what it returned.
 * Tests wait on conditions with this; they never sleep. On time-out the last failure is thrown with `what` in
 * front. It asks less and less often: who has waited for a second does not notice a tenth of one, and API
 * servers are asked a third as often. What takes long to ask is asked less often from the first time on.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  patience: Patience = {},
): Promise<NonNullable<T>> {
  const { everyMs = 20, timeoutMs = 60_000 } = patience;
  const longest = Math.max(everyMs, Math.min(everyMs * WIDEST, LONGEST_MS));
  let pauseMs = everyMs;
  let left = timeoutMs;
  let last: unknown = new Error('condition never held');
  for (;;) {
    const asked = performance.now();
    try {
      const value = await probe();
      if (value !== undefined && value !== false && value !== null) return value as NonNullable<T>;
    } catch (error) {
      last = error;
    }
    const rested = performance.now();
    left -= rested - asked;
    if (left < 0) throw new Error(`timed out waiting: ${what}`, { cause: last });
    const pause = Math.max(pauseMs, Math.min(REST * (rested - asked), LONGEST_MS));
    await rest(pause, patience);
    left -= Math.min(performance.now() - rested, pause);
    pauseMs = Math.min(pauseMs * GROWTH, longest);
  }
}

function rest(ms: number, { source, events = [] }: Patience): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      for (const event of events) source?.off(event, heard);
      resolve();
    };
    // Others hear it behind us, and what came with it is told in the same turn.
    const heard = () => setImmediate(over);
    const timer = setTimeout(over, ms);
    for (const event of events) source?.once(event, heard);
  });
}

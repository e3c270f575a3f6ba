/** Weights are written so often in a ramp, at most, and no more often than this. */
const RAMP_WRITES = 20;
const MIN_RAMP_WRITE_MS = 2000;

/** How long weights stay that time alone would change, milliseconds. */
export function rampPauseMs(rampMs: number): number {
  return Math.max(MIN_RAMP_WRITE_MS, rampMs / RAMP_WRITES);
}

/**
 * When the weights of each object were written last. What is written comes back by the watch and is looked at
 * again, milliseconds later; in a ramp shares have moved on by then, and each write would be the cause of the
 * next one.
 */
export class PacedWrites {
  readonly #decidedAt = new Map<string, number>();

  /** @param decidedAt the time as of which the weights were decided, milliseconds since the epoch */
  wrote(id: string, decidedAt: number): void {
    this.#decidedAt.set(id, decidedAt);
  }

  forget(id: string): void {
    this.#decidedAt.delete(id);
  }

  /**
   * How long a write has to wait that nothing but time asks for, milliseconds; undefined: it is due, or
   * something else asks for it.
   * @param wouldWrite whether anything would be written if it were that time again, with what is known now
   */
  waitMs(
    id: string,
    at: { readonly now: number; readonly rampMs: number },
    wouldWrite: (then: number) => boolean,
  ): number | undefined {
    const then = this.#decidedAt.get(id);
    if (then === undefined) return undefined;
    const left = then + rampPauseMs(at.rampMs) - at.now;
    return left <= 0 || wouldWrite(then) ? undefined : left;
  }
}

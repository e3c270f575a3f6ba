/** Uniform random numbers in [0, 1); injected so that jitter can be pinned in tests. */
export type Random = () => number;

export interface BackoffOptions {
  /** First delay in milliseconds. */
  minMs: number;
  /** Upper bound of a delay in milliseconds, before jitter. */
  maxMs: number;
  /** Growth per attempt; default 2. */
  factor?: number;
  /** Share of the delay that is random, 0..1; default 0.5 (delay is in [0.5 d, d]). */
  jitter?: number;
}

/**
 * Delay in milliseconds before retry number `attempt` (0 = the first retry): exponential, capped, and
 * jittered downwards so that many peers do not come back in one wave.
 */
export function backoffDelay(attempt: number, options: BackoffOptions, random: Random): number {
  const grown = options.minMs * (options.factor ?? 2) ** Math.min(attempt, 60);
  const capped = Math.min(options.maxMs, grown);
  const jitter = options.jitter ?? 0.5;
  return capped * (1 - jitter + jitter * random());
}

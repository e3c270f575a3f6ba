/** HTTP statuses from `min` to `max`, both included. */
export interface StatusRange {
  readonly min: number;
  readonly max: number;
}

/**
 * Which answers make a request be retried, and how often. A try that takes too long is repeated whatever
 * these lists say, and so is one that the endpoint refused unprocessed.
 */
export interface RetryRules {
  readonly statuses: readonly StatusRange[];
  /** gRPC statuses. */
  readonly grpc: readonly number[];
  /** Tries after the first. */
  readonly limit: number;
  /** Pause before each of them, milliseconds; default: 25 to 250, growing (Linkerd's). */
  readonly pauseMs?: number;
  /** Time limit from the end of the request to the response's head; the last try has none. */
  readonly tryTimeoutMs?: number;
}

/**
 * How many retries a target may get: `ratio` of its requests, and `minPerSecond` on top, both counted over
 * `ttlMs`.
 */
export interface BudgetRules {
  readonly ratio: number;
  readonly minPerSecond: number;
  readonly ttlMs: number;
}

/**
 * What Linkerd takes where a ServiceProfile does not say (destination `defaultRetryBudget`); here for
 * annotations too.
 */
export const DEFAULT_BUDGET: BudgetRules = { ratio: 0.2, minPerSecond: 10, ttlMs: 10_000 };

/** HTTP statuses from `min` to `max`, both included. */
export interface StatusRange {
  readonly min: number;
  readonly max: number;
}

/**
 * Which answers are asked for again, and how often. A try that takes too long, and one that the endpoint
 * refused unprocessed, is repeated whatever these lists say.
 */
export interface RetryRules {
  readonly statuses: readonly StatusRange[];
  /** gRPC statuses. */
  readonly grpc: readonly number[];
  /** Tries after the first. */
  readonly limit: number;
  /** From when the request has been sent until the response's head; the last try has all the time. */
  readonly tryTimeoutMs?: number;
}

/**
 * How many retries a target bears: `ratio` of its requests, and `minPerSecond` on top, both counted over
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

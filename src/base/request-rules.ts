/**
 * What a Service says of retries and timeouts of its requests, as plain data: discovery reads it, the proxy core follows it. Linkerd's semantics (wire protocol 3.4).
 */

/** HTTP statuses from `min` to `max`, both included. */
export interface StatusRange {
  readonly min: number;
  readonly max: number;
}

/** Which answers are asked for again, and how often. A try that takes too long, and one that the endpoint refused unprocessed, is repeated whatever these lists say. */
export interface RetryRules {
  readonly statuses: readonly StatusRange[];
  /** gRPC statuses. */
  readonly grpc: readonly number[];
  /** Tries after the first. */
  readonly limit: number;
  /** From when the request has been sent until the response's head; the last try has all the time. */
  readonly tryTimeoutMs?: number;
}

/** Milliseconds; what is absent does not end. */
export interface TimeoutRules {
  /** From the request's head to the response's end, all tries together. */
  readonly requestMs?: number;
  /** Of one try, from when the request has been sent (or the response begins, if that is earlier) to the response's end. */
  readonly responseMs?: number;
  /** Without a byte either way. */
  readonly idleMs?: number;
}

/** How many retries a target bears: `ratio` of its requests, and `minPerSecond` on top, both counted over `ttlMs`. */
export interface BudgetRules {
  readonly ratio: number;
  readonly minPerSecond: number;
  readonly ttlMs: number;
}

/** What Linkerd takes where a ServiceProfile does not say (destination `defaultRetryBudget`); here for annotations too. */
export const DEFAULT_BUDGET: BudgetRules = { ratio: 0.2, minPerSecond: 10, ttlMs: 10_000 };

/** A request's method and path (without query) that a route of a ServiceProfile is about. */
export type RequestCondition =
  | { readonly kind: 'method'; readonly method: string }
  /** Regular expression as `linearRegex` reads it, anchored. */
  | { readonly kind: 'path'; readonly regex: string }
  | { readonly kind: 'all' | 'any'; readonly of: readonly RequestCondition[] }
  | { readonly kind: 'not'; readonly of: RequestCondition };

export type ResponseCondition =
  | ({ readonly kind: 'status' } & StatusRange)
  | { readonly kind: 'all' | 'any'; readonly of: readonly ResponseCondition[] }
  | { readonly kind: 'not'; readonly of: ResponseCondition };

/** Responses that are failures, or are none, whatever their status. */
export interface ResponseClass {
  readonly condition: ResponseCondition;
  readonly failure: boolean;
}

/** A route of a ServiceProfile. */
export interface RouteRules {
  readonly name: string;
  readonly condition: RequestCondition;
  /** Failures are asked for again as long as the budget bears it. */
  readonly retryable: boolean;
  /** From the request's head to the response's, all tries together. */
  readonly timeoutMs?: number;
  /** The first whose condition holds decides; none = 5xx and failures of gRPC. */
  readonly classes: readonly ResponseClass[];
}

/** Everything that is said of a target's requests. */
export interface RequestRules {
  readonly retry?: RetryRules;
  readonly timeouts?: TimeoutRules;
  /** Absent = `DEFAULT_BUDGET`. */
  readonly budget?: BudgetRules;
  /** The first that matches counts; then `retry` and `timeouts` do not hold for any request (a ServiceProfile replaces the annotations). */
  readonly routes?: readonly RouteRules[];
}

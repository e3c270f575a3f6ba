import type { StatusRange } from '../retries/retry-rules.ts';

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
  /** Failed requests are retried as long as the budget allows it. */
  readonly retryable: boolean;
  /** From the request's head to the response's, all tries together. */
  readonly timeoutMs?: number;
  /** The first whose condition holds decides; where none does, 5xx and failures of gRPC are failures. */
  readonly classes: readonly ResponseClass[];
}

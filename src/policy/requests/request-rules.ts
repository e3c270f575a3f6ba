/**
 * What a Service says of retries and timeouts of its requests, as plain data: discovery reads it, the proxy
 * core follows it. Linkerd's semantics (wire protocol 3.4).
 */

import type { BudgetRules, RetryRules } from '../retries/retry-rules.ts';
import type { RouteRules } from '../routes/route-rules.ts';
import type { TimeoutRules } from '../timeouts/timeout-rules.ts';

/** Everything that is said of a target's requests. */
export interface RequestRules {
  readonly retry?: RetryRules;
  readonly timeouts?: TimeoutRules;
  /** Absent = `DEFAULT_BUDGET`. */
  readonly budget?: BudgetRules;
  /**
   * The first that matches counts; then `retry` and `timeouts` do not hold for any request (a ServiceProfile
   * replaces the annotations).
   */
  readonly routes?: readonly RouteRules[];
}

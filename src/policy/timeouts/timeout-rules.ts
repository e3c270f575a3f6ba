/** Milliseconds; what is absent does not end. */
export interface TimeoutRules {
  /** From the request's head to the response's end, all tries together. */
  readonly requestMs?: number;
  /**
   * Of one try, from when the request has been sent (or the response begins, if that is earlier) to the
   * response's end.
   */
  readonly responseMs?: number;
  /** Without a byte either way. */
  readonly idleMs?: number;
}

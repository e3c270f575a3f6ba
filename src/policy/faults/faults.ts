/** What a drill does to some of the requests for a service. A rule does at least one of `delayMs`, `abort` and `reset`. */
export interface FaultRule {
  /** Milliseconds since the epoch; from then on there is no such rule. */
  readonly until: number;
  /** Share of the requests that match: more than 0, up to 100. */
  readonly percent: number;
  /** Fields that a request must have, with exactly these values. Names are in lower case. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** How long a request or new raw connection waits; 0 = it does not. */
  readonly delayMs: number;
  /** Up to so much more, at random. */
  readonly jitterMs: number;
  /** It is answered with this instead of being carried. */
  readonly abort?: { readonly status: number; readonly grpc: number };
  /** Its connection, or with HTTP/2 its stream, is broken. */
  readonly reset: boolean;
}

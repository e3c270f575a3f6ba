/** A steady rate and a burst. */
export interface Rate {
  /** More than 0. */
  readonly perSecond: number;
  /** How many may come at the same moment after a time of rest: at least 1. */
  readonly burst: number;
}

/** A rate of some clients, which they share. */
export interface SharedRate {
  /** Identities, or patterns of such. */
  readonly clients: readonly string[];
  readonly rate: Rate;
}

/** The rate limits that one Service, policy or file sets. */
export interface RateLimits {
  /** Limits with the same key are one limit: the ports of a Service, the targets behind a Server. */
  readonly key: string;
  /** Where they are set: `group/kind/name`, for messages and metrics. */
  readonly policy: string;
  /** All clients together. */
  readonly total?: Rate;
  /** Each client for itself. */
  readonly perClient?: Rate;
  /** Instead of `perClient`, for the clients that they name; the first that names a client counts. */
  readonly overrides: readonly SharedRate[];
}

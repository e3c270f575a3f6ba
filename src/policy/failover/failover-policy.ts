/** What happens to the share of a backend that cannot be used: others get it, or its requests are refused. */
export type OnUnavailable = 'redistribute' | 'fail';

/** How shares are decided, as users can configure it. Times are in milliseconds. */
export interface FailoverPolicy {
  /** How much of its usual load an endpoint can take; default 1.4, Envoy's overprovisioning factor. */
  readonly overprovision: number;
  /** The part of the expected endpoints that must be ready for a backend to be used: 0 to 1, default 0.2. */
  readonly minHealthy: number;
  /**
   * How long a backend that is usable again is held without a share, the first time; twice as long each
   * further time. Default 30 s.
   */
  readonly delayMs: number;
  /** The longest hold; default 10 min. */
  readonly maxDelayMs: number;
  /** How long its share takes to grow after the hold; default 60 s. */
  readonly rampMs: number;
  /** How long the highest number of ready endpoints counts as expected; default 10 min. */
  readonly capacityWindowMs: number;
  /** The weight on routes of backends that can be used and have no share, per million; default 1. */
  readonly standbyPpm: number;
  /** Largest share of backends that are limited, basis points, by name. */
  readonly maxShare: ReadonlyMap<string, number>;
  /** How many endpoints backends are expected to have, instead of the number that was seen, by name. */
  readonly expected: ReadonlyMap<string, number>;
  readonly onUnavailable: OnUnavailable;
}

/** The policy where none is configured. */
export const DEFAULT_POLICY: FailoverPolicy = {
  overprovision: 1.4,
  minHealthy: 0.2,
  delayMs: 30_000,
  maxDelayMs: 600_000,
  rampMs: 60_000,
  capacityWindowMs: 600_000,
  standbyPpm: 1,
  maxShare: new Map(),
  expected: new Map(),
  onUnavailable: 'redistribute',
};

import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import type { FailoverReason, FailoverState } from '../../api/failover/failover-reasons.ts';

/** A cluster, or a backend of a split, that requests are divided among. Names are unique within a group. */
export interface Backend {
  readonly name: string;
  /** Backends of the lowest tier come first. */
  readonly tier: number;
  /**
   * As the user has configured it; 0: never used. Absent: by capacity, or 1 where another backend of the tier
   * has a weight.
   */
  readonly weight?: number;
  /** Capacity of one of its endpoints, relative to an endpoint of the others; default 1. */
  readonly factor?: number;
  /** Absent: nothing is known of it, and it is used as if it had one endpoint, which is ready. */
  readonly facts?: FailoverFacts | undefined;
  /** Drains that are in effect for it, from several sides; the one that leaves least counts. */
  readonly drains?: readonly FailoverDrain[] | undefined;
}

/**
 * How the backends of a tier share its load: `graded`, where a backend with too few ready endpoints counts
 * for less, or `exact`, by the weights of a split, however many endpoints are ready.
 */
export type Weighing = 'graded' | 'exact';

/** All that `decide` calculates for one backend, in the order of its steps. Parts are 0 to 1. */
export interface Figures {
  readonly backend: Backend;
  readonly ready: number;
  readonly expected: number;
  /** `Backend.factor`, or 1. */
  readonly factor: number;
  /** Its configured weight; undefined: it has none, or all weights of the group are 0. */
  readonly wish: number | undefined;
  /** Its weight is 0, and those of others are not: it is never used. */
  readonly off: boolean;
  /** Its cluster can be reached, and enough endpoints are ready (`minHealthy`). */
  readonly usable: boolean;
  /** The part of its share that a drain leaves; 1: there is no drain. */
  readonly drain: number;
  /** The drain that leaves it no more than that; undefined where `drain` is 1. */
  readonly drainedBy: FailoverDrain | undefined;
  /** How long it is held without a share after an outage, milliseconds. */
  readonly holdMs: number;
  /** How far its share has grown again since its last outage; 0: it is held. */
  readonly back: number;
  /** φ: the part of it that may be used: `drain` times `back`; 0 if it is not usable. */
  phi: number;
  /**
   * φ after filling: greater where holds and ramps are cut short, because the others have too little
   * capacity.
   */
  filled: number;
  /** The part of the whole demand that it has capacity for, if φ were 1. */
  room: number;
  /** Its weight within the tier, if φ were 1. */
  weight: number;
  /** The part of all requests that it gets, before rounding. */
  load: number;
  /** The same in basis points: the result. */
  share: number;
  state: FailoverState;
  reason: FailoverReason;
}

/** All that `decide` calculates for one tier. */
export interface TierFigures {
  readonly tier: number;
  /** H: the part of the whole demand that it has capacity for, filling included. */
  health: number;
  /** The part of all requests that it gets. */
  load: number;
}

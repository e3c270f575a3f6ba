/**
 * Annotations and labels of failover. Those under `failover.linkerd.io` are linkerd-failover's, and have the
 * same meaning here. None is copied from a remote cluster, which must not steer this one's traffic.
 */

/** On a federated Service, a TrafficSplit or a route: tiers of its backends, `local; west, north=2; *`. */
export const FAILOVER_TIERS = 'failover.linkspan.dev/tiers';
/** On the same objects: settings of failover, `min-healthy=20% delay=30s ramp=60s`. */
export const FAILOVER_POLICY = 'failover.linkspan.dev/policy';
/**
 * On a federated Service, what holds of these two: as its own annotations say, or else those of this
 * cluster's own member, without what is wrong with them. Only the controller writes it, and everybody decides
 * by it.
 */
export const FAILOVER_EFFECTIVE_TIERS = 'failover.linkspan.dev/effective-tiers';
export const FAILOVER_EFFECTIVE_POLICY = 'failover.linkspan.dev/effective-policy';
/**
 * On EndpointSlices of a member, or of a mirror: what its peer knows of it. Only the controller writes it.
 */
export const FAILOVER_FACTS = 'failover.linkspan.dev/facts';
/** On a Link: the tier, the weight and the capacity factor of its cluster, for all Services. */
export const FAILOVER_TIER = 'failover.linkspan.dev/tier';
export const FAILOVER_WEIGHT = 'failover.linkspan.dev/weight';
export const FAILOVER_CAPACITY_FACTOR = 'failover.linkspan.dev/capacity-factor';
/**
 * On a TrafficSplit or a route that is managed: the weights that its owner wrote, which are put back when the
 * label goes.
 */
export const FAILOVER_BASE_WEIGHTS = 'failover.linkspan.dev/base-weights';
/**
 * On the same objects: the facts of backends that are Services of this cluster, whose slices are not ours to
 * annotate. Only the controller writes it.
 */
export const FAILOVER_BACKEND_FACTS = 'failover.linkspan.dev/backend-facts';
/** Label on a TrafficSplit or a route: the name of the controller that writes its weights. */
export const FAILOVER_CONTROLLED_BY = 'failover.linkerd.io/controlled-by';
/** On the same objects: the backend that serves before all others; default: the first. */
export const FAILOVER_PRIMARY_SERVICE = 'failover.linkerd.io/primary-service';
/**
 * On a Link: a `FailoverDrain` of its cluster, for all Services. On a gateway's Service: of its own cluster.
 */
export const FAILOVER_DRAIN = 'linkspan.dev/drain';
/** On a Link or a gateway's Service: a `ConnectionDrill`. */
export const FAILOVER_DRILL = 'linkspan.dev/drill';
/** On a federated Service, behind it the name of a member (`local` for this cluster): a drain of that one. */
export const FAILOVER_DRAIN_GROUP = 'drain.linkspan.dev';

/** Conditions of a federated Service (`status.conditions`). */
export const FAILOVER_CONDITIONS = {
  /** What is written about failover can be done. */
  ready: 'linkspan.dev/FailoverReady',
  /** Requests go elsewhere than when all is well. */
  active: 'linkspan.dev/FailoverActive',
  /** All that can be used together have too few endpoints. */
  short: 'linkspan.dev/CapacityShort',
} as const;

/** The groups of these keys, which are not copied from other clusters. */
export const FAILOVER_GROUPS: readonly string[] = [
  'failover.linkspan.dev',
  'failover.linkerd.io',
  FAILOVER_DRAIN_GROUP,
];

const KIB = 1024;
/** Longest value of `FAILOVER_FACTS`, characters; ours have some 150. */
export const MAX_FACTS_LENGTH = 512;
/** Longest value of `FAILOVER_DRAIN`, characters. */
export const MAX_DRAIN_LENGTH = KIB;

/** Longest value of `FAILOVER_BASE_WEIGHTS`, characters: a name and a weight for each backend. */
export const MAX_BASE_WEIGHTS_LENGTH = 16 * KIB;
/** Longest value of `FAILOVER_BACKEND_FACTS`, characters: `MAX_FACTS_LENGTH` for 64 backends. */
export const MAX_BACKEND_FACTS_LENGTH = 32 * KIB;

/** How long, in characters, the value of each annotation may be: a part of `ANNOTATION_LIMITS`. */
export const FAILOVER_ANNOTATION_LIMITS = {
  [FAILOVER_TIERS]: 4 * KIB,
  [FAILOVER_POLICY]: 4 * KIB,
  [FAILOVER_EFFECTIVE_TIERS]: 4 * KIB,
  [FAILOVER_EFFECTIVE_POLICY]: 4 * KIB,
  [FAILOVER_FACTS]: MAX_FACTS_LENGTH,
  [FAILOVER_TIER]: 4 * KIB,
  [FAILOVER_WEIGHT]: 4 * KIB,
  [FAILOVER_CAPACITY_FACTOR]: 4 * KIB,
  [FAILOVER_BASE_WEIGHTS]: MAX_BASE_WEIGHTS_LENGTH,
  [FAILOVER_BACKEND_FACTS]: MAX_BACKEND_FACTS_LENGTH,
  [FAILOVER_PRIMARY_SERVICE]: 4 * KIB,
  [FAILOVER_DRAIN]: MAX_DRAIN_LENGTH,
  [FAILOVER_DRILL]: MAX_DRAIN_LENGTH,
} as const;

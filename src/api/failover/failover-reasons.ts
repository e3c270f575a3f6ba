/**
 * Why a backend has its share, or the backends of an apex Service have theirs. The names are API: they stand
 * in conditions, Events, log fields, metric labels and the output of `linkspan`.
 */
export const failoverReasons = {
  PrimaryServing: 'Those of the first tier serve, each with its whole share.',
  SpillLowCapacity: 'A tier has too few ready endpoints for all; the next one takes the rest.',
  PathDead: 'The cluster cannot be reached.',
  NoReadyEndpoints: 'No endpoint is ready.',
  BelowMinHealthy: 'Fewer endpoints are ready than the policy demands (min-healthy).',
  FailBackHeld: 'It can be used again, and waits until its hold is over.',
  FailBackRamp: 'It can be used again, and its share grows.',
  Drained: 'Somebody drains it.',
  DrillActive: 'A drill takes it away.',
  FactsUnknown: 'Nothing is known of it yet.',
  NoHealthyBackend: 'None can be used as it should be; the least bad one serves.',
  CapacityShort:
    'All that can be used together have too few endpoints for all, and nobody says that no request fails or waits.',
  DemandUnmet:
    'All that can be used together have too few endpoints for all, and at the egress requests fail or wait.',
  OtherController: 'Somebody else writes the weights; they are left alone.',
  ApexHasSelector: 'The Service has a selector, so that plain clients reach its own pods only.',
  ApexHasEndpoints: 'Somebody else writes the endpoints of the Service; they are left alone.',
  ApexUnsuitable:
    'The Service can lead nowhere else: it is headless, of type ExternalName, or has no TCP port.',
  TooManyApexes:
    'The namespace, or the cluster, has as many ports of Services that lead elsewhere as it may.',
  DemandMet:
    'All together have fewer endpoints than are expected, but at the egress no request fails or waits.',
  CapacitySuffices: 'All together have enough endpoints for all.',
  AnnotationInvalid:
    'An annotation about failover is wrong; the message says which key, and what held before holds on.',
  TierUnknownMember: 'A tier names somebody who is no backend; the message says whom.',
} as const;

export type FailoverReason = keyof typeof failoverReasons;

/**
 * Reasons of Events that `linkspan` and the controller write on a Link, on the Service that a drain is about,
 * or on a gateway's.
 */
export const drainEvents = {
  DrainStarted:
    'Somebody drains the cluster, or its gateway asks for it; the message says how far, and until when.',
  DrainPaused:
    'A drain goes no further, because too many responses are failures; the message has the numbers.',
  DrainDone:
    'A drain that was waited for has done what it should, or one has come to its end, by itself or because somebody has ended it.',
  DrillReport: 'A drill is over; the message has the verdict.',
} as const;

export type DrainEvent = keyof typeof drainEvents;

/** Reasons of Events about failover, beside some of the above. */
export const failoverEvents = {
  Failover: 'Requests go elsewhere than when all is well; the message says where, and why.',
  FailBack: 'Requests are divided again as they are when all is well.',
  FlapDamped: 'A backend came back more than once within minutes, and is kept away for longer each time.',
} as const;

export type FailoverEvent =
  | keyof typeof failoverEvents
  | Extract<
      FailoverReason,
      | 'AnnotationInvalid'
      | 'TierUnknownMember'
      | 'NoHealthyBackend'
      | 'CapacityShort'
      | 'ApexHasSelector'
      | 'ApexHasEndpoints'
      | 'ApexUnsuitable'
      | 'TooManyApexes'
    >;

/** States of a backend, as they are shown to users. */
export const failoverStates = {
  Active: 'It can take its share, which is nothing while a tier before it suffices.',
  Spilling: 'It takes what tiers before it cannot.',
  Held: 'It is back, and gets nothing yet.',
  Returning: 'It is back, and its share grows.',
  Draining: 'Its share shrinks, because somebody wants it so.',
  Drained: 'It has as little as somebody wants it to have.',
  Withdrawn: 'It cannot be used.',
  Unknown: 'Nothing is known of it.',
} as const;

export type FailoverState = keyof typeof failoverStates;

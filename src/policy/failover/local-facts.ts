import type { FailoverFacts } from '../../api/failover/failover-facts.ts';

/** What is looked at of an endpoint of this cluster. */
export interface LocalEndpoint {
  readonly ready: boolean;
  /** It is about to go, though it may still serve. */
  readonly leaving?: true;
}

/**
 * The facts of a backend of a user's Service that is a Service of this cluster. Nothing of it is published:
 * egress, controller and CLI each see its endpoints, and make the same of them. So there is no memory: as
 * many are expected as are ready (or as the policy says), and one that is back is not held. Pure.
 */
export function localFacts(endpoints: readonly LocalEndpoint[]): FailoverFacts {
  const lasting = endpoints.filter(({ leaving }) => leaving !== true);
  const ready = lasting.filter((one) => one.ready).length;
  return {
    path: 'alive',
    ready,
    known: lasting.length,
    expected: Math.max(1, ready),
    usableSince: ready > 0 ? 0 : null,
    flaps: 0,
    lastWord: 0,
  };
}

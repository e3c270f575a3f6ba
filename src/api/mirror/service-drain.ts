import { type Annotations, readAnnotation } from '../annotations.ts';
import { type FailoverDrain, readDrain } from '../failover/failover-drain.ts';
import { FAILOVER_DRAIN_GROUP } from '../failover/failover-names.ts';

/**
 * The annotation of a federated Service that drains one of its members, so that one Service can be drained
 * and others not. Each member has one of its own: whoever drains one touches no other's.
 * @param member its cluster; `local` for the cluster itself
 */
export function serviceDrainKey(member: string): `${typeof FAILOVER_DRAIN_GROUP}/${string}` {
  return `${FAILOVER_DRAIN_GROUP}/${member}`;
}

/** The drain that a federated Service says of a member; undefined: none, or none that is valid. */
export function serviceDrain(
  annotations: Annotations | undefined,
  member: string,
): FailoverDrain | undefined {
  return annotations === undefined
    ? undefined
    : readDrain(readAnnotation(annotations, serviceDrainKey(member)));
}

import type { CopyRules } from '../../api/mirror/mirror-metadata.ts';
import type { DataPath } from '../../api/mirror/mirror-annotations.ts';
import {
  federatedName,
  hasMember,
  LOCAL_MEMBER,
  memberClusters,
  memberLabel,
} from '../../api/mirror/federated-members.ts';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import { readyAddresses } from '../objects/mirrored-endpoints.ts';
import type { Decision } from '../../policy/failover/decide.ts';
import type { Demand } from '../../policy/failover/demand.ts';
import type { FailoverCondition } from '../../policy/failover/failover-conditions.ts';
import type { ImportedFacts } from '../policies/check-chain.ts';
import type { LocalPart } from '../reconcile/mirror-facts.ts';
import type { TargetSettings } from '../settings/target-settings.ts';

/**
 * What the slices of a federated Service hold. `none`: nothing, because Linkerd's destination controller
 * resolves the members from the discovery annotations; `relay`: the egress pods, on a port of each cluster's
 * own; `pods`: the addresses of the members' pods.
 */
export type Union = 'none' | 'relay' | 'pods';

/** What identifies one membership, whatever is known of its export. */
export type Membership = Pick<MemberFacts, 'key' | 'member' | 'federated'>;

/** Everything that decides about the membership of one Service in `<svc>-federated`. */
export interface MemberFacts extends ImportedFacts {
  /** The member's cluster, or `LOCAL_MEMBER` for the source cluster itself. */
  readonly member: string;
  /** The Link that it came by; undefined for the source cluster's own. */
  readonly link: string | undefined;
  readonly rules: CopyRules;
  readonly createNamespaces: boolean;
  readonly union: Union;
  /** The local Service that has the federated name, with all its slices. */
  readonly federated: LocalPart;
  /**
   * Clusters among the entries of the federated Service that no Link names and for which it has no record of
   * a member: somebody has written them there by hand.
   */
  readonly strangers: readonly string[];
  /**
   * Whether this member decides about labels, annotations and ports of the Service: it is local, or its Link
   * is the oldest of all members'.
   */
  readonly leads: boolean;
  /**
   * Whether both witnesses have said for long enough that its cluster is lost, and there are others; only
   * where its requests do not pass through the egress.
   */
  readonly lost?: boolean | undefined;
  /** Milliseconds after which that may change by itself. */
  readonly lostWaitMs?: number | undefined;
  /**
   * What is decided about its requests, as its leading member has it; undefined: there is nothing to decide.
   */
  readonly group?: GroupStatus | undefined;
}

/** What is decided about the requests of a federated Service, and what its status should say of it. */
export interface GroupStatus {
  readonly decision: Decision;
  readonly conditions: readonly FailoverCondition[];
  /** How requests fared, as far as it was known. */
  readonly demand: Demand;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** When what is told may change by time alone, beside `Decision.nextChangeAt`; likewise. */
  readonly againAt?: number | undefined;
}

/** Whether the federated Service has this member's entry. */
export function isMember({ federated, member, key }: Membership): boolean {
  return federated.service !== undefined && hasMember(federated.service, member, key.name);
}

/**
 * Whether the Service would have somebody without this member: another one in the list, or, where its slices
 * hold pods, another's that is ready.
 */
export function hasOthers({ federated: { service, slices }, union, member }: MemberFacts): boolean {
  if (service === undefined) return false;
  if (union === 'none') return memberClusters(service).some((cluster) => cluster !== member);
  return readyAddresses(slices.filter((slice) => clusterOf(slice) !== memberLabel(member))).length > 0;
}

/**
 * What this member's slices hold now: the egress pods where its pods are reached by the port of the whole
 * group, which is so for the source cluster's own.
 */
export function unionNow({ union, key, egress, egressGroups }: MemberFacts): Union {
  const isGrouped = egress.length > 0 && egressGroups.has(federatedName(key.name));
  return union === 'pods' && isGrouped ? 'relay' : union;
}

/**
 * What the names of a member's slices begin with. A cluster's name has no dot, so that no other cluster's
 * slices can have a name of the source cluster's own.
 */
export function prefixOf({ key, member }: Membership): string {
  const service = federatedName(key.name);
  return member === LOCAL_MEMBER ? `${service}.local` : `${service}-${member}`;
}

/** Where federated Services get their endpoints from. */
export function unionFor(settings: Pick<TargetSettings, 'flatEndpoints'>, dataPath: DataPath): Union {
  if (settings.flatEndpoints) return 'pods';
  return dataPath === 'relay' ? 'relay' : 'none';
}

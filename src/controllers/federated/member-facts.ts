import type { CopyRules } from '../../api/mirror/mirror-metadata.ts';
import type { DataPath } from '../../api/mirror/mirror-annotations.ts';
import { federatedName, hasMember, LOCAL_MEMBER } from '../../api/mirror/federated-members.ts';
import type { ImportedFacts } from '../policies/check-chain.ts';
import type { LocalPart } from '../reconcile/mirror-facts.ts';
import type { TargetSettings } from '../settings/target-settings.ts';

/**
 * What a federated Service gets as endpoints: `none` where Linkerd's destination controller resolves the
 * members from the discovery annotations; `relay`: the egress pods, on a port of each cluster's own; `pods`:
 * the pods' addresses.
 */
export type Union = 'none' | 'relay' | 'pods';

/** One membership, whatever is known of its export. */
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
   * Clusters among the entries that no Link names and no member is on record for: somebody has written them
   * there.
   */
  readonly strangers: readonly string[];
  /**
   * Whether this member decides labels, annotations and ports: it is local, or its Link is the oldest of all
   * members'.
   */
  readonly leads: boolean;
}

/** Whether the federated Service names this member. */
export function isMember({ federated, member, key }: Membership): boolean {
  return federated.service !== undefined && hasMember(federated.service, member, key.name);
}

/**
 * What the names of a member's slices begin with. A cluster's name has no dot, so the source cluster's own
 * slices have a name that no other can have.
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

import { settledTexts, writtenTexts } from '../../api/mirror/failover-texts.ts';
import { LOCAL_MEMBER } from '../../api/mirror/federated-members.ts';
import { type SettledTexts, settleTexts } from '../../policy/failover/settled-texts.ts';
import type { MemberFacts } from './member-facts.ts';

/**
 * The tiers and the policy that hold for a federated Service, as its leading member has it: what stands on
 * the Service itself, or else on this cluster's own member. A member of another cluster says nothing: it must
 * not steer this one's traffic.
 */
export function textsOf({ federated, member, remote }: MemberFacts): SettledTexts {
  const own = federated.service?.metadata?.annotations;
  const [here, there] = [writtenTexts(own), writtenTexts(remote?.metadata?.annotations)];
  const local = member === LOCAL_MEMBER ? there : {};
  const written = { tiers: here.tiers ?? local.tiers, policy: here.policy ?? local.policy };
  return settleTexts(written, settledTexts(own));
}

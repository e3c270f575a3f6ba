import { federatedName, isFederated } from '../../api/mirror/federated-members.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import { importChain } from '../policies/import-chain.ts';
import { removal, type Chain, type Finding, type Subject } from '../policies/check-chain.ts';
import { isMember, type MemberFacts } from './member-facts.ts';

/** What keeps an export from being a member of its federated Service. */
export function federatedChain(): Chain<MemberFacts> {
  return importChain({
    // Make sure that it has an address of its own, which a union is made of.
    beforeKind: [headless],
  });
}

/** What the shared checks ask of a membership. */
export function memberSubject(facts: MemberFacts): Subject {
  const { key, federated, createNamespaces, union } = facts;
  const name = federatedName(key.name);
  return {
    name,
    isForeign: federated.service !== undefined && !isFederated(federated.service),
    exists: isMember(facts),
    createNamespaces,
    throughGateway: union === 'relay',
    relayed: union === 'relay' ? [name] : [],
  };
}

/** Takes out a headless Service: there is no address that a union could be made of. */
export function headless(facts: MemberFacts, subject: Subject): Finding | undefined {
  if (!isHeadless(facts.remote)) return undefined;
  // Linkerd's words.
  const message = 'Headless service cannot join federated service';
  return removal(facts, subject, { reason: 'InvalidService', message });
}

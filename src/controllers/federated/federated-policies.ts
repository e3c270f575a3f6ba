import { federatedName, isFederated } from '../../api/mirror/federated-members.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import { importChain } from '../policies/import-chain.ts';
import { removal, type Chain, type Finding, type Subject } from '../policies/check-chain.ts';
import { isMember, type MemberFacts } from './member-facts.ts';

/** What keeps an export from being a member of its federated Service. */
export function federatedChain(): Chain<MemberFacts> {
  return importChain({
    // Make sure that it has a ClusterIP: a federated Service is one.
    beforeKind: [headless],
    // Make sure that Linkerd sends nothing to a cluster that is lost.
    beforeName: [clusterLost],
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

/**
 * Takes out the member of a cluster that is lost, where Linkerd follows the list of members and nothing else.
 * Where there are slices of pods, these are taken away instead (`federated-verdict.ts`).
 */
export function clusterLost({ union, lost }: MemberFacts): Finding | undefined {
  return union === 'none' && lost === true
    ? { action: 'remove', reason: 'ClusterLost', message: '' }
    : undefined;
}

/** Takes out a headless Service: its clients expect the pods' names, which a ClusterIP does not have. */
export function headless(facts: MemberFacts, subject: Subject): Finding | undefined {
  if (!isHeadless(facts.remote)) return undefined;
  // Linkerd's words, which people search for.
  const message = 'Headless service cannot join federated service';
  return removal(facts, subject, { reason: 'InvalidService', message });
}

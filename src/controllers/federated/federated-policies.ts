import { federatedName, isFederated } from '../../api/mirror/federated-members.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import {
  egressPortsMissing,
  emptyingHeld,
  gatewayUnknown,
  importRefused,
  nameTaken,
  nameTooLong,
  namespaceMissing,
  noGateway,
  notExported,
  notMirrorable,
  notSynced,
  overBudget,
  quotaExceeded,
  slicesLost,
} from '../policies/checks.ts';
import { removal, type Chain, type Finding, type Subject } from '../policies/check-chain.ts';
import { isMember, type MemberFacts } from './member-facts.ts';

/** What keeps an export from being a member of its federated Service. */
export function federatedChain(): Chain<MemberFacts> {
  return [
    // Make sure that nothing of anybody else is touched.
    nameTaken,
    // Make sure that the source's admin has the last word.
    importRefused,
    // Make sure that the target's list is complete before absence means anything.
    notSynced,
    // Make sure that it is exported as a member.
    notExported,
    // Make sure that the whole of it is known.
    overBudget,
    // Make sure that there is a namespace to write into.
    namespaceMissing,
    // Make sure that it has an address of its own, which a union is made of.
    headless,
    // Make sure that it can be mirrored at all.
    notMirrorable,
    // Make sure that it has room.
    quotaExceeded,
    // Make sure that slices are gone for good.
    slicesLost,
    // Make sure that an emptied target does not empty the union.
    emptyingHeld,
    // Make sure that its name can be a Service's.
    nameTooLong,
    // Make sure that there is a gateway where one is needed.
    noGateway,
    // Make sure that it is known whether the gateway lives.
    gatewayUnknown,
    // Make sure that the egress knows the way before anybody is sent there.
    egressPortsMissing,
  ];
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

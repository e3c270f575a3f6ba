import { mirrorName, originOf } from '../../api/mirror/mirror-names.ts';
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
import { keep, type Chain, type Finding, type Subject } from '../policies/check-chain.ts';
import type { MirrorFacts } from '../reconcile/mirror-facts.ts';
import { relayedNames } from './desired-mirror.ts';
import { formOf } from './headless.ts';

/** What keeps a mirror from being what its export asks for. */
export function mirrorChain(): Chain<MirrorFacts> {
  return [
    // Make sure that no object of others is touched.
    nameTaken,
    // Make sure that a slip of the pen can be taken back before many mirrors go.
    importHeld,
    // Make sure that the source's admin has the last word.
    importRefused,
    // Make sure that the target's list is complete before absence means anything.
    notSynced,
    // Make sure that it is exported.
    notExported,
    // Make sure that the whole of it is known.
    overBudget,
    // Make sure that there is a namespace to write into.
    namespaceMissing,
    // Make sure that it can be mirrored at all.
    notMirrorable,
    // Make sure that it has room.
    quotaExceeded,
    // Make sure that slices are gone for good.
    slicesLost,
    // Make sure that an emptied target does not empty its mirrors.
    emptyingHeld,
    // Make sure that it is known whether it is mirrored host by host.
    formUnknown,
    // Make sure that its name can be a Service's.
    nameTooLong,
    // Make sure that there is a gateway where one is needed.
    noGateway,
    // Make sure that it is known whether the gateway lives.
    gatewayUnknown,
    // Make sure that a failing name service takes no working mirror away.
    gatewayUnresolved,
    // Make sure that the egress knows the way before anybody is sent there.
    egressPortsMissing,
  ];
}

/** What the shared checks need to know of a mirror. */
export function mirrorSubject(facts: MirrorFacts): Subject {
  const { key, link, local, flat } = facts;
  return {
    name: mirrorName(key.name, link.cluster),
    isForeign:
      local.service !== undefined && originOf(local.service, link) !== `${key.namespace}/${key.name}`,
    exists: local.service !== undefined,
    createNamespaces: link.createNamespaces,
    throughGateway: !flat,
    relayed: relayedNames(facts),
  };
}

/** Keeps a mirror for a while that the import policy refuses together with many others. */
export function importHeld({ imports }: MirrorFacts, { exists }: Subject): Finding | undefined {
  const { refusal, heldMs } = imports;
  return refusal !== undefined && heldMs > 0 && exists ? keep('ImportHeld', refusal.message) : undefined;
}

/** Waits for the endpoints of a headless Service: neither its form nor its hosts are known without. */
export function formUnknown(facts: MirrorFacts): Finding | undefined {
  return !facts.flat && formOf(facts) === 'unknown'
    ? keep('NotSynced', 'its endpoints have not been listed yet')
    : undefined;
}

/**
 * Keeps a mirror whose gateway's name cannot be looked up: a failing name service is no reason to take a
 * working mirror away.
 */
export function gatewayUnresolved(
  { remoteReady, gateway }: MirrorFacts,
  { throughGateway, exists }: Subject,
): Finding | undefined {
  return throughGateway && remoteReady !== 0 && gateway?.path === 'unresolved' && exists
    ? keep('GatewayUnresolved')
    : undefined;
}

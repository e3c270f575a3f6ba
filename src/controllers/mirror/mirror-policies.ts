import { mirrorName } from '../../api/mirror/mirror-names.ts';
import { originOf } from '../../api/mirror/ownership.ts';
import { importChain } from '../policies/import-chain.ts';
import { keep, type Chain, type Finding, type Subject } from '../policies/check-chain.ts';
import type { MirrorFacts } from '../reconcile/mirror-facts.ts';
import { relayedNames } from './desired-mirror.ts';
import { formOf } from './headless.ts';

/** What keeps a mirror from being what its export asks for. */
export function mirrorChain(): Chain<MirrorFacts> {
  return importChain({
    // Make sure that a mistaken edit of the policy can be undone before many mirrors go.
    beforeRefusal: [importHeld],
    // Make sure that it is known whether a headless Service is mirrored host by host.
    beforeName: [formUnknown],
  });
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

/** Keeps an existing mirror for a while that the import policy refuses together with many others. */
export function importHeld({ imports }: MirrorFacts, { exists }: Subject): Finding | undefined {
  const { refusal, heldMs } = imports;
  return refusal !== undefined && heldMs > 0 && exists ? keep('ImportHeld', refusal.message) : undefined;
}

/** Waits for the endpoints of a headless Service, without which neither its form nor its hosts are known. */
export function formUnknown(facts: MirrorFacts): Finding | undefined {
  return !facts.flat && formOf(facts) === 'unknown'
    ? keep('NotSynced', 'its endpoints have not been listed yet')
    : undefined;
}

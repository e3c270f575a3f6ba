import type { V1Service } from '@kubernetes/client-node';
import { MAX_SERVICE_NAME } from '../../api/mirror/mirror-names.ts';
import { IMPORT_QUOTAS } from '../../api/names.ts';
import { overBudgetOf } from '../../api/exports/export-marks.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import { keep, removal, type Finding, type ImportedFacts, type Subject } from './check-chain.ts';

/** Leaves a Service of somebody else alone that has the name, whatever is exported. */
export function nameTaken({ remote, key }: ImportedFacts, subject: Subject): Finding | undefined {
  if (!subject.isForeign) return undefined;
  return remote === undefined
    ? keep('NotExported')
    : keep('NameConflict', `Service ${key.namespace}/${subject.name} is not ours`);
}

/**
 * Removes what the import policy refuses, whether the target is heard or not: a hostile one could otherwise
 * keep its mirrors by being silent.
 */
export function importRefused({ imports: { refusal } }: ImportedFacts): Finding | undefined {
  return refusal === undefined ? undefined : { action: 'remove', ...refusal };
}

/** Waits for the first complete list: before it, that a Service is absent means nothing. */
export function notSynced({ remote, synced }: ImportedFacts): Finding | undefined {
  return remote === undefined && !synced ? keep('NotSynced') : undefined;
}

/** Removes what the target does not export. */
export function notExported(facts: ImportedFacts, subject: Subject): Finding | undefined {
  return facts.remote === undefined ? removal(facts, subject, { reason: 'NotExported' }) : undefined;
}

/** Leaves everything as it is for a Service that is over a budget, so that only a part of it is known. */
export function overBudget({ remote }: ImportedFacts): Finding | undefined {
  const why = overBudgetOf(remote);
  return why === undefined ? undefined : keep('OverBudgetService', why);
}

/** Waits for a missing namespace, or has it made where that is allowed and there is room. */
export function namespaceMissing(
  { namespace, key, imports }: ImportedFacts,
  { createNamespaces }: Subject,
): Finding | undefined {
  if (namespace === 'present') return undefined;
  // Linkerd's message, which people search for.
  const message =
    namespace === 'absent' ? 'Namespace does not exist' : `Namespace ${key.namespace} is being deleted`;
  if (namespace === 'terminating' || !createNamespaces) return keep('MissingNamespace', message);
  return imports.namespaceAllowed
    ? { action: 'namespace', reason: 'MissingNamespace', message }
    : keep('ImportQuotaExceeded', `no further namespace may be made: ${IMPORT_QUOTAS}`);
}

/** Removes the mirror of a Service that can no longer be mirrored. */
export function notMirrorable(facts: ImportedFacts, subject: Subject): Finding | undefined {
  const message = unmirrorable(facts.remote);
  return message === undefined ? undefined : removal(facts, subject, { reason: 'InvalidService', message });
}

/**
 * Removes what has no room in the Link's quotas. It comes before all checks that leave existing mirrors as
 * they are.
 */
export function quotaExceeded(facts: ImportedFacts, subject: Subject): Finding | undefined {
  const { overQuota: message } = facts.imports;
  return message === undefined
    ? undefined
    : removal(facts, subject, { reason: 'ImportQuotaExceeded', message });
}

/**
 * Waits a moment where a Service has lost all its slices: where many do at once, the target has lost data
 * rather than pods, and the drop guard holds them.
 */
export function slicesLost({ emptiedGraceMs }: ImportedFacts): Finding | undefined {
  return emptiedGraceMs > 0 ? keep('Mirrored') : undefined;
}

/** Keeps the endpoints of a mirror that would be emptied while the drop guard holds removals. */
export function emptyingHeld({ removalsHeld, remoteReady }: ImportedFacts): Finding | undefined {
  return removalsHeld && remoteReady === 0 ? keep('DropHeld') : undefined;
}

/** Refuses a name that is too long for a Service. */
export function nameTooLong(_: ImportedFacts, { name }: Subject): Finding | undefined {
  if (name.length <= MAX_SERVICE_NAME) return undefined;
  return keep('NameTooLong', `${name} has ${name.length} characters, ${MAX_SERVICE_NAME} are allowed`);
}

/** Removes what should lead through a gateway where the Link names none. */
export function noGateway(facts: ImportedFacts, subject: Subject): Finding | undefined {
  if (!subject.throughGateway || facts.gateway !== undefined) return undefined;
  const message = 'spec.gatewayAddress of the Link is empty';
  return removal(facts, subject, { reason: 'NoGateway', message });
}

/**
 * Leaves everything as it is until probes have said whether the gateway is alive: after a restart of the
 * controller, a dead gateway must not look alive, and a live one must not be taken away. A mirror whose
 * export has no ready endpoints is emptied in any case.
 */
export function gatewayUnknown(
  { remoteReady, gateway }: ImportedFacts,
  { throughGateway }: Subject,
): Finding | undefined {
  if (!throughGateway || remoteReady === 0) return undefined;
  return gateway?.path === 'unknown' || gateway?.path === 'resolving' ? keep('GatewayUnknown') : undefined;
}

/**
 * Keeps an existing mirror where the gateway's name cannot be resolved: trouble of the name service is no
 * reason to take away what works.
 */
export function gatewayUnresolved(
  { remoteReady, gateway }: ImportedFacts,
  { throughGateway, exists }: Subject,
): Finding | undefined {
  return throughGateway && remoteReady !== 0 && gateway?.path === 'unresolved' && exists
    ? keep('GatewayUnresolved')
    : undefined;
}

/** Waits for egress ports: they are not recorded yet, or the range is full. */
export function egressPortsMissing(
  { egressPorts, egressUnrecorded }: ImportedFacts,
  { relayed }: Subject,
): Finding | undefined {
  if (relayed.every((name) => egressPorts.has(name))) return undefined;
  return keep(egressUnrecorded ? 'EgressPortsUnrecorded' : 'EgressPortsExhausted');
}

/** Why a Service cannot be mirrored at all, for people; undefined where it can. */
export function unmirrorable(remote: V1Service | undefined): string | undefined {
  if (remote?.spec?.type === 'ExternalName')
    return 'it is of type ExternalName, a DNS alias without endpoints';
  if (remote !== undefined && mirroredPorts(remote).length === 0) return 'it has no TCP port';
  return undefined;
}

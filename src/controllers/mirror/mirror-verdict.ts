import type { V1Service } from '@kubernetes/client-node';
import { IMPORT_QUOTAS } from '../../api/names.ts';
import { overBudgetOf } from '../../exports/service-size.ts';
import { familyGap, type ServiceWithSlices } from '../objects/address-families.ts';
import { desiredParts, relayedNames, type DesiredPart } from './desired-mirror.ts';
import type { LinkFacts, MirrorFacts } from '../reconcile/mirror-facts.ts';
import { formOf } from './headless.ts';
import { shortList, type ImportNote } from '../imports/import-rules.ts';
import { steeringKeys } from '../../api/mirror/mirror-metadata.ts';
import { MAX_SERVICE_NAME, mirrorName, originOf } from '../../api/mirror/mirror-names.ts';
import { isLeaving } from '../reconcile/steps.ts';
import { mirroredPorts, portsLeftOut } from '../objects/mirrored-ports.ts';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';

/**
 * What should be done about one mirror, and why.
 * - `keep`: touch nothing (not enough is known, or the name is somebody else's);
 * - `remove`: what we own of it should go;
 * - `namespace`: its namespace should be made first;
 * - `mirror`: it should be exactly `parts`.
 */
export type Verdict = {
  readonly reason: MirrorReason;
  readonly message: string;
  /** What of the export the import policy left out. */
  readonly notes?: readonly ImportNote[];
} & (
  | { readonly action: 'keep' | 'remove' | 'namespace' }
  | { readonly action: 'mirror'; readonly parts: readonly DesiredPart[] }
);

const verdict = (action: 'keep' | 'remove' | 'namespace', reason: MirrorReason, message = ''): Verdict => ({
  action,
  reason,
  message,
});

type Check = (facts: MirrorFacts) => Verdict | undefined;

/** Tried in order; the first that answers decides. */
const checks: readonly Check[] = [
  foreignName,
  refused,
  // Never act on ignorance: absence means nothing before the first complete list.
  (facts) => (facts.remote === undefined && !facts.synced ? verdict('keep', 'NotSynced') : undefined),
  (facts) => (facts.remote === undefined ? removal(facts, 'NotExported') : undefined),
  // We hold only a part of it: what its mirror would be is not known.
  ({ remote }) => {
    const why = overBudgetOf(remote);
    return why === undefined ? undefined : verdict('keep', 'OverBudgetService', why);
  },
  missingNamespace,
  // A Service that stopped being mirrorable gives up the mirror that it had.
  (facts) => {
    const why = notMirrorable(facts.remote);
    return why === undefined ? undefined : removal(facts, 'InvalidService', why);
  },
  // Stands before the checks that leave a mirror as it is: one that exceeds the quota goes whatever else is
  // uncertain.
  (facts) =>
    facts.imports.overQuota === undefined
      ? undefined
      : removal(facts, 'ImportQuotaExceeded', facts.imports.overQuota),
  // Slices that are gone altogether, of many Services at once, are a sign of lost data rather than of dead pods.
  ({ emptiedGraceMs }) => (emptiedGraceMs > 0 ? verdict('keep', 'Mirrored') : undefined),
  ({ removalsHeld, remoteReady }) =>
    removalsHeld && remoteReady === 0 ? verdict('keep', 'DropHeld') : undefined,
  // Neither its form nor its hosts are known.
  (facts) =>
    !facts.flat && formOf(facts) === 'unknown'
      ? verdict('keep', 'NotSynced', 'its endpoints have not been listed yet')
      : undefined,
  (facts) => {
    const name = nameOf(facts);
    return name.length > MAX_SERVICE_NAME
      ? verdict(
          'keep',
          'NameTooLong',
          `${name} has ${name.length} characters, ${MAX_SERVICE_NAME} are allowed`,
        )
      : undefined;
  },
  (facts) =>
    !facts.flat && facts.gateway === undefined
      ? removal(facts, 'NoGateway', 'spec.gatewayAddress of the Link is empty')
      : undefined,
  uncertainPath,
  (facts) =>
    relayedNames(facts).every((name) => facts.egressPorts.has(name))
      ? undefined
      : verdict('keep', facts.egressUnrecorded ? 'EgressPortsUnrecorded' : 'EgressPortsExhausted'),
];

/** Decides about one mirror. Pure: no I/O, no clock. */
export function decide(facts: MirrorFacts): Verdict {
  for (const check of checks) {
    const found = check(facts);
    if (found !== undefined) return found;
  }
  return mirror(facts);
}

/** Not ours: whatever is exported, an object of somebody else is left alone. */
function foreignName(facts: MirrorFacts): Verdict | undefined {
  const { local, link, key, remote } = facts;
  if (local.service === undefined || originOf(local.service, link) === `${key.namespace}/${key.name}`)
    return undefined;
  return remote === undefined
    ? verdict('keep', 'NotExported')
    : verdict('keep', 'NameConflict', `Service ${key.namespace}/${nameOf(facts)} is not ours`);
}

/** What the source's admin does not take goes without a word from the target: one that means harm could else keep its mirrors. */
function refused({ imports, local }: MirrorFacts): Verdict | undefined {
  const { refusal, heldMs } = imports;
  if (refusal === undefined) return undefined;
  return heldMs > 0 && local.service !== undefined
    ? verdict('keep', 'ImportHeld', refusal.message)
    : verdict('remove', refusal.reason, refusal.message);
}

function missingNamespace({ namespace, link, key, imports }: MirrorFacts): Verdict | undefined {
  if (namespace === 'present') return undefined;
  if (namespace === 'absent' && link.createNamespaces && !imports.namespaceAllowed)
    return verdict('keep', 'ImportQuotaExceeded', `no further namespace may be made: ${IMPORT_QUOTAS}`);
  // Linkerd's words, which people search for.
  const message =
    namespace === 'absent' ? 'Namespace does not exist' : `Namespace ${key.namespace} is being deleted`;
  const create = namespace === 'absent' && link.createNamespaces;
  return verdict(create ? 'namespace' : 'keep', 'MissingNamespace', message);
}

/**
 * Until the gateway's path is known, a mirror stays as it is: a gateway that was dead when we started must not look alive, and a restart must not take one away
 * that is alive. A Service without ready endpoints is emptied in any case.
 */
function uncertainPath({ flat, gateway, remoteReady, local }: MirrorFacts): Verdict | undefined {
  if (flat || remoteReady === 0) return undefined;
  if (gateway?.path === 'unknown' || gateway?.path === 'resolving') return verdict('keep', 'GatewayUnknown');
  // Name service trouble is no reason to take away what works.
  if (gateway?.path === 'unresolved' && local.service !== undefined)
    return verdict('keep', 'GatewayUnresolved');
  return undefined;
}

function removal(facts: MirrorFacts, reason: MirrorReason, message = ''): Verdict {
  return facts.removalsHeld && facts.local.service !== undefined
    ? verdict('keep', 'DropHeld')
    : verdict('remove', reason, message);
}

function nameOf(facts: MirrorFacts): string {
  return mirrorName(facts.key.name, facts.link.cluster);
}

/** Why a Service cannot be mirrored at all. */
export function notMirrorable(remote: V1Service | undefined): string | undefined {
  if (remote?.spec?.type === 'ExternalName')
    return 'it is of type ExternalName, a DNS alias without endpoints';
  if (remote !== undefined && mirroredPorts(remote).length === 0) return 'it has no TCP port';
  return undefined;
}

function mirror(facts: MirrorFacts): Verdict {
  const { remote } = facts;
  if (remote === undefined) return verdict('keep', 'NotExported');
  const path = endpointsReason(facts);
  const leaving = [facts.local, ...facts.hosts.map(({ local }) => local)].find(({ service }) =>
    isLeaving(service),
  );
  const parts = desiredParts(facts, remote, path);
  const gap = path === 'Mirrored' ? familyGap(withLocal(facts, parts)) : undefined;
  const reason =
    leaving === undefined ? (gap === undefined ? path : 'AddressFamilyMismatch') : 'BeingDeleted';
  const leftOut = portsLeftOut(remote);
  const notes = importNotes(facts, remote);
  const message = [
    ...(leaving === undefined ? [] : [heldBy(leaving.service)]),
    ...(gap === undefined ? [] : [gap]),
    ...(reason === facts.gateway?.refusal?.reason ? [facts.gateway.refusal.message] : []),
    ...(leftOut.length === 0 ? [] : [`ports left out, only TCP is mirrored: ${leftOut.join(', ')}`]),
    ...notes.map(({ text }) => text),
  ];
  return {
    action: 'mirror',
    reason,
    message: message.join('; '),
    ...(notes.length === 0 ? {} : { notes }),
    parts,
  };
}

/** What is here under the name of each part, with the slices that it shall have. */
function withLocal({ local, hosts }: MirrorFacts, parts: readonly DesiredPart[]): ServiceWithSlices[] {
  const here = new Map(
    [local, ...hosts.map((host) => host.local)].map(({ service }) => [service?.metadata?.name, service]),
  );
  return parts.map(({ service, slices }) => ({ service: here.get(service.metadata?.name), slices }));
}

/** What holds a Service that is being deleted. */
export function heldBy(service: V1Service | undefined): string {
  const { namespace, name, finalizers = [] } = service?.metadata ?? {};
  const held = finalizers.length === 0 ? '' : `, held by ${shortList(finalizers)}`;
  return `Service ${namespace}/${name} is being deleted${held}`;
}

/** What of an export the import policy left out of its mirror. */
export function importNotes(
  facts: Pick<MirrorFacts, 'imports' | 'remoteSlices'> & {
    readonly link: Pick<LinkFacts, 'rules' | 'flatEndpoints'>;
    readonly flat: boolean;
  },
  remote: V1Service,
): ImportNote[] {
  const notes: ImportNote[] = [];
  const keys = steeringKeys(remote, facts.link.rules);
  if (keys.length > 0)
    notes.push({
      reason: 'ImportMetadataLeftOut',
      text: `not copied, it steers this cluster's own machinery: ${shortList(keys)}`,
    });
  if (!facts.imports.metadataAllowed)
    notes.push({
      reason: 'ImportQuotaExceeded',
      text: `labels and annotations are not copied: the quota metadata-bytes of the Link is used up`,
    });
  const addresses = facts.flat && facts.link.flatEndpoints ? refusedAddresses(facts) : [];
  if (addresses.length > 0)
    notes.push({ reason: 'ImportAddressRefused', text: `addresses not used: ${shortList(addresses, 4)}` });
  return notes;
}

/** Addresses of pods that are not used, each with why. */
function refusedAddresses({
  imports,
  remoteSlices,
}: Pick<MirrorFacts, 'imports' | 'remoteSlices'>): string[] {
  const found = new Set<string>();
  for (const address of podAddresses(remoteSlices)) {
    const why = imports.podRefusal(address);
    if (why !== undefined) found.add(`${address} (${why})`);
  }
  return [...found].sort();
}

/** Addresses that the target names as pods'. */
function podAddresses(slices: MirrorFacts['remoteSlices']): string[] {
  return slices
    .filter(({ addressType }) => addressType !== 'FQDN')
    .flatMap(({ endpoints = [] }) => endpoints.flatMap(({ addresses }) => addresses ?? []));
}

/** Whether the target names addresses of pods, and none of them can be used. */
export function allRefused(facts: Pick<MirrorFacts, 'imports' | 'remoteSlices'>): boolean {
  const named = podAddresses(facts.remoteSlices);
  return named.length > 0 && named.every((address) => facts.imports.podRefusal(address) !== undefined);
}

function endpointsReason(facts: MirrorFacts): MirrorReason {
  if (facts.flat) {
    if (!facts.link.flatEndpoints) return 'Mirrored';
    if (facts.remoteReady === 0) return 'NoReadyEndpoints';
    return allRefused(facts) ? 'ImportAddressRefused' : 'Mirrored';
  }
  if (facts.remoteReady === 0) return 'NoReadyEndpoints';
  return pathReason(facts) ?? 'Mirrored';
}

/** Why nothing can be sent towards the gateway; undefined when it can. */
export function pathReason({
  gateway,
  egress,
  link,
}: Pick<MirrorFacts, 'gateway' | 'egress' | 'link'>): MirrorReason | undefined {
  if (gateway === undefined) return 'NoGateway';
  if (gateway.path === 'refused') return gateway.refusal?.reason ?? 'ImportAddressRefused';
  if (gateway.path === 'dead') return 'GatewayDead';
  if (gateway.path === 'unresolved') return 'GatewayUnresolved';
  return link.dataPath === 'relay' && egress.length === 0 ? 'NoEgress' : undefined;
}

/** In which of its ways a Service is mirrored; for people. */
export function modeOf(facts: MirrorFacts): string {
  const { flat, link } = facts;
  if (flat) return link.flatEndpoints ? 'flat-endpoints' : 'flat';
  return formOf(facts) === 'headless' ? `${link.dataPath}, headless` : link.dataPath;
}

import type { V1Service } from '@kubernetes/client-node';
import { isHeadless } from '../discovery/endpoint-slices.ts';
import { overBudgetOf } from '../discovery/service-size.ts';
import { desiredParts, relayedNames, type DesiredPart } from './desired.ts';
import type { MirrorFacts } from './facts.ts';
import { mirrorsHeadless } from './headless.ts';
import { MAX_SERVICE_NAME, mirrorName, originOf } from './naming.ts';
import { mirroredPorts, portsLeftOut } from './ports.ts';
import type { MirrorReason } from './reasons.ts';

/**
 * What should be done about one mirror, and why.
 * - `keep`: touch nothing (not enough is known, or the name is somebody else's);
 * - `remove`: what we own of it should go;
 * - `namespace`: its namespace should be made first;
 * - `mirror`: it should be exactly `parts`.
 */
export type Verdict = { readonly reason: MirrorReason; readonly message: string } & (
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
  // Slices that are gone altogether, of many Services at once, are a sign of lost data rather than of dead pods.
  ({ emptiedGraceMs }) => (emptiedGraceMs > 0 ? verdict('keep', 'Mirrored') : undefined),
  ({ removalsHeld, remoteReady }) =>
    removalsHeld && remoteReady === 0 ? verdict('keep', 'DropHeld') : undefined,
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

function missingNamespace({ namespace, link, key }: MirrorFacts): Verdict | undefined {
  if (namespace === 'present') return undefined;
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
  const reason = endpointsReason(facts);
  const leftOut = portsLeftOut(remote);
  return {
    action: 'mirror',
    reason,
    message: leftOut.length === 0 ? '' : `ports left out, only TCP is mirrored: ${leftOut.join(', ')}`,
    parts: desiredParts(facts, remote, reason === 'Mirrored'),
  };
}

function endpointsReason(facts: MirrorFacts): MirrorReason {
  if (facts.flat)
    return facts.link.flatEndpoints && facts.remoteReady === 0 ? 'NoReadyEndpoints' : 'Mirrored';
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
  if (gateway.path === 'dead') return 'GatewayDead';
  if (gateway.path === 'unresolved') return 'GatewayUnresolved';
  return link.dataPath === 'relay' && egress.length === 0 ? 'NoEgress' : undefined;
}

/** In which of its ways a Service is mirrored; for people. */
export function modeOf(facts: MirrorFacts): string {
  const { flat, link, remote, remoteSlices } = facts;
  if (flat) return link.flatEndpoints ? 'flat-endpoints' : 'flat';
  const headless = link.headless && remote !== undefined && isHeadless(remote);
  return headless && mirrorsHeadless(remote, remoteSlices) ? `${link.dataPath}, headless` : link.dataPath;
}

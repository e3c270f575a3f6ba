import type { V1Endpoints, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { DATA_PATH, EGRESS_PORTS } from '../base/names.ts';
import { writeEgressPorts } from './egress-ports.ts';
import { desiredEndpoints, desiredSlices, type EndpointsWanted } from './endpoints.ts';
import type { MirrorFacts } from './facts.ts';
import { mirrorMetadata } from './metadata.ts';
import { fullyQualifiedName, MAX_SERVICE_NAME, mirrorName, originOf } from './naming.ts';
import { mirroredPorts, servicePorts, type MirroredPort } from './ports.ts';
import type { MirrorReason } from './reasons.ts';

/** The objects that a mirror consists of. */
export interface DesiredMirror {
  readonly service: V1Service;
  readonly slices: readonly V1EndpointSlice[];
  readonly endpoints: V1Endpoints | undefined;
}

/**
 * What should be done about one mirror, and why.
 * - `keep`: touch nothing (not enough is known, or the name is somebody else's);
 * - `remove`: what we own of it should go;
 * - `mirror`: it should be exactly `desired`.
 */
export type Verdict =
  | { readonly action: 'keep'; readonly reason: MirrorReason }
  | { readonly action: 'remove'; readonly reason: MirrorReason }
  | { readonly action: 'mirror'; readonly reason: MirrorReason; readonly desired: DesiredMirror };

const keep = (reason: MirrorReason): Verdict => ({ action: 'keep', reason });
const remove = (reason: MirrorReason): Verdict => ({ action: 'remove', reason });

type Check = (facts: MirrorFacts) => Verdict | undefined;

/** Tried in order; the first that answers decides. */
const checks: readonly Check[] = [
  // Not ours: whatever is exported, an object of somebody else is left alone.
  (facts) =>
    isForeign(facts) ? keep(facts.remote === undefined ? 'NotExported' : 'NameConflict') : undefined,
  // Never act on ignorance: absence means nothing before the first complete list.
  (facts) => (facts.remote === undefined && !facts.synced ? keep('NotSynced') : undefined),
  (facts) => (facts.remote === undefined ? removal(facts, 'NotExported') : undefined),
  (facts) => (facts.namespaceExists ? undefined : keep('MissingNamespace')),
  // A Service that stopped being mirrorable gives up the mirror that it had.
  (facts) => (isMirrorable(facts.remote) ? undefined : removal(facts, 'InvalidService')),
  (facts) => (nameOf(facts).length > MAX_SERVICE_NAME ? keep('NameTooLong') : undefined),
  (facts) => (facts.link.gateway === undefined ? removal(facts, 'NoGateway') : undefined),
];

/** Decides about one mirror. Pure: no I/O, no clock. */
export function decide(facts: MirrorFacts): Verdict {
  for (const check of checks) {
    const verdict = check(facts);
    if (verdict !== undefined) return verdict;
  }
  return mirror(facts);
}

function removal(facts: MirrorFacts, reason: MirrorReason): Verdict {
  return facts.removalsHeld && facts.local !== undefined ? keep('DropHeld') : remove(reason);
}

function nameOf(facts: MirrorFacts): string {
  return mirrorName(facts.key.name, facts.link.cluster);
}

function isForeign({ local, link, key }: MirrorFacts): boolean {
  return local !== undefined && originOf(local, link.cluster) !== `${key.namespace}/${key.name}`;
}

function isMirrorable(remote: V1Service | undefined): boolean {
  return remote?.spec?.type !== 'ExternalName' && remote !== undefined && mirroredPorts(remote).length > 0;
}

function mirror(facts: MirrorFacts): Verdict {
  const { remote, link } = facts;
  if (remote === undefined || link.gateway === undefined) return keep('NotExported');
  const ports = mirroredPorts(remote);
  const relay = link.dataPath === 'relay';
  if (relay && facts.egressPorts === undefined) return keep('EgressPortsExhausted');
  const reason = endpointsReason(facts);
  const wanted = wantedEndpoints(facts, ports, reason === 'Mirrored');
  const desired = {
    service: desiredService(facts, remote, ports),
    slices: desiredSlices(wanted),
    endpoints: link.writeEndpoints && !relay ? desiredEndpoints(wanted) : undefined,
  };
  return { action: 'mirror', reason, desired };
}

function endpointsReason(facts: MirrorFacts): MirrorReason {
  if (facts.remoteReady === 0) return 'NoReadyEndpoints';
  if (facts.addresses.length > 0) return 'Mirrored';
  return facts.link.dataPath === 'relay' ? 'NoEgress' : 'GatewayUnresolved';
}

function wantedEndpoints(
  facts: MirrorFacts,
  ports: readonly MirroredPort[],
  populated: boolean,
): EndpointsWanted {
  const { key, link } = facts;
  const relay = link.dataPath === 'relay';
  return {
    namespace: key.namespace,
    mirror: nameOf(facts),
    cluster: link.cluster,
    fqName: fullyQualifiedName(key, link.clusterDomain),
    gatewayIdentity: relay ? undefined : link.gateway?.identity,
    addresses: populated ? facts.addresses : [],
    ports,
    portOf: (port) => (relay ? facts.egressPorts?.[port.port] : link.gateway?.port) ?? 0,
  };
}

function desiredService(facts: MirrorFacts, remote: V1Service, ports: readonly MirroredPort[]): V1Service {
  const { key, link } = facts;
  const fqName = fullyQualifiedName(key, link.clusterDomain);
  const metadata = mirrorMetadata(remote, { cluster: link.cluster, fqName }, link.rules);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: nameOf(facts),
      namespace: key.namespace,
      labels: metadata.labels,
      annotations: {
        ...metadata.annotations,
        [DATA_PATH]: link.dataPath,
        ...(link.dataPath === 'relay' ? { [EGRESS_PORTS]: writeEgressPorts(facts.egressPorts ?? {}) } : {}),
      },
    },
    spec: { type: 'ClusterIP', ports: servicePorts(ports) },
  };
}

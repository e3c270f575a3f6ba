import type { V1Endpoints, V1EndpointSlice, V1Service, V1ServiceSpec } from '@kubernetes/client-node';
import { originAnnotations, pathAnnotations } from '../../api/mirror/mirror-annotations.ts';
import { mirrorLabels } from '../../api/mirror/mirror-labels.ts';
import type { RecordedGateway } from '../../api/egress/egress-record.ts';
import { withFacts } from '../../api/mirror/slice-facts.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import {
  desiredEndpoints,
  desiredSlices,
  podSlices,
  readyAddresses,
  type EndpointsWanted,
  type MirrorAddress,
} from '../objects/mirrored-endpoints.ts';
import { shownAddresses } from '../objects/shown-addresses.ts';
import type { GatewayFacts, HostFacts, LocalPart, MirrorFacts } from '../reconcile/mirror-facts.ts';
import { formOf, hostAddresses, podPort } from './headless.ts';
import { bareRules, copiedTapAnnotations, mirrorMetadata } from '../../api/mirror/mirror-metadata.ts';
import { fullyQualifiedName, mirrorName } from '../../api/mirror/mirror-names.ts';
import { mirroredPorts, servicePorts, type MirroredPort } from '../objects/mirrored-ports.ts';
import type { MirrorReason } from '../../api/reasons/mirror-reasons.ts';

/** A Service that should be there, with its endpoints. */
export interface DesiredPart {
  readonly service: V1Service;
  readonly slices: readonly V1EndpointSlice[];
  readonly endpoints: V1Endpoints | undefined;
}

/** What the objects of one mirror are made from. */
interface Draft {
  readonly facts: MirrorFacts;
  readonly remote: V1Service;
  readonly ports: readonly MirroredPort[];
  /** As `endpointsReason`. */
  readonly path: MirrorReason;
}

/** The objects of one mirror: the mirror Service first, then the endpoint mirrors of a headless one. */
export function desiredParts(facts: MirrorFacts, remote: V1Service, path: MirrorReason): DesiredPart[] {
  const draft: Draft = { facts, remote, ports: mirroredPorts(remote), path };
  if (facts.flat) return [flatPart(draft)];
  if (formOf(facts) === 'headless') {
    return [headlessPart(draft), ...facts.hosts.map((host) => hostPart(draft, host))];
  }
  const part = gatewayPart(draft);
  return [{ ...part, slices: withFacts(part.slices, facts.factsText) }];
}

/** Names of the Services here whose traffic passes through the egress, so that each needs egress ports. */
export function relayedNames(facts: Omit<MirrorFacts, 'imports'>): string[] {
  return [...relayedTargets(facts).keys()];
}

/** The same, each with its DNS name in the target cluster. */
export function relayedTargets(facts: Omit<MirrorFacts, 'imports'>): Map<string, string> {
  const { remote, link, flat, key } = facts;
  if (remote === undefined || flat || link.dataPath !== 'relay') return new Map();
  const fqName = fullyQualifiedName(key, link.clusterDomain);
  if (formOf(facts) === 'headless')
    return new Map(facts.hosts.map(({ name, host }) => [name, `${host}.${fqName}`]));
  return new Map([[mirrorName(key.name, link.cluster), fqName]]);
}

function gatewayPart(draft: Draft): DesiredPart {
  const { facts, remote, ports, path } = draft;
  const name = mirrorName(facts.key.name, facts.link.cluster);
  const fqName = fullyQualifiedName(facts.key, facts.link.clusterDomain);
  const wanted = throughGateway(facts, { name, fqName, ports, path, local: facts.local });
  return {
    service: mirrorService(facts, remote, {
      spec: { ports: servicePorts(ports) },
      annotations: annotationsOfPath(facts, name),
    }),
    ...withEndpoints(facts, wanted),
  };
}

/**
 * A flat mirror. Linkerd's destination controller finds the remote pods by two labels; slices are for
 * clusters without it. Session affinity and traffic distribution are copied, because kube-proxy or the
 * client's proxy chooses among the pods themselves.
 */
function flatPart({ facts, remote, ports, path }: Draft): DesiredPart {
  const { link, key } = facts;
  const name = mirrorName(key.name, link.cluster);
  const { sessionAffinity, sessionAffinityConfig } = remote.spec ?? {};
  const trafficDistribution = distributionOf(remote);
  const owner = {
    namespace: key.namespace,
    service: name,
    prefix: name,
    cluster: link.cluster,
    fqName: fullyQualifiedName(key, link.clusterDomain),
    gatewayIdentity: undefined,
    notReady: path === 'Mirrored' ? undefined : path,
  };
  return {
    service: mirrorService(facts, remote, {
      labels: mirrorLabels({ cluster: link.cluster, flat: { cluster: link.cluster, service: key.name } }),
      spec: {
        ports: servicePorts(ports),
        ...(isHeadless(remote) && (link.headless || link.flatEndpoints) ? { clusterIP: 'None' } : {}),
        ...(sessionAffinity === undefined ? {} : { sessionAffinity }),
        ...(sessionAffinityConfig === undefined ? {} : { sessionAffinityConfig }),
        ...(trafficDistribution === undefined ? {} : { trafficDistribution }),
      },
    }),
    slices: link.flatEndpoints
      ? podSlices(owner, facts.remoteSlices, {
          zoneHints: trafficDistribution !== undefined,
          refusal: facts.imports.podRefusal,
        })
      : [],
    endpoints: undefined,
  };
}

/**
 * The `trafficDistribution` of a flat mirror: `PreferClose` for every value that asks for near pods, because
 * newer targets have values that older source clusters refuse (KEP-3015: `PreferSameZone` means the same; a
 * remote pod is never on its client's node). Unknown values are left out.
 */
function distributionOf({ spec }: V1Service): string | undefined {
  const near = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
  return near.includes(spec?.trafficDistribution ?? '') ? 'PreferClose' : undefined;
}

/**
 * A headless mirror: DNS answers with the ClusterIPs of its endpoint mirrors, under the host names of the
 * pods.
 */
function headlessPart({ facts, remote, ports, path }: Draft): DesiredPart {
  const name = mirrorName(facts.key.name, facts.link.cluster);
  const wanted: EndpointsWanted = {
    namespace: facts.key.namespace,
    service: name,
    prefix: name,
    cluster: facts.link.cluster,
    fqName: fullyQualifiedName(facts.key, facts.link.clusterDomain),
    // The addresses are Services of this cluster, which have no identity of their own.
    gatewayIdentity: undefined,
    ...shownAddresses(path, hostAddresses(facts.hosts)),
    ports,
    portOf: (port) => podPort(facts.remoteSlices, port),
  };
  return {
    service: mirrorService(facts, remote, {
      spec: { ports: servicePorts(ports), clusterIP: 'None' },
      annotations: pathAnnotations({ dataPath: facts.link.dataPath }),
    }),
    ...withEndpoints(facts, wanted),
  };
}

function hostPart({ facts, remote, ports, path }: Draft, host: HostFacts): DesiredPart {
  const { key, link } = facts;
  const headless = mirrorName(key.name, link.cluster);
  const fqName = `${host.host}.${fullyQualifiedName(key, link.clusterDomain)}`;
  const wanted = throughGateway(facts, {
    name: host.name,
    fqName,
    ports,
    path: host.ready ? path : 'NoReadyEndpoints',
    local: host.local,
  });
  const labels = mirrorLabels({ cluster: link.cluster, headless });
  return {
    service: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: host.name,
        namespace: key.namespace,
        labels,
        annotations: {
          ...copiedTapAnnotations(remote),
          ...originAnnotations(remote, { fqName, link: link.link }),
          ...annotationsOfPath(facts, host.name),
        },
      },
      spec: { type: 'ClusterIP', ports: servicePorts(ports) },
    },
    ...withEndpoints(facts, { ...wanted, labels }),
  };
}

interface PartDraft {
  readonly name: string;
  readonly fqName: string;
  readonly ports: readonly MirroredPort[];
  readonly path: MirrorReason;
  readonly local: LocalPart;
}

/** Endpoints that lead to the gateway: its addresses, or the egress pods, which relay to it. */
function throughGateway(facts: MirrorFacts, part: PartDraft): EndpointsWanted {
  const { link, gateway, egress } = facts;
  const relay = link.dataPath === 'relay';
  const alive = gatewayAddresses(gateway, part.local);
  const dead = (gateway?.known ?? []).filter((ip) => !alive.includes(ip)).sort();
  const egressPorts = facts.egressPorts.get(part.name);
  return {
    namespace: facts.key.namespace,
    service: part.name,
    prefix: part.name,
    cluster: link.cluster,
    fqName: part.fqName,
    gatewayIdentity: relay ? undefined : gateway?.identity,
    ...(relay
      ? shownAddresses(part.path, egress)
      : shownAddresses(part.path, alive.map(toAddress), dead.map(toAddress))),
    ports: part.ports,
    portOf: (port) => (relay ? egressPorts?.[port.port] : gateway?.port) ?? 0,
  };
}

const toAddress = (ip: string): MirrorAddress => ({ ip });

/**
 * The gateway's addresses that are alive, and those of unknown state that the mirror uses already, so that a
 * restart of the controller removes none.
 */
export function gatewayAddresses(gateway: GatewayFacts | undefined, local: LocalPart): string[] {
  if (gateway === undefined) return [];
  const inUse = new Set(readyAddresses(local.slices));
  return [...gateway.alive, ...gateway.unknown.filter((ip) => inUse.has(ip))].sort();
}

function annotationsOfPath(
  { link, gateway, egressPorts }: MirrorFacts,
  name: string,
): Record<string, string> {
  const { dataPath } = link;
  if (dataPath !== 'relay') return pathAnnotations({ dataPath });
  return pathAnnotations({
    dataPath,
    egressPorts: egressPorts.get(name) ?? {},
    gateway: gateway?.own === true ? gatewayInstead(gateway) : undefined,
  });
}

/**
 * The gateway that the egress should use instead of the Link's. Dead addresses are included: the egress finds
 * that out by itself, and the mirror need not be written each time.
 */
function gatewayInstead({ known, port, identity }: GatewayFacts): RecordedGateway {
  return { addresses: [...known].sort(), port, identity };
}

function mirrorService(
  facts: MirrorFacts,
  remote: V1Service,
  own: { labels?: Record<string, string>; annotations?: Record<string, string>; spec: V1ServiceSpec },
): V1Service {
  const { key, link } = facts;
  const fqName = fullyQualifiedName(key, link.clusterDomain);
  const rules = facts.imports.metadataAllowed ? link.rules : bareRules();
  const metadata = mirrorMetadata(remote, { cluster: link.cluster, link: link.link, fqName }, rules);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: mirrorName(key.name, link.cluster),
      namespace: key.namespace,
      labels: { ...metadata.labels, ...own.labels },
      annotations: { ...metadata.annotations, ...own.annotations },
    },
    spec: { type: 'ClusterIP', ...own.spec },
  };
}

function withEndpoints(
  facts: MirrorFacts,
  wanted: EndpointsWanted,
): Pick<DesiredPart, 'slices' | 'endpoints'> {
  const linkerdReads = facts.link.writeEndpoints && facts.link.dataPath !== 'relay';
  return { slices: desiredSlices(wanted), endpoints: linkerdReads ? desiredEndpoints(wanted) : undefined };
}

import type { V1Endpoint, V1Endpoints, V1EndpointSlice } from '@kubernetes/client-node';
import { endpointAnnotations, type EndpointsSaid } from '../../api/mirror/mirror-annotations.ts';
import { createHash } from 'node:crypto';
import { MANAGER } from '../../api/names.ts';
import { isDnsLabel } from '../../base/text.ts';
import { SERVICE_NAME_LABEL } from '../../exports/endpoint-slices.ts';
import { MANAGED_BY_LABEL } from '../../exports/slice-makers.ts';
import { ownershipLabels } from '../../api/mirror/mirror-metadata.ts';
import type { MirroredPort } from './mirrored-ports.ts';

/**
 * Label on Endpoints that keeps kube's EndpointSliceMirroring controller from making a second slice of them.
 */
export const SKIP_MIRROR_LABEL = 'endpointslice.kubernetes.io/skip-mirror';
/** Longest name of an EndpointSlice (an RFC 1123 subdomain). */
const MAX_SLICE_NAME = 253;

/**
 * One address to which a mirror's traffic is sent: the gateway's, an egress pod's, or the ClusterIP of an
 * endpoint mirror.
 */
export interface MirrorAddress {
  readonly ip: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly hostname?: string;
}

/**
 * Whose endpoints they are. `fqName` is undefined for slices that Linkerd does not resolve, `gatewayIdentity`
 * where they are not a gateway's addresses.
 */
export interface EndpointsOwner extends EndpointsSaid {
  readonly namespace: string;
  /** The Service in the source cluster. */
  readonly service: string;
  /**
   * What the names of the slices begin with: the Service's name, unless several clusters write slices for it.
   */
  readonly prefix: string;
  /** The cluster in their labels: the target, or a federated member's. */
  readonly cluster: string;
  /** Further labels. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** What the endpoints of one Service should be. */
export interface EndpointsWanted extends EndpointsOwner {
  readonly addresses: readonly MirrorAddress[];
  /**
   * Addresses that must not be used now: they are shown as not ready, for people, and because Linkerd does
   * so.
   */
  readonly withdrawn: readonly MirrorAddress[];
  readonly ports: readonly MirroredPort[];
  /** Port on the addresses for a service port: the gateway's own, or the egress port. */
  portOf(port: MirroredPort): number;
}

type Family = 'IPv4' | 'IPv6';

/** The name of our slice of an address family. */
export function sliceName(prefix: string, family: Family): string {
  return `${prefix}-linkspan-${family.toLowerCase()}`;
}

/**
 * The EndpointSlices of a mirror: one for each address family of which there are addresses; without any, an
 * empty one for IPv4, which says that there are known to be none. The owner reference is set when they are
 * written, because it needs the mirror's UID.
 */
export function desiredSlices(wanted: EndpointsWanted): V1EndpointSlice[] {
  const all = [...wanted.addresses.map(endpoint), ...wanted.withdrawn.map(withdrawnEndpoint)];
  const v6 = all.filter(({ addresses: [ip = ''] }) => ip.includes(':'));
  const v4 = all.filter(({ addresses: [ip = ''] }) => !ip.includes(':'));
  const slices = v4.length > 0 || v6.length === 0 ? [slice(wanted, 'IPv4', v4)] : [];
  return v6.length > 0 ? [...slices, slice(wanted, 'IPv6', v6)] : slices;
}

function slice(wanted: EndpointsWanted, family: Family, endpoints: V1Endpoint[]): V1EndpointSlice {
  return {
    ...sliceHead(wanted, sliceName(wanted.prefix, family), family),
    endpoints,
    ports: wanted.ports.map((port) => ({
      name: port.name,
      port: wanted.portOf(port),
      protocol: 'TCP',
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    })),
  };
}

function sliceHead(owner: EndpointsOwner, name: string, addressType: string) {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name,
      namespace: owner.namespace,
      labels: {
        ...ownershipLabels(owner.cluster),
        ...owner.labels,
        [SERVICE_NAME_LABEL]: owner.service,
        [MANAGED_BY_LABEL]: MANAGER,
      },
      annotations: endpointAnnotations(owner),
    },
    addressType,
  };
}

function endpoint(address: MirrorAddress): V1Endpoint {
  return {
    addresses: [address.ip],
    conditions: { ready: true },
    ...(address.hostname === undefined ? {} : { hostname: address.hostname }),
    ...(address.nodeName === undefined ? {} : { nodeName: address.nodeName }),
    ...(address.zone === undefined ? {} : { zone: address.zone }),
  };
}

/**
 * An endpoint that is not used: not ready, and neither serving nor terminating. kube-proxy falls back to
 * endpoints that serve while they terminate when none is ready, and an absent `serving` counts as `ready`
 * does (KEP-1672).
 */
function withdrawnEndpoint(address: MirrorAddress): V1Endpoint {
  return { ...endpoint(address), conditions: { ready: false, serving: false, terminating: false } };
}

/**
 * Slices with the addresses of the pods themselves, for networks in which pods reach each other directly: one
 * for each slice of the remote Service, so that a change of one is one write here. Only TCP ports; slices of
 * other types than IPv4 and IPv6, which kube-proxy ignores too, are left out.
 * @param options `zoneHints`: sets the hint that keeps traffic in the endpoint's zone, for a Service with
 * `trafficDistribution`
 */
export function podSlices(
  owner: EndpointsOwner,
  remote: readonly V1EndpointSlice[],
  options: {
    readonly zoneHints: boolean;
    /** Why an address cannot be used; an endpoint that has such an address is left out. */
    readonly refusal: (address: string) => string | undefined;
  },
): V1EndpointSlice[] {
  return remote
    .filter(({ addressType }) => addressType === 'IPv4' || addressType === 'IPv6')
    .map((source) => ({
      ...sliceHead(owner, podSliceName(owner.prefix, source.metadata?.name ?? ''), source.addressType),
      endpoints: (source.endpoints ?? [])
        .filter(
          ({ addresses }) => !(addresses ?? []).some((address) => options.refusal(address) !== undefined),
        )
        .map((from) => podEndpoint(from, options.zoneHints)),
      ports: (source.ports ?? [])
        .filter((port) => (port.protocol ?? 'TCP') === 'TCP')
        .map((port) => ({
          name: port.name ?? '',
          ...(port.port === undefined ? {} : { port: port.port }),
          protocol: 'TCP',
          ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
        })),
    }));
}

/**
 * The name of a copied slice: prefix and the remote slice's name, which is hashed where both are too long.
 */
function podSliceName(prefix: string, source: string): string {
  const name = `${prefix}-linkspan-${source}`;
  if (name.length <= MAX_SLICE_NAME) return name;
  return `${prefix}-linkspan-${createHash('sha256').update(source).digest('hex').slice(0, 16)}`;
}

function podEndpoint(from: V1Endpoint, zoneHints: boolean): V1Endpoint {
  const { addresses, conditions, hostname, zone } = from;
  return {
    addresses,
    conditions: { ...conditions, ready: conditions?.ready ?? true },
    ...(isDnsLabel(hostname ?? '') ? { hostname } : {}),
    ...(zone === undefined ? {} : { zone }),
    ...(zoneHints && zone !== undefined ? { hints: { forZones: [{ name: zone }] } } : {}),
  };
}

/**
 * The Endpoints object of a mirror, for Linkerd control planes that still read Endpoints and for
 * `linkerd multicluster check`. Its label keeps kube from making a second slice of it (ADR 0006).
 */
export function desiredEndpoints(wanted: EndpointsWanted): V1Endpoints {
  const ports = wanted.ports.map((port) => ({ name: port.name, port: wanted.portOf(port) }));
  const subsets = endpointSubsets(wanted, ports);
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: wanted.service,
      namespace: wanted.namespace,
      labels: { ...ownershipLabels(wanted.cluster), ...wanted.labels, [SKIP_MIRROR_LABEL]: 'true' },
      annotations: endpointAnnotations(wanted),
    },
    ...(subsets === undefined ? {} : { subsets }),
  };
}

/** The subsets of Endpoints: a single one; undefined: there is no address. */
export function endpointSubsets(
  { addresses, withdrawn }: Pick<EndpointsWanted, 'addresses' | 'withdrawn'>,
  ports: readonly { readonly name?: string | undefined; readonly port?: number | undefined }[],
): NonNullable<V1Endpoints['subsets']> | undefined {
  if (addresses.length + withdrawn.length === 0) return undefined;
  return [
    {
      ...(addresses.length === 0 ? {} : { addresses: addresses.map(endpointAddress) }),
      ...(withdrawn.length === 0 ? {} : { notReadyAddresses: withdrawn.map(endpointAddress) }),
      ports: ports.map(({ name = '', port = 0 }) => ({
        ...(name === '' ? {} : { name }),
        port,
        protocol: 'TCP',
      })),
    },
  ];
}

function endpointAddress({ ip, hostname }: MirrorAddress) {
  return hostname === undefined ? { ip } : { ip, hostname };
}

/** The addresses of ready endpoints. */
export function readyAddresses(slices: readonly V1EndpointSlice[]): string[] {
  return slices
    .flatMap((slice) => slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses }) => addresses);
}

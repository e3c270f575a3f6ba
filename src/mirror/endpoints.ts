import type { V1Endpoint, V1Endpoints, V1EndpointSlice } from '@kubernetes/client-node';
import { MANAGER, REMOTE_GATEWAY_IDENTITY, REMOTE_SERVICE_FQ_NAME } from '../base/names.ts';
import { ownershipLabels } from './metadata.ts';
import type { MirroredPort } from './ports.ts';

/** Label of an EndpointSlice: the Service it belongs to. */
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
/** Label of an EndpointSlice: who keeps it. */
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
/** Label on Endpoints that keeps kube's EndpointSliceMirroring controller from making a second slice of them. */
export const SKIP_MIRROR_LABEL = 'endpointslice.kubernetes.io/skip-mirror';

/** One address that a mirror's traffic is sent to: a gateway address, or an egress pod. */
export interface MirrorAddress {
  readonly ip: string;
  readonly nodeName?: string;
  readonly zone?: string;
}

/** What the endpoints of one mirror should be. */
export interface EndpointsWanted {
  readonly namespace: string;
  readonly mirror: string;
  readonly cluster: string;
  readonly fqName: string;
  /** Identity that a meshed client must demand; undefined in relay mode, where the egress demands it. */
  readonly gatewayIdentity: string | undefined;
  readonly addresses: readonly MirrorAddress[];
  readonly ports: readonly MirroredPort[];
  /** Port on the addresses for a service port: the gateway's own, or the egress port. */
  portOf(port: MirroredPort): number;
}

type Family = 'IPv4' | 'IPv6';

/** Name of our slice of a mirror for an address family. */
export function sliceName(mirror: string, family: Family): string {
  return `${mirror}-linkspan-${family.toLowerCase()}`;
}

/**
 * The EndpointSlices of a mirror: one for IPv4 always (empty when there is no address, which says "known to have none"), one for IPv6 when there are
 * such addresses. The owner reference is set when the slice is written, because it needs the mirror's UID.
 */
export function desiredSlices(wanted: EndpointsWanted): V1EndpointSlice[] {
  const v6 = wanted.addresses.filter((address) => familyOf(address) === 'IPv6');
  const v4 = wanted.addresses.filter((address) => familyOf(address) === 'IPv4');
  const slices = v4.length > 0 || v6.length === 0 ? [slice(wanted, 'IPv4', v4)] : [];
  return v6.length > 0 ? [...slices, slice(wanted, 'IPv6', v6)] : slices;
}

function slice(
  wanted: EndpointsWanted,
  family: Family,
  addresses: readonly MirrorAddress[],
): V1EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: sliceName(wanted.mirror, family),
      namespace: wanted.namespace,
      labels: {
        ...ownershipLabels(wanted.cluster),
        [SERVICE_NAME_LABEL]: wanted.mirror,
        [MANAGED_BY_LABEL]: MANAGER,
      },
      annotations: endpointAnnotations(wanted),
    },
    addressType: family,
    endpoints: addresses.map(endpoint),
    ports: wanted.ports.map((port) => ({
      name: port.name,
      port: wanted.portOf(port),
      protocol: 'TCP',
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    })),
  };
}

function endpoint(address: MirrorAddress): V1Endpoint {
  return {
    addresses: [address.ip],
    conditions: { ready: true },
    ...(address.nodeName === undefined ? {} : { nodeName: address.nodeName }),
    ...(address.zone === undefined ? {} : { zone: address.zone }),
  };
}

/**
 * The Endpoints object of a mirror, for Linkerd control planes that still read Endpoints and for `linkerd multicluster check`. It is labelled so
 * that kube does not mirror it into a second slice (docs/adr: EndpointSlices first).
 */
export function desiredEndpoints(wanted: EndpointsWanted): V1Endpoints {
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: wanted.mirror,
      namespace: wanted.namespace,
      labels: { ...ownershipLabels(wanted.cluster), [SKIP_MIRROR_LABEL]: 'true' },
      annotations: endpointAnnotations(wanted),
    },
    ...(wanted.addresses.length === 0 ? {} : { subsets: [subset(wanted)] }),
  };
}

function subset(wanted: EndpointsWanted): NonNullable<V1Endpoints['subsets']>[number] {
  return {
    addresses: wanted.addresses.map((address) => ({ ip: address.ip })),
    ports: wanted.ports.map((port) => ({
      ...(port.name === '' ? {} : { name: port.name }),
      port: wanted.portOf(port),
      protocol: 'TCP',
    })),
  };
}

function endpointAnnotations(wanted: EndpointsWanted): Record<string, string> {
  return {
    [REMOTE_SERVICE_FQ_NAME]: wanted.fqName,
    ...(wanted.gatewayIdentity === undefined ? {} : { [REMOTE_GATEWAY_IDENTITY]: wanted.gatewayIdentity }),
  };
}

function familyOf(address: MirrorAddress): Family {
  return address.ip.includes(':') ? 'IPv6' : 'IPv4';
}

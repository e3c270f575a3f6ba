import type { V1Endpoint, V1EndpointSlice, V1Service, V1ServicePort } from '@kubernetes/client-node';
import type { MeshEndpoint, TargetEndpoint } from './target-endpoint.ts';
import { type HintedEndpoint, preferredByZone } from './zone-hints.ts';

/** How many endpoints of a Service can take traffic, and how many its slices list. */
export interface ServiceEndpoints {
  readonly ready: number;
  readonly known: number;
}

/** The address family whose slices are used. */
export type Family = 'IPv4' | 'IPv6';

/** What decides how endpoints are reached, beside the slices. */
export interface EndpointView {
  /** Zone of the endpoints' clients, the gateway's: `topology.kubernetes.io/zone`. */
  readonly zone?: string | undefined;
  /** The mesh proxy of the pod at an address, for one of its ports; undefined = reached without TLS. */
  readonly meshEndpoint?: (address: string, port: number) => MeshEndpoint | undefined;
  /** Default `usedFamily`. */
  readonly family?: Family | undefined;
}

/** Label on a slice: the Service it belongs to. */
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

/**
 * Whether kube's endpointslice controller keeps this Service's slices (by `spec.selector`, headless or not);
 * otherwise somebody makes them by hand. The API server turns an empty selector into none.
 */
export function hasPodSelector(service: V1Service): boolean {
  return Object.keys(service.spec?.selector ?? {}).length > 0;
}

/** Whether a Service is a DNS alias (ExternalName): it has no endpoints that a gateway could send to. */
export function isExternalName(service: V1Service): boolean {
  return service.spec?.type === 'ExternalName';
}

/**
 * Whether a Service is headless: DNS gives its pods' addresses, and each pod with a host name has a DNS name
 * of its own.
 */
export function isHeadless(service: V1Service | undefined): boolean {
  return service?.spec?.clusterIP === 'None';
}

/**
 * The slices split by host name, each with that host's endpoints only, sorted by name. Endpoints without a
 * host name are left out.
 */
export function slicesByHost(slices: readonly V1EndpointSlice[]): Map<string, V1EndpointSlice[]> {
  const hosts = new Map<string, V1EndpointSlice[]>();
  for (const slice of slices) {
    // Null where a hand-made slice has none (KEP-752), despite its type.
    for (const [host, endpoints] of Map.groupBy(slice.endpoints ?? [], ({ hostname }) => hostname ?? '')) {
      if (host === '') continue;
      const own = hosts.get(host) ?? [];
      own.push({ ...slice, endpoints });
      hosts.set(host, own);
    }
  }
  return new Map([...hosts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Counts a Service's endpoints, each address once however many ports it has. */
export function countEndpoints(service: V1Service, slices: readonly V1EndpointSlice[]): ServiceEndpoints {
  const own = familySlices(service, slices);
  return count(own, usability(own));
}

/**
 * How many endpoints of a Service are ready and not about to go. Where none is, those that still serve while
 * they terminate take traffic for a moment, but nobody should be led to them who could go elsewhere: what is
 * in hand when they end is lost.
 */
export function countLasting(service: V1Service, slices: readonly V1EndpointSlice[]): number {
  return count(familySlices(service, slices), isReady).ready;
}

function count(
  slices: readonly V1EndpointSlice[],
  usable: (endpoint: V1Endpoint) => boolean,
): ServiceEndpoints {
  const addresses = new Map<string, boolean>();
  for (const slice of slices) {
    for (const endpoint of slice.endpoints ?? []) {
      const address = endpoint.addresses[0];
      if (address === undefined) continue;
      addresses.set(address, (addresses.get(address) ?? false) || usable(endpoint));
    }
  }
  let ready = 0;
  for (const one of addresses.values()) if (one) ready++;
  return { ready, known: addresses.size };
}

/**
 * The endpoints of one port of a Service, sorted by address. An endpoint that is in two slices for a moment
 * is listed once.
 */
export function portEndpoints(
  service: V1Service,
  port: V1ServicePort,
  slices: readonly V1EndpointSlice[],
  view: EndpointView = {},
): TargetEndpoint[] {
  const found = new Map<string, Hinted>();
  const own = familySlices(service, slices, view.family);
  const usable = usability(own);
  for (const slice of own) {
    const number = portNumber(slice, port);
    if (number === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const one = toEndpoint(endpoint, number, usable(endpoint), view);
      if (one === undefined) continue;
      const key = `${one.host} ${one.port}`;
      if (found.get(key)?.ready !== true)
        found.set(key, { one, ready: one.ready, forZones: zonesOf(endpoint) });
    }
  }
  const sorted = [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, hinted]) => hinted);
  const preferred = preferredByZone(sorted, view.zone);
  return sorted.map(({ one }, index) => (preferred[index] === true ? { ...one, preferred: true } : one));
}

interface Hinted extends HintedEndpoint {
  readonly one: TargetEndpoint;
}

function zonesOf({ hints }: V1Endpoint): string[] {
  return (hints?.forZones ?? []).map(({ name }) => name);
}

function toEndpoint(
  endpoint: V1Endpoint,
  port: number,
  ready: boolean,
  view: EndpointView,
): TargetEndpoint | undefined {
  // The addresses of one endpoint are interchangeable and kube-proxy too takes the first (KEP-752).
  const host = endpoint.addresses[0];
  if (host === undefined) return undefined;
  const { zone } = endpoint;
  const mesh = view.meshEndpoint?.(host, port);
  return {
    host,
    port,
    ready,
    ...(endpoint.conditions?.terminating === true ? { leaving: true as const } : {}),
    ...(zone === undefined || zone === null ? {} : { zone }),
    ...(mesh === undefined ? {} : { mesh }),
  };
}

/** The Service's first IP family, which is the one of its cluster IP. */
export function firstFamily(service: V1Service): Family {
  return service.spec?.ipFamilies?.[0] === 'IPv6' ? 'IPv6' : 'IPv4';
}

/**
 * The Service's first IP family, or the other one where only that has endpoints. Only one is used, because a
 * dual-stack pod is in the slices of both.
 */
export function usedFamily(service: V1Service, slices: readonly V1EndpointSlice[]): Family {
  const first = firstFamily(service);
  const second = first === 'IPv6' ? 'IPv4' : 'IPv6';
  const peopled = (family: Family) =>
    slices.some((slice) => slice.addressType === family && (slice.endpoints ?? []).length > 0);
  return !peopled(first) && peopled(second) ? second : first;
}

/** Slices of one family. Those of type FQDN are left out, as kube-proxy does. */
function familySlices(
  service: V1Service,
  slices: readonly V1EndpointSlice[],
  family = usedFamily(service, slices),
): readonly V1EndpointSlice[] {
  return slices.filter((slice) => slice.addressType === family);
}

/**
 * Which endpoints may get traffic: the ready ones (`ready` is true or unknown), and where there is none,
 * those that still serve while they terminate (KEP-1669), so that requests do not fail while a rollout
 * replaces all pods.
 */
function usability(slices: readonly V1EndpointSlice[]): (endpoint: V1Endpoint) => boolean {
  const anyReady = slices.some((slice) => (slice.endpoints ?? []).some(isReady));
  if (anyReady) return isReady;
  return ({ conditions }) => conditions?.terminating === true && conditions.serving !== false;
}

function isReady({ conditions }: V1Endpoint): boolean {
  return conditions?.ready !== false;
}

/**
 * The port number behind a Service port: slices carry the Service port's *name* and the number that
 * `targetPort` came to, which may differ from slice to slice. A slice port without a number means every port.
 */
function portNumber(slice: V1EndpointSlice, port: V1ServicePort): number | undefined {
  const match = (slice.ports ?? []).find(
    (candidate) => (candidate.name ?? '') === (port.name ?? '') && (candidate.protocol ?? 'TCP') === 'TCP',
  );
  if (match === undefined) return undefined;
  return match.port ?? (typeof port.targetPort === 'number' ? port.targetPort : port.port);
}

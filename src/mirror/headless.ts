import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { isHeadless } from '../discovery/endpoint-slices.ts';
import type { MirroredPort } from './ports.ts';

/** Host names in a headless Service's slices, sorted, and whether a pod of that name is ready. */
export function hostsOf(slices: readonly V1EndpointSlice[]): Map<string, boolean> {
  const found = new Map<string, boolean>();
  for (const { hostname, conditions } of slices.flatMap((slice) => slice.endpoints ?? [])) {
    if (hostname === undefined || hostname === null || hostname === '') continue;
    found.set(hostname, found.get(hostname) === true || conditions?.ready !== false);
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Whether the mirror of a headless Service is headless too: when its pods have host names (a StatefulSet's). One whose pods have none is mirrored as an
 * ordinary ClusterIP Service, as Linkerd does; while there are no endpoints at all, headless is what it most likely will be.
 */
export function mirrorsHeadless(remote: V1Service, slices: readonly V1EndpointSlice[]): boolean {
  if (!isHeadless(remote)) return false;
  return hostsOf(slices).size > 0 || slices.every((slice) => (slice.endpoints ?? []).length === 0);
}

/** The port on which the pods answer a service port: what the slices say, else the target port. Clients of a headless Service dial pods. */
export function podPort(slices: readonly V1EndpointSlice[], port: MirroredPort): number {
  for (const slice of slices) {
    const match = (slice.ports ?? []).find(
      (candidate) => (candidate.name ?? '') === port.name && (candidate.protocol ?? 'TCP') === 'TCP',
    );
    if (match?.port !== undefined) return match.port;
  }
  return typeof port.targetPort === 'number' ? port.targetPort : port.port;
}

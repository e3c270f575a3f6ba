import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { isHeadless } from '../../exports/endpoint-slices.ts';

/** A Service as it is here, and the slices that it has or should have. */
export interface ServiceWithSlices {
  readonly service: V1Service | undefined;
  readonly slices: readonly V1EndpointSlice[];
}

/**
 * Why kube-proxy sends nothing to a Service that has endpoints: its ClusterIP is of one address family, and
 * no ready endpoint is (an IPv6-only source and a gateway with an IPv4 address, or the other way round).
 * Clients with a Linkerd proxy dial the endpoints themselves, and whether these can be reached is found out
 * by the gateway's probes.
 * @returns a sentence for people; undefined: there is no such gap, or the API server has not chosen a family
 * yet, the Service has no ClusterIP, or no endpoint is ready
 */
export function familyGap(parts: readonly ServiceWithSlices[]): string | undefined {
  for (const { service, slices } of parts) {
    const families = service?.spec?.ipFamilies ?? [];
    if (families.length === 0 || isHeadless(service)) continue;
    const ready = new Set(slices.filter(hasReady).map(({ addressType }) => addressType));
    if (ready.size === 0 || families.some((family) => ready.has(family))) continue;
    const name = service?.metadata?.name ?? '';
    return `the ClusterIP of ${name} is ${families.join(' and ')}, its endpoints are ${[...ready].join(' and ')}: kube-proxy sends nothing there`;
  }
  return undefined;
}

function hasReady({ endpoints }: V1EndpointSlice): boolean {
  return (endpoints ?? []).some(({ conditions }) => conditions?.ready !== false);
}

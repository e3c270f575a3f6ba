import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { isHeadless } from '../../exports/endpoint-slices.ts';

/** A Service as it is here, and the slices that it has or shall have. */
export interface ServiceWithSlices {
  readonly service: V1Service | undefined;
  readonly slices: readonly V1EndpointSlice[];
}

/**
 * What keeps kube-proxy from sending anything to a Service that has endpoints: it has a ClusterIP of one
 * address family, and no ready endpoint of that one (an IPv6-only source and a gateway with an IPv4 address,
 * or the other way round). Clients with a Linkerd proxy dial the endpoints themselves; whether these can be
 * reached, the probes of the gateway say.
 * @returns a sentence; undefined where there is nothing to say: the API server has not chosen a family yet,
 * the Service has no ClusterIP, no endpoint is ready, or one is of its family
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

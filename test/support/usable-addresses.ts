import type { V1EndpointSlice } from '@kubernetes/client-node';

/**
 * Addresses of slices that somebody might send to, by the most generous reading there is: kube-proxy's, which
 * falls back to endpoints that end and still serve when none is ready, and takes what is not said for a yes
 * (KEP-1669, KEP-1672).
 */
export function usableAddresses(slices: readonly V1EndpointSlice[]): string[] {
  const all = slices.flatMap(({ endpoints = [] }) => endpoints);
  return all
    .filter(({ conditions }) => conditions?.ready !== false || conditions.serving !== false)
    .flatMap(({ addresses }) => addresses);
}

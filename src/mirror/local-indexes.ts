import type { V1EndpointSlice, V1Namespace, V1Service } from '@kubernetes/client-node';
import { CLUSTER_NAME_LABEL } from '../base/names.ts';
import type { MirrorAddress } from './endpoints.ts';

/** Index of mirrors by target cluster. */
export const CLUSTER_INDEX = CLUSTER_NAME_LABEL;

/** The index function for mirrors. */
export function clusterOf(service: V1Service): string[] {
  const cluster = service.metadata?.labels?.[CLUSTER_NAME_LABEL];
  return cluster === undefined ? [] : [cluster];
}

/** All that is used of a Namespace: that it exists and is not being deleted. */
export function keepNamespaceName({ metadata }: V1Namespace): V1Namespace {
  const { name, uid, resourceVersion, deletionTimestamp } = metadata ?? {};
  return {
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
  };
}

/** The ready egress pods in the slices of the egress Service, in a stable order. */
export function egressPods(slices: readonly V1EndpointSlice[]): MirrorAddress[] {
  const found = new Map<string, MirrorAddress>();
  for (const { addresses, conditions, nodeName, zone } of slices.flatMap((slice) => slice.endpoints ?? [])) {
    const ip = addresses[0];
    if (ip === undefined || conditions?.ready === false) continue;
    found.set(ip, {
      ip,
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(zone === undefined ? {} : { zone }),
    });
  }
  return [...found.values()].sort((a, b) => (a.ip < b.ip ? -1 : 1));
}

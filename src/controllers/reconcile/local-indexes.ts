import type { V1EndpointSlice, V1Lease, V1Namespace, V1Service } from '@kubernetes/client-node';
import { isFederated, memberClusters } from '../../api/mirror/federated-members.ts';
import { linkOf } from '../../api/mirror/mirror-annotations.ts';
import { clusterLabel, clusterOf, headlessMirrorNameOf } from '../../api/mirror/mirror-labels.ts';
import type { StoreChange } from '../../kube/informer/store.ts';
import { SERVICE_NAME_LABEL } from '../../exports/endpoint-slices.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';
import { isMirrorLease } from '../../api/lease-names.ts';

/** Index of what mirroring made: by `cluster:<target cluster>` and by `link:<namespace>/<name>`. */
export const OWNER_INDEX = 'owner';
/** Index of endpoint mirrors by `namespace/headless mirror`. */
export const HEADLESS_INDEX = 'headless';
/** Index of federated Services by the cluster of each remote member, and `LOCAL_MEMBER`. */
export const MEMBER_INDEX = 'member';
/** Index of slices by `namespace/service`. */
export const BY_SERVICE = 'service';

/** The indexes of the store of local Services. */
export const serviceIndexes = {
  [OWNER_INDEX]: ownersOf,
  [HEADLESS_INDEX]: headlessMirrorOf,
  [MEMBER_INDEX]: (service: V1Service) => (isFederated(service) ? memberClusters(service) : []),
};

function ownersOf(service: V1Service): string[] {
  const cluster = clusterOf(service);
  const link = linkOf(service);
  return [
    ...(cluster === undefined ? [] : [`cluster:${cluster}`]),
    ...(link === undefined ? [] : [`link:${link}`]),
  ];
}

/** The headless mirror that an endpoint mirror belongs to. */
export function headlessMirrorOf(service: V1Service): string[] {
  const headless = headlessMirrorNameOf(service);
  return headless === undefined ? [] : [`${service.metadata?.namespace ?? ''}/${headless}`];
}

/** The Service that a slice belongs to. */
export function sliceService(slice: V1EndpointSlice): string[] {
  const service = slice.metadata?.labels?.[SERVICE_NAME_LABEL];
  return service === undefined ? [] : [`${slice.metadata?.namespace ?? ''}/${service}`];
}

/** The Services whose slices have changed: a slice that got another label was one's and is another's. */
export function servicesOfChange({
  object,
  previous,
}: Pick<StoreChange<V1EndpointSlice>, 'object' | 'previous'>): Set<string> {
  return new Set([...(previous === undefined ? [] : sliceService(previous)), ...sliceService(object)]);
}

/**
 * All that is used of a Namespace: that it exists and is not being deleted, and for which cluster it was
 * made.
 */
export function keepNamespaceName(namespace: V1Namespace): V1Namespace {
  const { name, uid, resourceVersion, deletionTimestamp } = namespace.metadata ?? {};
  const cluster = clusterOf(namespace);
  return {
    metadata: {
      ...(cluster === undefined ? {} : { labels: clusterLabel(cluster) }),
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

/** Leases of Links and of local members; nobody else's are of interest. */
export function keepMirrorLease(lease: V1Lease): V1Lease | undefined {
  return isMirrorLease(lease.metadata?.name ?? '') ? lease : undefined;
}

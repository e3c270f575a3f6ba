import type { V1Lease, V1Namespace, V1Service } from '@kubernetes/client-node';
import { identityOf } from '../../api/kubernetes/resource.ts';
import { isFederated, memberClusters } from '../../api/mirror/federated-members.ts';
import { linkOf } from '../../api/mirror/mirror-annotations.ts';
import { clusterLabel, clusterOf, headlessMirrorNameOf } from '../../api/mirror/mirror-labels.ts';
import { isMirrorLease } from '../../api/lease-names.ts';

/** Index of Services that mirroring made, by `cluster:<target cluster>` and by `link:<namespace>/<name>`. */
export const OWNER_INDEX = 'owner';
/** Index of endpoint mirrors by the `namespace/name` of their headless mirror. */
export const HEADLESS_INDEX = 'headless';
/** Index of federated Services by the cluster of each remote member, and `LOCAL_MEMBER`. */
export const MEMBER_INDEX = 'member';

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

/**
 * `namespace/name` of the headless mirror to which an endpoint mirror belongs; empty for any other Service.
 */
export function headlessMirrorOf(service: V1Service): string[] {
  const headless = headlessMirrorNameOf(service);
  return headless === undefined ? [] : [`${service.metadata?.namespace ?? ''}/${headless}`];
}

/**
 * A Namespace with nothing but what is used of it: that it exists, whether it is being deleted, and for which
 * cluster it was made.
 */
export function keepNamespaceName(namespace: V1Namespace): V1Namespace {
  const deletionTimestamp = namespace.metadata?.deletionTimestamp;
  const cluster = clusterOf(namespace);
  return {
    metadata: {
      ...(cluster === undefined ? {} : { labels: clusterLabel(cluster) }),
      ...identityOf(namespace),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
  };
}

/** Keeps the Leases of Links and of the local members, and leaves out all others. */
export function keepMirrorLease(lease: V1Lease): V1Lease | undefined {
  return isMirrorLease(lease.metadata?.name ?? '') ? lease : undefined;
}

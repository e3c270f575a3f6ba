/**
 * Names of the Leases under which one replica alone writes (docs/reference/mirrors.md). They are Linkerd's
 * own, so that its service mirror and ours never write for the same Link at the same time.
 */

const LINK_LEASE = 'service-mirror-write-';

/** The Lease of those who mirror local members of federated Services. */
export const LOCAL_LEASE_NAME = 'local-service-mirror-write';

/** The Lease of the one who writes weights of failover into TrafficSplits and routes. */
export const WEIGHTS_LEASE_NAME = 'linkspan-failover';

/** The Lease of the one who gives users' Services their egress ports and endpoints. */
export const APEXES_LEASE_NAME = 'linkspan-apexes';

/** The Lease of a Link, in the Link's namespace. @param link its name */
export function linkLeaseName(link: string): string {
  return LINK_LEASE + link;
}

/** Whether a Lease is one of these, by its name. */
export function isMirrorLease(name: string): boolean {
  return (
    name.startsWith('service-mirror-write') ||
    name.startsWith(LOCAL_LEASE_NAME) ||
    name === WEIGHTS_LEASE_NAME ||
    name === APEXES_LEASE_NAME
  );
}

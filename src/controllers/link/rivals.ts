import { createdAt } from '../../api/kubernetes/resource.ts';
import type { IndexedStore, StoreChange } from '../../kube/informer/store.ts';
import { gatewayOfLink } from './gateway-of-link.ts';
import { isOlder, parseLink, type Link, type LinkObject } from '../../api/link/link-schema.ts';

/**
 * A text by which clusters sort by the age of the oldest Link that names each, the oldest first, and Links of
 * one age by name; undefined: no Link names the cluster.
 */
export function ageOf(links: IndexedStore<LinkObject>, cluster: string): string | undefined {
  let oldest: string | undefined;
  for (const object of links.list()) {
    if (clusterOf(object) !== cluster) continue;
    const at = createdAt(object);
    // A Link without a creation time comes after all others, as everywhere.
    const age = `${Number.isFinite(at) ? new Date(at).toISOString() : '~'} ${object.metadata?.name ?? ''}`;
    if (oldest === undefined || age < oldest) oldest = age;
  }
  return oldest;
}

/**
 * The name of another Link for the same target cluster that comes before this one, because two must not write
 * the same mirrors. The older one comes first, but valid Links before invalid ones.
 */
export function olderRival(links: IndexedStore<LinkObject>, object: LinkObject): string | undefined {
  const own = candidate(object);
  if (own === undefined) return undefined;
  for (const other of links.list()) {
    const rival = candidate(other);
    if (rival === undefined || rival.link.name === own.link.name) continue;
    if (rival.link.targetClusterName === own.link.targetClusterName && comesFirst(rival, own))
      return rival.link.name;
  }
  return undefined;
}

interface Candidate {
  readonly link: Link;
  /** Whether the whole Link is valid; otherwise `link` is `gatewayOfLink`. */
  readonly valid: boolean;
}

function candidate(object: LinkObject): Candidate | undefined {
  const whole = parseLink(object);
  if (whole.ok) return { link: whole.link, valid: true };
  const link = gatewayOfLink(object);
  return link === undefined ? undefined : { link, valid: false };
}

function comesFirst(a: Candidate, b: Candidate): boolean {
  return a.valid === b.valid ? isOlder(a.link, b.link) : a.valid;
}

/**
 * The keys of the Links whose rivals may be others after a change of one Link: that Link, and all that name
 * its cluster, or the one that it named before.
 */
export function sharingCluster(
  links: IndexedStore<LinkObject>,
  { key, object, previous }: StoreChange<LinkObject>,
): string[] {
  const clusters = new Set([object, previous].map(clusterOf));
  clusters.delete('');
  const sharing = [...links.keys()].filter((other) => clusters.has(clusterOf(links.get(other))));
  return [...new Set([key, ...sharing])];
}

/** The cluster that a Link names; a Link from under an older CRD may hold anything there. */
function clusterOf(link: LinkObject | undefined): string {
  const name: unknown = link?.spec?.targetClusterName;
  return typeof name === 'string' ? name.trim() : '';
}

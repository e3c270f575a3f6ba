import { createdAt } from '../../api/kubernetes/resource.ts';
import type { IndexedStore, StoreChange } from '../../kube/informer/store.ts';
import { gatewayOfLink } from './gateway-of-link.ts';
import { isOlder, parseLink, type Link, type LinkObject } from '../../api/link/link-schema.ts';

/** Sorts clusters by the age of the oldest Link that names each; undefined where none does. */
export function ageOf(links: IndexedStore<LinkObject>, cluster: string): string | undefined {
  let oldest: string | undefined;
  for (const object of links.list()) {
    if (clusterOf(object) !== cluster) continue;
    const at = createdAt(object);
    // What does not say its age comes after all that do, as wherever Links are compared.
    const age = `${Number.isFinite(at) ? new Date(at).toISOString() : '~'} ${object.metadata?.name ?? ''}`;
    if (oldest === undefined || age < oldest) oldest = age;
  }
  return oldest;
}

/**
 * Another Link that names the same target cluster and comes first: two must not write the same mirrors. The
 * older one does; one that is not right itself comes after all that are.
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
  /** Whether the Link is right, or only what it says of its gateway. */
  readonly right: boolean;
}

function candidate(object: LinkObject): Candidate | undefined {
  const whole = parseLink(object);
  if (whole.ok) return { link: whole.link, right: true };
  const link = gatewayOfLink(object);
  return link === undefined ? undefined : { link, right: false };
}

function comesFirst(a: Candidate, b: Candidate): boolean {
  return a.right === b.right ? isOlder(a.link, b.link) : a.right;
}

/**
 * Keys of the Links for which a change of one of them may decide who comes first: itself, and all that name
 * its cluster, or the one that it named.
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

/** Links that an older CRD let through may hold anything. */
function clusterOf(link: LinkObject | undefined): string {
  const name: unknown = link?.spec?.targetClusterName;
  return typeof name === 'string' ? name.trim() : '';
}

import type { IndexedStore } from '../kube/store.ts';
import { isOlder, parseLink, type LinkObject } from './schema.ts';

/** Sorts clusters by the age of the oldest Link that names each; undefined where none does. */
export function ageOf(links: IndexedStore<LinkObject>, cluster: string): string | undefined {
  let oldest: string | undefined;
  for (const object of links.list()) {
    const { metadata, spec } = object;
    if (spec?.targetClusterName?.trim() !== cluster) continue;
    const created = metadata?.creationTimestamp;
    const age = `${created === undefined ? '' : new Date(created).toISOString()} ${metadata?.name ?? ''}`;
    if (oldest === undefined || age < oldest) oldest = age;
  }
  return oldest;
}

/** The older Link that names the same target cluster, if there is one: two must not write the same mirrors. */
export function olderRival(links: IndexedStore<LinkObject>, object: LinkObject): string | undefined {
  const own = parseLink(object);
  if (!own.ok) return undefined;
  for (const other of links.list()) {
    const rival = parseLink(other);
    if (!rival.ok || rival.link.name === own.link.name) continue;
    if (rival.link.targetClusterName === own.link.targetClusterName && isOlder(rival.link, own.link))
      return rival.link.name;
  }
  return undefined;
}

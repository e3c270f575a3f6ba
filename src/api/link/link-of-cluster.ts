import { byAge } from '../kubernetes/resource.ts';
import type { LinkObject } from './link-schema.ts';

/** The Link of a cluster: of several the oldest, by which its Services are mirrored. */
export function linkOfCluster(links: readonly LinkObject[], cluster: string): LinkObject | undefined {
  return links.filter(({ spec }) => spec?.targetClusterName === cluster).toSorted(byAge)[0];
}

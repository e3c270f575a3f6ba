import type { KubeObject } from '../../api/kubernetes/resource.ts';

/**
 * The newest version of one object among copies from several watches, by resourceVersion: a decimal number
 * that grows with every write in the cluster (KEP-5504), compared without turning it into a JavaScript
 * number. The first of equals; undefined when there is none.
 */
export function newest<T extends KubeObject>(copies: readonly (T | undefined)[]): T | undefined {
  let best: T | undefined;
  for (const copy of copies) {
    if (copy === undefined) continue;
    if (best === undefined || compareVersions(versionOf(copy), versionOf(best)) > 0) best = copy;
  }
  return best;
}

function versionOf(object: KubeObject): string {
  return object.metadata?.resourceVersion ?? '';
}

/**
 * Orders resourceVersions, which are decimal numbers without leading zeros for every served kind (KEP-5504):
 * so the longer one is the larger, and no precision is lost. An empty one comes before all others.
 * @returns below 0, 0 or above 0, as for `sort`
 */
export function compareVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : Number(a > b);
}

import type { KubeObject } from '../kube/resource.ts';

/**
 * The newest version of one object among copies from several watches, by resourceVersion: a decimal number that grows with every
 * write in the cluster (KEP-5504), compared without turning it into a JavaScript number. The first of equals; undefined when there is none.
 */
export function newest<T extends KubeObject>(copies: readonly (T | undefined)[]): T | undefined {
  let best: T | undefined;
  for (const copy of copies) {
    if (copy === undefined) continue;
    if (best === undefined || isNewer(versionOf(copy), versionOf(best))) best = copy;
  }
  return best;
}

function versionOf(object: KubeObject): string {
  return object.metadata?.resourceVersion ?? '';
}

function isNewer(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length;
}

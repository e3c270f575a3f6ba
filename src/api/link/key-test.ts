/**
 * Test for lists of label and annotation keys (`Link.spec.excludedLabels`, `excludedAnnotations`, allow lists): each entry is a key, or `<group>/*` for every key of exactly that group. (Linkerd takes
 * the group as a bare prefix, so that `evil.io/*` also drops `evil.iot/b`.)
 */
export function keyTest(entries: readonly string[]): (key: string) => boolean {
  const groups = new Set(entries.filter((entry) => entry.endsWith('/*')).map((entry) => entry.slice(0, -2)));
  const keys = new Set(entries.filter((entry) => !entry.endsWith('/*')));
  return (key) => keys.has(key) || (groups.has(key.split('/', 1)[0] ?? '') && key.includes('/'));
}

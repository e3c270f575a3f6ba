import type { Context } from './clusters.ts';

/** Kinds that come and go by themselves in any cluster. */
const TRANSIENT = new Set([
  'events',
  'events.events.k8s.io',
  'leases.coordination.k8s.io',
  'componentstatuses',
  // Kubernetes itself deletes those that were answered after an hour.
  'certificatesigningrequests.certificates.k8s.io',
  // The same objects as others, or no objects at all.
  'endpoints',
  'nodes.metrics.k8s.io',
  'pods.metrics.k8s.io',
]);

/**
 * Every object of every kind in a cluster, as `namespace kind/name`, but for what comes and goes by itself.
 */
export async function inventory(context: Context): Promise<Set<string>> {
  const kinds = (await context.kubectl('api-resources', '--verbs=list', '-o', 'name'))
    .split('\n')
    .filter((kind) => kind !== '' && !TRANSIENT.has(kind));
  const format = `{range .items[*]}{.metadata.namespace}{" "}{.kind}{"/"}{.metadata.name}{"\\n"}{end}`;
  const text = await context.kubectl(
    'get',
    kinds.join(','),
    '--all-namespaces',
    '--ignore-not-found',
    '-o',
    `jsonpath=${format}`,
  );
  return new Set(
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== ''),
  );
}

/** What is in the second and not in the first. */
export function added(before: ReadonlySet<string>, after: ReadonlySet<string>): string[] {
  return [...after].filter((object) => !before.has(object)).sort((a, b) => a.localeCompare(b));
}

import { parseAllDocuments } from 'yaml';
import {
  isOfExtension,
  MULTICLUSTER_DOMAINS,
  MULTICLUSTER_KEYS,
  PART_OF,
  PART_OF_LABEL,
} from '../api/names.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { keyOf, type KubeObject, type ObjectRef, type Resource } from '../api/kubernetes/resource.ts';

/**
 * The objects in a text of YAML or JSON documents; Lists are taken apart, empty documents left out.
 * @param source name for messages
 * @throws LinkspanError MANIFEST_INVALID
 */
export function parseManifests(text: string, source: string): KubeObject[] {
  const documents = parseAllDocuments(text);
  const found: KubeObject[] = [];
  for (const [index, document] of (Array.isArray(documents) ? documents : []).entries()) {
    const where = `${source}: document ${index + 1}`;
    const problem = document.errors[0];
    if (problem !== undefined)
      throw new LinkspanError('MANIFEST_INVALID', `${where}: ${problem.message.split('\n')[0] ?? ''}`);
    found.push(...objectsIn(document.toJS() as unknown, where));
  }
  return found;
}

function objectsIn(value: unknown, where: string): KubeObject[] {
  if (value === null || value === undefined) return [];
  const object = value as KubeObject & { items?: unknown };
  const { apiVersion, kind, metadata, items } = object;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string')
    throw new LinkspanError('MANIFEST_INVALID', `${where}: no apiVersion and kind: not a Kubernetes object`);
  if (kind.endsWith('List') && Array.isArray(items))
    return items.flatMap((item, index) => objectsIn(item, `${where}, item ${index + 1}`));
  if (typeof metadata?.name !== 'string' || metadata.name === '')
    throw new LinkspanError('MANIFEST_INVALID', `${where}: the ${kind} has no metadata.name`);
  return [object];
}

/** Kinds in the order of applying: those that others depend on come first. Any other kind comes last. */
const ORDER: readonly (readonly string[])[] = [
  ['Namespace'],
  ['CustomResourceDefinition'],
  ['ServiceAccount', 'PriorityClass'],
  ['ClusterRole', 'Role'],
  ['ClusterRoleBinding', 'RoleBinding'],
  ['ConfigMap', 'Secret'],
  ['Service', 'NetworkPolicy', 'PodDisruptionBudget'],
];

/** The objects in the order of applying (stable); reversed it is the order of deleting. */
export function inOrder<T extends KubeObject>(objects: readonly T[]): T[] {
  const rank = ({ kind = '' }: KubeObject) => {
    const found = ORDER.findIndex((kinds) => kinds.includes(kind));
    return found === -1 ? ORDER.length : found;
  };
  return objects.toSorted((a, b) => rank(a) - rank(b));
}

/** An object's name for people: `Deployment linkerd-multicluster/linkspan-egress`. */
export function titleOf(object: KubeObject): string {
  return `${object.kind ?? ''} ${keyOf(object)}`;
}

export function refOf({ metadata }: KubeObject): ObjectRef {
  const { name = '', namespace } = metadata ?? {};
  return namespace === undefined ? { name } : { name, namespace };
}

/** An object reduced to what `kubectl delete -f -` needs. */
export function stubOf(object: KubeObject): KubeObject {
  const { apiVersion = '', kind = '' } = object;
  return { apiVersion, kind, metadata: refOf(object) };
}

/** The same for an item of a list, which has no apiVersion and kind of its own. */
export function stubOfListed(resource: Resource<KubeObject>, ref: ObjectRef): KubeObject {
  const { group, version, kind } = resource;
  return { apiVersion: group === '' ? version : `${group}/${version}`, kind, metadata: { ...ref } };
}

/**
 * Whether an existing object belongs to Linkspan or to Linkerd's multicluster extension, so that it may be
 * changed: by its labels and annotations, its type or API group, or because `fieldManager` has written it
 * before.
 */
export function isMulticlusterObject(existing: KubeObject, fieldManager: string): boolean {
  const { labels = {}, annotations = {}, managedFields = [] } = existing.metadata ?? {};
  return (
    isOfExtension(existing) ||
    labels[PART_OF_LABEL] === PART_OF ||
    MULTICLUSTER_KEYS.some((key) => key in labels || key in annotations) ||
    domainsOf(existing).some((domain) =>
      MULTICLUSTER_DOMAINS.some((own) => domain === own || domain.endsWith(`.${own}`)),
    ) ||
    managedFields.some(({ manager }) => manager === fieldManager)
  );
}

/** The domains in its API group, its type (Secrets have one), and the group that a CRD defines. */
function domainsOf(object: KubeObject & { readonly type?: string }): string[] {
  const { apiVersion = '', kind, type = '', metadata } = object;
  const defined = kind === 'CustomResourceDefinition' ? (metadata?.name ?? '') : '';
  return [apiVersion, type].map((text) => text.split('/')[0] ?? '').concat(defined);
}

import type { V1ResourceAttributes } from '@kubernetes/client-node';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { inParallel } from '../base/in-parallel.ts';
import { MAX_CONNECTIONS } from '../kube/client/agents.ts';
import { isForbidden, isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { refOf } from './manifests.ts';
import type { KubeObject, Resource } from '../api/kubernetes/resource.ts';
import { deniedRights, rightText } from '../kube/client/access-review.ts';
import { resourcesOf } from '../kube/client/served-kinds.ts';

/** An object to be written or deleted, and its kind as the API server serves it. */
export interface AskedManifest {
  readonly object: KubeObject;
  /** Undefined while the CRD that brings the kind is not served. */
  resource: Resource<KubeObject> | undefined;
}

/** The same with the object that exists now. */
export interface Candidate extends AskedManifest {
  readonly existing: KubeObject | undefined;
  /** New Namespaces and CRDs of the same set that the object depends on. */
  readonly needs: readonly KubeObject[];
}

/** Shape of a CRD, as far as it matters here. */
interface Crd extends KubeObject {
  readonly spec?: { readonly group?: string; readonly names?: { readonly kind?: string } };
}

/**
 * Looks each object up: the resource of its kind, and the object that exists.
 * @throws LinkspanError KIND_NOT_SERVED with every kind that neither the API server nor a CRD of the set has;
 * KUBE_FORBIDDEN counts as "does not exist", because the rights are checked next
 */
export async function findCandidates(
  client: KubeClient,
  objects: readonly KubeObject[],
  signal?: AbortSignal,
): Promise<Candidate[]> {
  const versions = [...new Set(objects.map(({ apiVersion = '' }) => apiVersion))];
  const served = new Map(
    await Promise.all(
      versions.map(async (version) => [version, await resourcesOf(client, version, signal)] as const),
    ),
  );
  const found = await inParallel(objects, MAX_CONNECTIONS, async (object) => {
    const resource = served.get(object.apiVersion ?? '')?.get(object.kind ?? '');
    const existing = resource === undefined ? undefined : await readObject(client, resource, object, signal);
    return { object, resource, existing };
  });
  const missing = new Map(
    found.filter(({ existing }) => existing === undefined).map(({ object }) => [keyOfPart(object), object]),
  );
  const known = found.map((candidate) => ({
    ...candidate,
    needs: needsOf(candidate).flatMap((key) => missing.get(key) ?? []),
  }));
  assertServed(known);
  return known;
}

async function readObject(
  client: KubeClient,
  resource: Resource<KubeObject>,
  object: KubeObject,
  signal: AbortSignal | undefined,
): Promise<KubeObject | undefined> {
  try {
    const found = await client.get(resource, refOf(object), signal === undefined ? {} : { signal });
    return { ...found, apiVersion: object.apiVersion ?? '', kind: resource.kind };
  } catch (error) {
    if (isNotFound(error) || isForbidden(error)) return undefined;
    throw error;
  }
}

/** Key by which objects find the Namespace or CRD that they depend on. */
function keyOfPart(object: KubeObject): string {
  const { kind, metadata } = object;
  if (kind === 'Namespace') return `namespace ${metadata?.name ?? ''}`;
  if (kind !== 'CustomResourceDefinition') return '';
  const { group = '', names = {} } = (object as Crd).spec ?? {};
  return `kind ${group}/${names.kind ?? ''}`;
}

function needsOf({ object, resource }: AskedManifest): string[] {
  const { apiVersion = '', kind = '', metadata } = object;
  if (resource !== undefined)
    return resource.namespaced ? [`namespace ${metadata?.namespace ?? 'default'}`] : [];
  return [`kind ${apiVersion.split('/')[0] ?? ''}/${kind}`, `namespace ${metadata?.namespace ?? ''}`];
}

function assertServed(found: readonly Candidate[]): void {
  const unknown = found.filter(
    ({ resource, needs }) => resource === undefined && needs.every(({ kind }) => kind === 'Namespace'),
  );
  const kinds = [
    ...new Set(unknown.map(({ object }) => `${object.kind ?? ''} of ${object.apiVersion ?? ''}`)),
  ];
  if (kinds.length === 0) return;
  throw new LinkspanError('KIND_NOT_SERVED', `the cluster has no kind ${kinds.join(', ')}`);
}

/**
 * Asks whether the user may do `verbs` to all of them.
 * @throws LinkspanError RIGHTS_MISSING with everything that is missing
 */
export async function requireRights(
  client: KubeClient,
  found: readonly Candidate[],
  verbs: readonly string[],
): Promise<void> {
  const wanted = new Map<string, V1ResourceAttributes>();
  for (const { object, resource } of found) {
    if (resource === undefined) continue;
    const { group, plural, namespaced } = resource;
    const namespace = namespaced ? (object.metadata?.namespace ?? 'default') : undefined;
    for (const verb of verbs) {
      const right = { group, resource: plural, verb, ...(namespace === undefined ? {} : { namespace }) };
      wanted.set(JSON.stringify(right), right);
    }
  }
  const missing = await deniedRights(client, [...wanted.values()]);
  if (missing.length === 0) return;
  const texts = missing.map((right) =>
    right.namespace === undefined ? rightText(right) : `${rightText(right)} in ${right.namespace}`,
  );
  throw new LinkspanError('RIGHTS_MISSING', `you may not ${texts.join(', ')}`);
}

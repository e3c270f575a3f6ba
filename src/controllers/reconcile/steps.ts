import type {
  V1Endpoints,
  V1EndpointSlice,
  V1Namespace,
  V1ObjectMeta,
  V1Service,
} from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import { MANAGER } from '../../api/names.ts';
import { MANAGED_BY_LABEL, SELECTOR_SLICES } from '../../exports/slice-makers.ts';
import type { LocalPart } from './mirror-facts.ts';
import { madeByUs } from '../../api/mirror/ownership.ts';
import { hasOwnershipLabels } from '../../api/mirror/mirror-metadata.ts';

/** The kinds of object that mirroring writes. */
export type Kind = 'services' | 'endpointSlices' | 'endpoints' | 'namespaces';
/** An object of one of these kinds. */
export type MirrorObject = V1Service | V1EndpointSlice | V1Endpoints | V1Namespace;

/**
 * One write. Patches are JSON merge patches (RFC 7396); patches and deletions are bound to the object as it
 * was seen (`mirror-apply.ts`).
 */
export type Step =
  | { readonly verb: 'create'; readonly kind: Kind; readonly object: MirrorObject }
  | {
      readonly verb: 'patch';
      readonly kind: Kind;
      readonly target: MirrorObject;
      readonly patch: object;
      readonly subresource?: 'status';
    }
  | { readonly verb: 'delete'; readonly kind: Kind; readonly target: MirrorObject };

/** What writes do to the Service that they are about; undefined: only to what belongs to it. */
export function changeOf(steps: readonly Step[]): 'made' | 'changed' | 'removed' | undefined {
  const step = steps.find((one) => one.kind === 'services' && !('subresource' in one));
  return step === undefined ? undefined : CHANGES[step.verb];
}

const CHANGES = { create: 'made', patch: 'changed', delete: 'removed' } as const;

/** Deletes an object, unless it is being deleted already and only a finalizer holds it. */
export function deletion(kind: Kind, target: MirrorObject): Step[] {
  return isLeaving(target) ? [] : [{ verb: 'delete', kind, target }];
}

/** Whether an object is being deleted. */
export function isLeaving(object: MirrorObject | undefined): boolean {
  return object?.metadata?.deletionTimestamp !== undefined;
}

/**
 * Of the writes of a mirror whose Service is being deleted, those that still make sense: existing endpoints
 * follow. Objects that were made now would be deleted with the Service, or be left behind.
 */
export function besideLeaving(steps: readonly Step[]): Step[] {
  return steps.filter(({ verb, kind }) => verb !== 'create' && kind !== 'services');
}

/** A patch, unless there is nothing in it. */
export function patchStep(kind: Kind, target: MirrorObject, patch: object): Step[] {
  return Object.keys(patch).length === 0 ? [] : [{ verb: 'patch', kind, target, patch }];
}

/**
 * A merge patch that makes fields of an object as desired; a field that `desired` does not have becomes null.
 */
export function contentPatch<T extends MirrorObject>(
  actual: T,
  desired: T,
  fields: readonly (keyof T & string)[],
): object {
  const differing = fields.filter((field) => !saysTheSame(actual[field], desired[field]));
  return Object.fromEntries(differing.map((field) => [field, desired[field] ?? null]));
}

/**
 * Whether two values are the same once written as JSON: a field that is undefined is one that is not there,
 * and no value at all is an empty list. Pure.
 */
export function saysTheSame(actual: unknown, desired: unknown): boolean {
  // Mostly nothing differs, and a copy of both costs ten times as much as to find that.
  return isDeepStrictEqual(actual, desired) || isDeepStrictEqual(plain(actual), plain(desired));
}

function plain(value: unknown): unknown {
  const normalized: unknown = JSON.parse(JSON.stringify(value ?? []));
  return normalized;
}

/**
 * The slices of a part that are ours. Those that kube has made from Endpoints are not: kube removes them when
 * the Endpoints go or get the skip label.
 */
export function ownSlices(part: LocalPart): V1EndpointSlice[] {
  return part.slices.filter(
    (slice) => slice.metadata?.labels?.[MANAGED_BY_LABEL] === MANAGER || madeByUs(slice),
  );
}

/**
 * Deletes the slices that kube has made of local pods while somebody had given a mirror a selector. kube
 * leaves them when the selector is gone (k8s.io/endpointslice does not look at Services without one), and
 * clients would still be sent to those pods. While the selector is there, kube would only make them again.
 */
export function withoutStranded({ service, slices }: LocalPart): Step[] {
  if (service === undefined || Object.keys(service.spec?.selector ?? {}).length > 0) return [];
  return slices
    .filter(({ metadata }) => metadata?.labels?.[MANAGED_BY_LABEL] === SELECTOR_SLICES)
    .flatMap((slice) => deletion('endpointSlices', slice));
}

/**
 * Whether steps remove the selector of a Service: afterwards `withoutStranded` can delete the slices of it.
 */
export function takesSelector(steps: readonly Step[]): boolean {
  return steps.some(
    (step) =>
      step.verb === 'patch' &&
      step.kind === 'services' &&
      'selector' in ((step.patch as { spec?: object }).spec ?? {}),
  );
}

/**
 * Whether Endpoints are ours: their labels say so, or `managedFields` does where somebody has edited the
 * labels.
 */
export function isOurs(object: V1Endpoints, cluster: string): boolean {
  return hasOwnershipLabels(object, cluster) || madeByUs(object);
}

/** The owner reference by which kube deletes a mirror's slices when somebody deletes the mirror. */
export function ownerReference(mirror: V1Service): NonNullable<V1ObjectMeta['ownerReferences']>[number] {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    name: mirror.metadata?.name ?? '',
    uid: mirror.metadata?.uid ?? '',
  };
}

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
export type MirrorObject = V1Service | V1EndpointSlice | V1Endpoints | V1Namespace;

/**
 * One write. Patches are JSON merge patches (RFC 7396) and, like deletions, bound to the very object that was
 * seen.
 */
export type Step =
  | { readonly verb: 'create'; readonly kind: Kind; readonly object: MirrorObject }
  | { readonly verb: 'patch'; readonly kind: Kind; readonly target: MirrorObject; readonly patch: object }
  | { readonly verb: 'delete'; readonly kind: Kind; readonly target: MirrorObject };

/** Deletes an object, unless that was asked for before and a finalizer holds it: its end is an event. */
export function deletion(kind: Kind, target: MirrorObject): Step[] {
  return isLeaving(target) ? [] : [{ verb: 'delete', kind, target }];
}

/** Whether an object is being deleted. */
export function isLeaving(object: MirrorObject | undefined): boolean {
  return object?.metadata?.deletionTimestamp !== undefined;
}

/**
 * What may still be written beside a Service that is being deleted: endpoints that are there follow. What was
 * made now would go with it, or stay behind.
 */
export function besideLeaving(steps: readonly Step[]): Step[] {
  return steps.filter(({ verb, kind }) => verb !== 'create' && kind !== 'services');
}

/** A patch, unless there is nothing in it. */
export function patchStep(kind: Kind, target: MirrorObject, patch: object): Step[] {
  return Object.keys(patch).length === 0 ? [] : [{ verb: 'patch', kind, target, patch }];
}

/** The part of a merge patch that brings fields to what is desired; a field that is not comes as null. */
export function contentPatch<T extends MirrorObject>(
  actual: T,
  desired: T,
  fields: readonly (keyof T & string)[],
): object {
  const differing = fields.filter((field) => !isDeepStrictEqual(plain(actual[field]), plain(desired[field])));
  return Object.fromEntries(differing.map((field) => [field, desired[field] ?? null]));
}

/**
 * The API server fills in what is unset (`nodePort: null`, `conditions.serving`); compared is what we would
 * write.
 */
export function plain(value: unknown): unknown {
  const normalized: unknown = JSON.parse(JSON.stringify(value ?? []));
  return normalized;
}

/** Slices that kube made from Endpoints are kube's to remove, when the Endpoints go or get the skip label. */
export function ownSlices(part: LocalPart): V1EndpointSlice[] {
  return part.slices.filter(
    (slice) => slice.metadata?.labels?.[MANAGED_BY_LABEL] === MANAGER || madeByUs(slice),
  );
}

/**
 * Deletes the slices that kube made of pods here while a hand had given a mirror a selector: kube leaves them
 * when the selector is gone (k8s.io/endpointslice: without one a Service is not looked at), and clients would
 * go on being sent to these pods. While the selector is there kube would only make them anew.
 */
export function withoutStranded({ service, slices }: LocalPart): Step[] {
  if (service === undefined || Object.keys(service.spec?.selector ?? {}).length > 0) return [];
  return slices
    .filter(({ metadata }) => metadata?.labels?.[MANAGED_BY_LABEL] === SELECTOR_SLICES)
    .flatMap((slice) => deletion('endpointSlices', slice));
}

/** Whether a selector is taken from a Service: only afterwards can the slices go that kube has made by it. */
export function takesSelector(steps: readonly Step[]): boolean {
  return steps.some(
    (step) =>
      step.verb === 'patch' &&
      step.kind === 'services' &&
      'selector' in ((step.patch as { spec?: object }).spec ?? {}),
  );
}

/** Endpoints that say so, or that we made and somebody has edited. */
export function isOurs(object: V1Endpoints, cluster: string): boolean {
  return hasOwnershipLabels(object, cluster) || madeByUs(object);
}

/** The owner reference by which a mirror's slices go when the mirror is deleted by hand. */
export function ownerReference(mirror: V1Service): NonNullable<V1ObjectMeta['ownerReferences']>[number] {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    name: mirror.metadata?.name ?? '',
    uid: mirror.metadata?.uid ?? '',
  };
}

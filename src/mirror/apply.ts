import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { MANAGER } from '../base/names.ts';
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from '../kube/client.ts';
import {
  endpoints,
  endpointSlices,
  namespaces,
  services,
  type ObjectRef,
  type Resource,
} from '../kube/resource.ts';
import { MANAGED_BY_LABEL } from '../discovery/slice-makers.ts';
import { SERVICE_NAME_LABEL } from './endpoints.ts';
import type { LocalView } from './local-view.ts';
import { madeByUs } from './makers.ts';
import { ownerReference, type Kind, type MirrorObject, type Step } from './plan.ts';

const resources: Record<Kind, Resource<MirrorObject>> = {
  services: services as Resource<MirrorObject>,
  endpointSlices: endpointSlices as Resource<MirrorObject>,
  endpoints: endpoints as Resource<MirrorObject>,
  namespaces: namespaces as Resource<MirrorObject>,
};

/** `stale`: what is there is not what was planned for; it has been looked at again and the key should be decided anew. */
export type ApplyResult = 'done' | 'stale';

export interface Applier {
  readonly client: KubeClient;
  readonly view: LocalView;
  /** Aborted when the peer may no longer write (Lease lost, Link gone). */
  readonly signal: AbortSignal;
}

/**
 * Carries out a plan, one step after the other. Every patch and deletion is bound to the object that the plan was made for (resourceVersion,
 * UID), so a change by anybody else in between is noticed and never overwritten.
 * @throws KubeApiError when the API server refuses or cannot be reached; the caller tries again
 */
export async function apply(applier: Applier, steps: readonly Step[]): Promise<ApplyResult> {
  const created = new Map<string, V1Service>();
  for (const step of steps) {
    applier.signal.throwIfAborted();
    const written = await carryOut(applier, withOwner(step, created));
    if (written === 'stale') return 'stale';
    if (step.kind === 'services' && step.verb === 'create') {
      const service = written as V1Service;
      created.set(service.metadata?.name ?? '', service);
    }
  }
  return 'done';
}

/** A slice that is made together with its Service gets its owner reference here: the UID was not known to the plan. */
function withOwner(step: Step, created: ReadonlyMap<string, V1Service>): Step {
  if (step.verb !== 'create' || step.kind !== 'endpointSlices') return step;
  const slice = step.object as V1EndpointSlice;
  const mirror = created.get(slice.metadata?.labels?.[SERVICE_NAME_LABEL] ?? '');
  if (mirror === undefined) return step;
  const metadata = { ...slice.metadata, ownerReferences: [ownerReference(mirror)] };
  return { ...step, object: { ...slice, metadata } };
}

async function carryOut(applier: Applier, step: Step): Promise<MirrorObject | 'stale' | undefined> {
  try {
    const object = await write(applier, step);
    if (object !== undefined) applier.view.observe(step.kind, object);
    else if (step.verb === 'delete') applier.view.observeDeleted(step.kind, step.target);
    return object;
  } catch (error) {
    if (!isAlreadyExists(error) && !isConflict(error) && !isNotFound(error)) throw error;
    // The namespace itself may be what was not found.
    if (step.verb === 'create' && !isAlreadyExists(error)) throw error;
    const found = await lookAgain(applier, step);
    // Somebody else has a slice of that name: trying again at once would go on for ever.
    if (step.verb === 'create' && step.kind === 'endpointSlices' && !(await makeRoom(applier, step, found)))
      throw error;
    return 'stale';
  }
}

async function write({ client, signal }: Applier, step: Step): Promise<MirrorObject | undefined> {
  const resource = resources[step.kind];
  if (step.verb === 'create') return client.create(resource, step.object, { signal });
  const ref = refOf(step.target);
  const { uid, resourceVersion } = step.target.metadata ?? {};
  if (step.verb === 'delete') {
    await client.delete(resource, ref, { ...(uid === undefined ? {} : { uid }), signal });
    return undefined;
  }
  const metadata = (step.patch as { metadata?: object }).metadata;
  const body = { ...step.patch, metadata: { ...metadata, uid, resourceVersion } };
  return client.patch(resource, ref, body, { type: 'merge', signal });
}

/** Reads the object that a write met instead of the expected one, so that the next verdict knows it. */
async function lookAgain({ client, view, signal }: Applier, step: Step): Promise<MirrorObject | undefined> {
  const expected = step.verb === 'create' ? step.object : step.target;
  try {
    const found = await client.get(resources[step.kind], refOf(expected), { signal });
    view.observe(step.kind, found);
    return found;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    view.observeDeleted(step.kind, expected);
    return undefined;
  }
}

/**
 * A slice that is in the way of a new one: one of ours whose label somebody has edited, by which it is found as its Service's, is deleted; one that is found the next time may stay.
 * @returns false where it is not ours
 */
async function makeRoom(
  { client, view, signal }: Applier,
  { object }: { readonly object: MirrorObject },
  found: MirrorObject | undefined,
): Promise<boolean> {
  if (found === undefined) return true;
  const labels = found.metadata?.labels;
  const service = object.metadata?.labels?.[SERVICE_NAME_LABEL];
  const isFound = labels?.[SERVICE_NAME_LABEL] === service;
  if (!madeByUs(found)) return isFound && labels?.[MANAGED_BY_LABEL] === MANAGER;
  if (isFound) return true;
  const { uid } = found.metadata ?? {};
  await client.delete(endpointSlices, refOf(found), { ...(uid === undefined ? {} : { uid }), signal });
  view.observeDeleted('endpointSlices', found);
  return true;
}

function refOf(object: MirrorObject): ObjectRef {
  const { namespace, name } = object.metadata ?? {};
  return { ...(namespace === undefined ? {} : { namespace }), name: name ?? '' };
}

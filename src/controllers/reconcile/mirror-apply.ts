import type { V1Endpoints, V1Service } from '@kubernetes/client-node';
import { MANAGER } from '../../api/names.ts';
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  KubeApiError,
  type KubeClient,
} from '../../kube/client/kube-client.ts';
import {
  endpoints,
  endpointSlices,
  namespaces,
  services,
  type ObjectRef,
  type Resource,
} from '../../api/kubernetes/resource.ts';
import { SERVICE_NAME_LABEL } from '../../exports/endpoint-slices.ts';
import { MANAGED_BY_LABEL } from '../../exports/slice-makers.ts';
import type { LocalView } from './local-view.ts';
import { madeByUs } from '../../api/mirror/ownership.ts';
import { type Kind, type MirrorObject, ownerReference, type Step } from './steps.ts';

const resources: Record<Kind, Resource<MirrorObject>> = {
  services: services as Resource<MirrorObject>,
  endpointSlices: endpointSlices as Resource<MirrorObject>,
  endpoints: endpoints as Resource<MirrorObject>,
  namespaces: namespaces as Resource<MirrorObject>,
};

/**
 * `stale`: an object was not as the plan expected. It has been read again, and the key has to be decided
 * again.
 */
export type ApplyResult = 'done' | 'stale';

/** With what a plan is carried out. */
export interface Applier {
  readonly client: KubeClient;
  readonly view: LocalView;
  /** Aborted when nothing may be written any more (Lease lost, Link gone). */
  readonly signal: AbortSignal;
  /** The API server has refused a status. Nothing depends on it: the plan is carried out without. */
  readonly onUntold?: (step: Step, error: KubeApiError) => void;
}

/**
 * Carries out a plan, one step after the other. Every patch is bound to the resourceVersion, and every
 * deletion to the UID, of the object that the plan was made for, so that a change by anybody else in between
 * is noticed and never overwritten.
 *
 * A step that the API server refuses (a policy, a webhook, a limit) does not keep other steps from being
 * carried out: endpoints follow the pods whatever becomes of their Service, and one host's mirror does not
 * wait for another's. Only steps that need the refused one are left out.
 * @throws KubeApiError the first refusal, after the other steps; or at once when the API server cannot be
 * reached or takes no writes now. The caller tries again
 */
export async function apply(applier: Applier, steps: readonly Step[]): Promise<ApplyResult> {
  const done = new Progress();
  for (const step of steps) {
    applier.signal.throwIfAborted();
    const ready = done.prepare(step);
    if (ready === undefined) continue;
    try {
      done.note(step, await carryOut(applier, ready));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (isStatus(step)) applier.onUntold?.(step, error);
      else done.refused(step, error, await isSpecTaken(applier, step));
    }
  }
  if (done.refusal !== undefined) throw done.refusal;
  return done.stale ? 'stale' : 'done';
}

/**
 * After a refused patch of a Service: whether its spec has been written all the same, or needs not be. Where
 * the patch has metadata too, the spec is written alone, so that ports follow although labels or annotations
 * are refused.
 */
async function isSpecTaken(applier: Applier, step: Step): Promise<boolean> {
  if (step.verb !== 'patch' || step.kind !== 'services') return false;
  const { spec, metadata } = step.patch as { spec?: object; metadata?: object };
  if (spec === undefined || metadata === undefined) return spec === undefined;
  try {
    return (await carryOut(applier, { ...step, patch: { spec } })) !== 'stale';
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return false;
  }
}

/**
 * Whether the server has refused this very write, and may take another: not because it is overloaded, or does
 * not accept our credentials.
 */
export function isRefusal(error: unknown): error is KubeApiError {
  return error instanceof KubeApiError && ![401, 429, 503, 504].includes(error.status);
}

/** Whether a step writes a status: what is known of an object, not the object. */
export function isStatus(step: Step): boolean {
  return step.verb === 'patch' && step.subresource === 'status';
}

/** Whether the server refuses an object because of its name, so that it always will. */
export function isInvalidName(error: unknown): error is KubeApiError {
  return (
    error instanceof KubeApiError &&
    error.status === 422 &&
    error.causes.some(({ field }) => field === 'metadata.name')
  );
}

/** What became of a plan's steps so far, as far as later steps depend on that. */
class Progress {
  /** Services that were made, by name: their slices need the UID, which the plan could not know. */
  readonly #made = new Map<string, V1Service>();
  /** Services that could not be made. */
  readonly #unmade = new Set<string>();
  /** Services whose new ports could not be written. */
  readonly #oldPorts = new Set<string>();
  /** The first refusal. */
  refusal: KubeApiError | undefined;
  /** Whether some object was not as the plan expected. */
  stale = false;

  /** A step has been carried out, or was `stale`. */
  note(step: Step, written: MirrorObject | 'stale' | undefined): void {
    if (written === 'stale') {
      this.stale = true;
      this.#unwritten(step, false);
    } else if (step.kind === 'services' && step.verb === 'create') {
      this.#made.set(step.object.metadata?.name ?? '', written as V1Service);
    }
  }

  /** A step was refused. @param isSpecTaken of a patch: whether its spec has been written all the same */
  refused(step: Step, error: KubeApiError, isSpecTaken: boolean): void {
    this.refusal ??= error;
    this.#unwritten(step, isSpecTaken);
  }

  #unwritten(step: Step, isSpecTaken: boolean): void {
    if (step.kind !== 'services' || step.verb === 'delete') return;
    if (step.verb === 'create') this.#unmade.add(step.object.metadata?.name ?? '');
    else if (!isSpecTaken && 'spec' in step.patch) this.#oldPorts.add(step.target.metadata?.name ?? '');
  }

  /** The step as it can be carried out after the others; undefined: not at all. */
  prepare(step: Step): Step | undefined {
    if (step.kind !== 'endpointSlices' && step.kind !== 'endpoints') return step;
    const object = step.verb === 'create' ? step.object : step.target;
    const service = serviceOf(step.kind, object);
    if (step.verb === 'create') return this.#unmade.has(service) ? undefined : this.#owned(step, service);
    // Endpoints must not have ports that the Service does not have: addresses are written, ports wait.
    return step.verb === 'patch' && this.#oldPorts.has(service) ? withoutPorts(step) : step;
  }

  #owned(step: Step & { verb: 'create' }, service: string): Step {
    const mirror = this.#made.get(service);
    if (mirror === undefined || step.kind !== 'endpointSlices') return step;
    const metadata = { ...step.object.metadata, ownerReferences: [ownerReference(mirror)] };
    return { ...step, object: { ...step.object, metadata } };
  }
}

type Subsets = NonNullable<V1Endpoints['subsets']>;

function serviceOf(kind: Kind, { metadata }: MirrorObject): string {
  return (kind === 'endpointSlices' ? metadata?.labels?.[SERVICE_NAME_LABEL] : metadata?.name) ?? '';
}

function withoutPorts(step: Step & { verb: 'patch' }): Step | undefined {
  const { ports: _, subsets, ...rest } = step.patch as { ports?: unknown; subsets?: Subsets | null };
  const old = (step.target as V1Endpoints).subsets?.[0]?.ports;
  // Subsets of Endpoints hold addresses and ports together: they get the old ports. Where there were no
  // subsets, there are no old ports, and nothing is written.
  const kept = subsets?.map((subset) => ({ ...subset, ports: old }));
  const patch =
    subsets === undefined || (subsets !== null && old === undefined)
      ? rest
      : { ...rest, subsets: kept ?? null };
  return Object.keys(patch).length === 0 ? undefined : { ...step, patch };
}

async function carryOut(applier: Applier, step: Step): Promise<MirrorObject | 'stale' | undefined> {
  try {
    const object = await write(applier, step);
    if (object !== undefined) applier.view.observe(step.kind, object);
    else if (step.verb === 'delete') applier.view.observeDeleted(step.kind, step.target);
    return object;
  } catch (error) {
    if (!isAlreadyExists(error) && !isConflict(error) && !isNotFound(error)) throw error;
    // A create that gets 404 has not found the namespace.
    if (step.verb === 'create' && !isAlreadyExists(error)) throw error;
    const found = await lookAgain(applier, step);
    // Where somebody else has a slice of that name, trying again at once would never end.
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
  if (step.verb === 'delete')
    return client.delete(resource, ref, { ...(uid === undefined ? {} : { uid }), signal });
  const metadata = (step.patch as { metadata?: object }).metadata;
  const body = { ...step.patch, metadata: { ...metadata, uid, resourceVersion } };
  const { subresource } = step;
  const options = subresource === undefined ? {} : { subresource };
  return client.patch(resource, ref, body, { type: 'merge', signal, ...options });
}

/** Reads the object that a write has met instead of the expected one, so that the next verdict knows it. */
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
 * A slice of ours could not be created because there is one of its name. One that we made and whose label
 * somebody has edited, so that it is not found as the Service's, is deleted. One that is found by its label
 * stays: the next plan patches it.
 * @param found the slice that is there
 * @returns false: it is not ours, and stays in the way
 */
async function makeRoom(
  applier: Applier,
  { object }: { readonly object: MirrorObject },
  found: MirrorObject | undefined,
): Promise<boolean> {
  if (found === undefined) return true;
  const labels = found.metadata?.labels;
  const service = object.metadata?.labels?.[SERVICE_NAME_LABEL];
  const isFound = labels?.[SERVICE_NAME_LABEL] === service;
  if (!madeByUs(found)) return isFound && labels?.[MANAGED_BY_LABEL] === MANAGER;
  if (isFound) return true;
  const target = { verb: 'delete', kind: 'endpointSlices', target: found } as const;
  const left = await write(applier, target);
  if (left === undefined) applier.view.observeDeleted('endpointSlices', found);
  else applier.view.observe('endpointSlices', left);
  return true;
}

function refOf(object: MirrorObject): ObjectRef {
  const { namespace, name } = object.metadata ?? {};
  return { ...(namespace === undefined ? {} : { namespace }), name: name ?? '' };
}

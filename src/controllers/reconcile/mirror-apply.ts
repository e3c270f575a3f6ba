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
 * `stale`: what is there is not what was planned for; it has been looked at again and the key should be
 * decided anew.
 */
export type ApplyResult = 'done' | 'stale';

export interface Applier {
  readonly client: KubeClient;
  readonly view: LocalView;
  /** Aborted when the peer may no longer write (Lease lost, Link gone). */
  readonly signal: AbortSignal;
}

/**
 * Carries out a plan, one step after the other. Every patch and deletion is bound to the object that the plan
 * was made for (resourceVersion, UID), so a change by anybody else in between is noticed and never
 * overwritten.
 *
 * A step that the API server refuses (a policy, a webhook, a limit) keeps nothing else from being written:
 * endpoints follow the pods whatever becomes of their Service, and one host's mirror does not wait for
 * another's. Only what needs the refused one is left out.
 * @throws KubeApiError the first refusal, after the rest was carried out; or at once when the API server
 * cannot be reached or takes nothing now. The caller tries again
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
      done.refused(step, error, await isSpecTaken(applier, step));
    }
  }
  if (done.refusal !== undefined) throw done.refusal;
  return done.stale ? 'stale' : 'done';
}

/**
 * Ports follow although the Service's labels or annotations are refused: writes the spec alone, where the
 * refused patch has both.
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
 * Whether the server has answered about this very write, and may answer otherwise about another: not that it
 * is overloaded or knows us no more.
 */
export function isRefusal(error: unknown): error is KubeApiError {
  return error instanceof KubeApiError && ![401, 429, 503, 504].includes(error.status);
}

/** Whether the server refuses an object for its name, which it always will. */
export function isInvalidName(error: unknown): error is KubeApiError {
  return (
    error instanceof KubeApiError &&
    error.status === 422 &&
    error.causes.some(({ field }) => field === 'metadata.name')
  );
}

/** What became of a plan's steps so far, as far as later ones depend on it. */
class Progress {
  /** Services that were made, by name: their slices get the UID, which the plan did not know. */
  readonly #made = new Map<string, V1Service>();
  /** Services that could not be made. */
  readonly #unmade = new Set<string>();
  /** Services whose ports stay as they are. */
  readonly #oldPorts = new Set<string>();
  /** The first refusal. */
  refusal: KubeApiError | undefined;
  /** Whether something was not as it was planned for. */
  stale = false;

  note(step: Step, written: MirrorObject | 'stale' | undefined): void {
    if (written === 'stale') {
      this.stale = true;
      this.#unwritten(step, false);
    } else if (step.kind === 'services' && step.verb === 'create') {
      this.#made.set(step.object.metadata?.name ?? '', written as V1Service);
    }
  }

  refused(step: Step, error: KubeApiError, isSpecTaken: boolean): void {
    this.refusal ??= error;
    this.#unwritten(step, isSpecTaken);
  }

  #unwritten(step: Step, isSpecTaken: boolean): void {
    if (step.kind !== 'services' || step.verb === 'delete') return;
    if (step.verb === 'create') this.#unmade.add(step.object.metadata?.name ?? '');
    else if (!isSpecTaken && 'spec' in step.patch) this.#oldPorts.add(step.target.metadata?.name ?? '');
  }

  /** The step as it can be carried out now; undefined: not at all. */
  prepare(step: Step): Step | undefined {
    if (step.kind !== 'endpointSlices' && step.kind !== 'endpoints') return step;
    const object = step.verb === 'create' ? step.object : step.target;
    const service = serviceOf(step.kind, object);
    if (step.verb === 'create') return this.#unmade.has(service) ? undefined : this.#owned(step, service);
    // Ports that the Service does not have would lead nowhere: its addresses follow, its ports wait.
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
  // The subsets of Endpoints are addresses and ports in one. Where there were none, there is nothing to
  // withdraw.
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
  if (step.verb === 'delete')
    return client.delete(resource, ref, { ...(uid === undefined ? {} : { uid }), signal });
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
 * A slice that is in the way of a new one: one of ours whose label somebody has edited, by which it is found
 * as its Service's, is deleted; one that is found the next time may stay.
 * @returns false where it is not ours
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

import { sleep, type Clock } from '../base/clock.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { inParallel } from '../base/in-parallel.ts';
import { MAX_CONNECTIONS } from '../kube/client/agents.ts';
import type { Candidate } from './apply-facts.ts';
import { isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { refOf, titleOf } from './manifests.ts';
import type { KubeObject, Resource } from '../api/kubernetes/resource.ts';
import { resourcesOf } from '../kube/client/served-kinds.ts';

/** Time between two requests, milliseconds. */
const POLL_MS = 200;

/**
 * Waits until the kind of a new CRD is served.
 * @throws LinkspanError KIND_NOT_SERVED when it is not in time
 */
export async function awaitServed(
  client: KubeClient,
  { apiVersion = '', kind = '' }: KubeObject,
  options: { readonly clock: Clock; readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
): Promise<Resource<KubeObject>> {
  const { clock, timeoutMs, signal } = options;
  const end = clock.monotonic() + timeoutMs;
  for (;;) {
    const resource = (await resourcesOf(client, apiVersion, signal)).get(kind);
    if (resource !== undefined) return resource;
    if (clock.monotonic() >= end)
      throw new LinkspanError(
        'KIND_NOT_SERVED',
        `${kind} of ${apiVersion}: its CRD is there, but not served`,
      );
    await sleep(clock, POLL_MS, signal);
  }
}

/**
 * Waits until all of them are gone.
 * @throws LinkspanError DELETE_INCOMPLETE with what is left, and the finalizers that hold it
 */
export async function awaitGone(
  client: KubeClient,
  deleted: readonly Candidate[],
  options: {
    readonly waitMs: number;
    readonly clock: Clock;
    readonly onWaiting?: (left: readonly KubeObject[]) => void;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { clock, waitMs, onWaiting, signal } = options;
  const end = clock.monotonic() + waitMs;
  let left: readonly (Candidate & { readonly hold?: string })[] = deleted;
  for (;;) {
    const looked = await inParallel(left, MAX_CONNECTIONS, async (candidate) => ({
      ...candidate,
      hold: await remains(client, candidate),
    }));
    left = looked.flatMap(({ hold, ...candidate }) => (hold === undefined ? [] : [{ ...candidate, hold }]));
    if (left.length === 0) return;
    onWaiting?.(left.map(({ object }) => object));
    if (clock.monotonic() >= end) {
      const texts = left.map(({ object, hold = '' }) => titleOf(object) + hold);
      throw new LinkspanError('DELETE_INCOMPLETE', `still there: ${texts.join(', ')}`);
    }
    await sleep(clock, POLL_MS, signal);
  }
}

/** Undefined when the object is gone; else the object and the finalizers that hold it, for people. */
async function remains(client: KubeClient, candidate: Candidate): Promise<string | undefined> {
  const { object, resource, existing } = candidate;
  if (resource === undefined) return undefined;
  try {
    const { metadata } = await client.get(resource, refOf(object));
    if (metadata?.uid !== existing?.metadata?.uid) return undefined;
    const finalizers = metadata?.finalizers ?? [];
    return finalizers.length === 0 ? '' : ` (held by ${finalizers.join(', ')})`;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

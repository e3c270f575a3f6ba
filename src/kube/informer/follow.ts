import { backoffDelay, type BackoffOptions, type Random } from '../../base/backoff.ts';
import { sleep, type Clock } from '../../base/clock.ts';
import type { KubeClient } from '../client/kube-client.ts';
import type { KubeObject, ObjectRef, Resource } from '../../api/kubernetes/resource.ts';

/** Which object is followed, and until when (`signal`). */
export interface FollowOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  readonly ref: ObjectRef;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * A watch of one object lasts so long and is then begun anew with a fresh read, so that a connection that has
 * died unnoticed hides changes for no longer.
 */
const WATCH_SECONDS = 60;
/**
 * After a watch that ended sooner the next one waits so long: a server that cuts them is not asked in a tight
 * loop.
 */
const SHORT_MS = 1000;

/**
 * One object as it is now, and again after each change; undefined while it does not exist. Goes on until the
 * signal aborts or the consumer leaves. Selects by name, so that an account needs `list` and `watch` for this
 * one name only (RBAC `resourceNames`); a Reflector asks for more than that.
 * @throws LinkspanError KUBE_…: the first failure ends it, and the caller begins again after a while
 * (`keepFollowing` does); the signal's reason when it aborts during a request or a wait
 */
export async function* follow<T extends KubeObject>(
  options: FollowOptions<T>,
): AsyncGenerator<T | undefined> {
  const { client, resource, ref, clock, signal } = options;
  const selection = {
    ...(ref.namespace === undefined ? {} : { namespace: ref.namespace }),
    fieldSelector: `metadata.name=${ref.name}`,
    signal,
  };
  for (;;) {
    const { items, resourceVersion } = await client.list(resource, selection);
    yield items[0];
    const started = clock.monotonic();
    const watch = { ...selection, resourceVersion, timeoutSeconds: WATCH_SECONDS };
    for await (const { type, object } of client.watch(resource, watch)) {
      if (type === 'DELETED') yield undefined;
      else if (type !== 'BOOKMARK') yield object;
    }
    if (clock.monotonic() - started < SHORT_MS) await sleep(clock, SHORT_MS, signal);
  }
}

/**
 * As `follow`, through failures of every kind: after each it begins again, with growing waits. Resolves when
 * the signal has aborted.
 * @param told `onSeen` gets the object after each read and change (undefined: there is none), `onFailure`
 * each failure
 */
export async function keepFollowing<T extends KubeObject>(
  options: FollowOptions<T> & { readonly random: Random; readonly backoff: BackoffOptions },
  told: {
    readonly onSeen: (found: T | undefined) => void;
    readonly onFailure: (error: unknown) => void;
  },
): Promise<void> {
  const { clock, random, backoff, signal } = options;
  let failures = 0;
  while (!signal.aborted) {
    try {
      for await (const found of follow(options)) {
        failures = 0;
        told.onSeen(found);
      }
    } catch (error) {
      if (signal.aborted) return;
      told.onFailure(error);
      await sleep(clock, backoffDelay(failures++, backoff, random), signal).catch(() => undefined);
    }
  }
}

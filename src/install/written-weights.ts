import { readAnnotation } from '../api/annotations.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { FAILOVER_BASE_WEIGHTS } from '../api/failover/failover-names.ts';
import type { KubeObject, Resource } from '../api/kubernetes/resource.ts';
import { CLI_MANAGER } from '../api/names.ts';
import { WEIGHTED_KINDS } from '../api/routing/weighted-kinds.ts';
import { inParallel } from '../base/in-parallel.ts';
import { isConflict, isForbidden, isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { servedKinds } from '../kube/client/served-kinds.ts';
import { releasedLists, releasePatch, unreleased } from '../policy/weights/release.ts';
import { type WeightedKind, weightedKind, type WeightedObject } from '../policy/weights/weighted-object.ts';
import type { WeightsPatch } from '../policy/weights/weights-patch.ts';

/** Time for an API server to say which kinds it serves, milliseconds. */
const ANSWER_MS = 30_000;
/** Objects that are written at the same time. */
const AT_ONCE = 8;
/** How often the write of an object is tried that somebody else was faster than. */
const MAX_TRIES = 5;
const DEFAULT_DOMAIN = 'cluster.local';

/** An object in which weights stand that failover has written. */
export interface WrittenWeights {
  readonly object: WeightedObject;
  readonly kind: WeightedKind;
  readonly resource: Resource<KubeObject>;
}

/** The same, with what an uninstall can do about it. */
export interface WeightsRelease extends WrittenWeights {
  /** What of it cannot be put back though it may be written, one line each. */
  readonly stays: readonly string[];
  /** Why the API server does not take the write; undefined: it does. */
  readonly refusal: string | undefined;
}

/**
 * The objects in which weights stand that failover has written: nobody writes them, or puts back what their
 * author wrote, when the controller is gone. Those that may not be read are left out. What would be put back
 * is tried on the server.
 */
export async function readWrittenWeights(client: KubeClient): Promise<WeightsRelease[]> {
  return inParallel(await findWrittenWeights(client), AT_ONCE, async (written) => ({
    ...written,
    stays: unreleased(written.kind, written.object, domainOf(written.object)),
    refusal: await put(client, written, true),
  }));
}

/**
 * Puts back in each object what its author wrote, and takes away what is ours; its label stays, for whoever
 * is to write its weights next. To be called when the controller can write no more.
 * @param onPutBack called for each
 * @returns those that could not be written, and why
 */
export async function putBackWeights(
  client: KubeClient,
  all: readonly WrittenWeights[],
  onPutBack: (object: KubeObject) => void,
): Promise<{ readonly object: KubeObject; readonly refusal: string }[]> {
  const refused = await inParallel(all, AT_ONCE, async (written) => {
    const refusal = await put(client, written, false);
    if (refusal !== undefined) return [{ object: written.object, refusal }];
    onPutBack(written.object);
    return [];
  });
  return refused.flat();
}

/** The write that puts back what its author wrote. Pure. */
export function weightsRelease({ kind, object }: WrittenWeights): WeightsPatch | undefined {
  return releasePatch(kind, object, releasedLists(kind, object, domainOf(object)));
}

/** @returns why the API server does not take it; undefined: it does, or the object is gone */
async function put(
  client: KubeClient,
  written: WrittenWeights,
  dryRun: boolean,
): Promise<string | undefined> {
  const { resource } = written;
  const { namespace = '', name = '' } = written.object.metadata ?? {};
  let { object } = written;
  for (let tries = 1; ; tries++) {
    try {
      const patch = weightsRelease({ ...written, object });
      if (patch !== undefined)
        await client.patch(resource, { namespace, name }, patch, {
          type: 'merge',
          fieldManager: CLI_MANAGER,
          dryRun,
        });
      return undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      if (!isConflict(error) || tries >= MAX_TRIES) return messageOf(error);
      object = await client.get(resource, { namespace, name });
    }
  }
}

/**
 * The domain of the authorities of a ServiceProfile, as they say it: which one the controller was told is not
 * known any more when it is gone.
 */
function domainOf({ spec }: WeightedObject): string {
  const overrides = (spec as { readonly dstOverrides?: unknown } | undefined)?.dstOverrides;
  const first: unknown = Array.isArray(overrides) ? overrides[0] : undefined;
  const authority = (first as { readonly authority?: unknown } | null | undefined)?.authority;
  const [, ...after] = typeof authority === 'string' ? authority.split('.svc.') : [];
  const [domain = ''] = after.join('.svc.').split(':');
  return domain === '' ? DEFAULT_DOMAIN : domain;
}

async function findWrittenWeights(client: KubeClient): Promise<WrittenWeights[]> {
  const groups = new Set(WEIGHTED_KINDS.map(({ group }) => group));
  const found = await Promise.all(
    [...groups].map(async (group) => {
      const served = await servedKinds(client, group, AbortSignal.timeout(ANSWER_MS));
      const kinds = WEIGHTED_KINDS.filter((one) => one.group === group && served.has(one.plural));
      return Promise.all(
        kinds.map(async ({ kind, plural }) => {
          const version = served.get(plural) ?? '';
          const resource = { group, version, kind, plural, namespaced: true };
          const all = await listed(client, resource);
          return all.filter(isWritten).map((object) => ({
            object: { ...object, apiVersion: `${group}/${version}`, kind },
            kind: weightedKind(kind),
            resource,
          }));
        }),
      );
    }),
  );
  return found.flat(2);
}

function isWritten({ metadata }: KubeObject): boolean {
  return readAnnotation(metadata?.annotations, FAILOVER_BASE_WEIGHTS) !== undefined;
}

async function listed(client: KubeClient, resource: Resource<KubeObject>): Promise<readonly KubeObject[]> {
  try {
    return (await client.list(resource)).items;
  } catch (error) {
    if (isForbidden(error)) return [];
    throw error;
  }
}

import { readAnnotation } from '../api/annotations.ts';
import { FAILOVER_BASE_WEIGHTS } from '../api/failover/failover-names.ts';
import type { KubeObject } from '../api/kubernetes/resource.ts';
import { WEIGHTED_KINDS } from '../api/routing/weighted-kinds.ts';
import { isForbidden, type KubeClient } from '../kube/client/kube-client.ts';
import { servedKinds } from '../kube/client/served-kinds.ts';

/** Time for an API server to say which kinds it serves, milliseconds. */
const ANSWER_MS = 30_000;

/**
 * The objects in which weights stand that failover has written: nobody writes them, or puts back what their
 * author wrote, when the controller is gone. Those that may not be read are left out.
 */
export async function readWrittenWeights(client: KubeClient): Promise<KubeObject[]> {
  const groups = new Set(WEIGHTED_KINDS.map(({ group }) => group));
  const found = await Promise.all(
    [...groups].map(async (group) => {
      const served = await servedKinds(client, group, AbortSignal.timeout(ANSWER_MS));
      const kinds = WEIGHTED_KINDS.filter((one) => one.group === group && served.has(one.plural));
      return Promise.all(
        kinds.map(async (kind) => {
          const version = served.get(kind.plural) ?? '';
          const all = await listed(client, { ...kind, version, namespaced: true });
          return all
            .filter(
              ({ metadata }) => readAnnotation(metadata?.annotations, FAILOVER_BASE_WEIGHTS) !== undefined,
            )
            .map((object) => ({ ...object, apiVersion: `${group}/${version}`, kind: kind.kind }));
        }),
      );
    }),
  );
  return found.flat(2);
}

async function listed(
  client: KubeClient,
  resource: Parameters<KubeClient['list']>[0],
): Promise<readonly KubeObject[]> {
  try {
    return (await client.list(resource)).items;
  } catch (error) {
    if (isForbidden(error)) return [];
    throw error;
  }
}

import { isForbidden, isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { services } from '../api/kubernetes/resource.ts';

/**
 * What tells one cluster from another: the UID of its `default/kubernetes` Service, made with its etcd.
 * Undefined where it may not be read, or is not there yet.
 */
export async function clusterUid(client: KubeClient, signal?: AbortSignal): Promise<string | undefined> {
  try {
    const ref = { namespace: 'default', name: 'kubernetes' };
    return (await client.get(services, ref, signal === undefined ? {} : { signal })).metadata?.uid;
  } catch (error) {
    if (isForbidden(error) || isNotFound(error)) return undefined;
    throw error;
  }
}

import { isForbidden, isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { services } from '../api/kubernetes/resource.ts';

/**
 * An identifier of a cluster: the UID of its `default/kubernetes` Service, which is as old as its etcd.
 * Undefined where the Service may not be read, or does not exist yet.
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

import { DEFAULT_LINKERD_NAMESPACE } from '../api/names.ts';
import { isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { configMaps } from '../kube/objects/resource.ts';

/**
 * Whether Linkerd's control plane is installed: its ConfigMap `linkerd-config` is there. Decides `--data-path auto` and whether Endpoints are written.
 * @throws KubeApiError when the API server cannot say
 */
export async function linkerdInstalled(
  client: KubeClient,
  namespace = DEFAULT_LINKERD_NAMESPACE,
): Promise<boolean> {
  try {
    await client.get(configMaps, { namespace, name: 'linkerd-config' });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

import { DEFAULT_LINKERD_NAMESPACE } from '../api/names.ts';
import { type KubeClient, orUndefined } from '../kube/client/kube-client.ts';
import { configMaps } from '../api/kubernetes/resource.ts';

/**
 * Whether Linkerd's control plane is installed: its ConfigMap `linkerd-config` exists. `--data-path auto` and
 * whether Endpoints are written depend on it.
 * @throws KubeApiError when the API server cannot say
 */
export async function linkerdInstalled(
  client: KubeClient,
  namespace = DEFAULT_LINKERD_NAMESPACE,
): Promise<boolean> {
  return (await orUndefined(client.get(configMaps, { namespace, name: 'linkerd-config' }))) !== undefined;
}

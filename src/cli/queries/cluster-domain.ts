import type { V1Deployment } from '@kubernetes/client-node';
import { componentSelector } from '../../api/installed-labels.ts';
import { deployments } from '../../api/kubernetes/resource.ts';
import { DEFAULT_CLUSTER_DOMAIN } from '../../api/names.ts';
import { isForbidden, type KubeClient } from '../../kube/client/kube-client.ts';

/** The flag of controller, gateway and egress; the chart sets it (`clusterDomain`). */
const FLAG = '--cluster-domain';

/**
 * The DNS domain of the cluster, as the egress that is installed there has been told it: who shows what the
 * egress does reads by the same. Without an egress of ours, or the right to list Deployments, the default.
 * @param namespace of the installation
 */
export async function readClusterDomain(
  client: Pick<KubeClient, 'list'>,
  namespace: string,
): Promise<string> {
  try {
    const labelSelector = componentSelector('egress');
    return clusterDomainOf((await client.list(deployments, { namespace, labelSelector })).items);
  } catch (error) {
    // Whoever may read only what is shown is shown it all the same.
    if (isForbidden(error)) return DEFAULT_CLUSTER_DOMAIN;
    throw error;
  }
}

/** As the first of these says it that does, by `--cluster-domain=x` or `--cluster-domain x`. Pure. */
export function clusterDomainOf(installed: readonly Pick<V1Deployment, 'spec'>[]): string {
  const containers = installed.flatMap(({ spec }) => spec?.template.spec?.containers ?? []);
  for (const { args = [] } of containers)
    for (const [at, arg] of args.entries()) {
      const value =
        arg === FLAG ? args[at + 1] : arg.startsWith(`${FLAG}=`) ? arg.slice(FLAG.length + 1) : '';
      if (value !== undefined && value !== '') return value;
    }
  return DEFAULT_CLUSTER_DOMAIN;
}

import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { THIS_CLUSTER } from '../../traffic/cluster-reading.ts';
import { type ClusterFlags, openCluster } from '../flags/cluster-flags.ts';
import { PODS_AT_ONCE } from './traffic-reader.ts';

/** Of one cluster: for pods, and for what is read beside them. */
const MAX_CONNECTIONS = PODS_AT_ONCE + 16;

/** A cluster that flags name; to be closed. */
export interface OpenedCluster {
  /** Its context. */
  readonly name: string;
  readonly client: KubeClient;
}

/**
 * The clusters whose pods are asked: those of all contexts, each once, or the current one.
 * @throws LinkspanError USAGE, KUBECONFIG_…
 */
export function openContexts(
  flags: Omit<ClusterFlags, 'context'> & { readonly context?: readonly string[] | undefined },
): OpenedCluster[] {
  const named = [...new Set(flags.context)];
  if (named.length > 1 && flags.apiAddr !== undefined)
    throw new LinkspanError('USAGE', '--api-addr is of one cluster, and several are asked');
  const contexts = named.length === 0 ? [undefined] : named;
  return contexts.map((context) => {
    const { client } = openCluster({ ...flags, context }, { maxConnections: MAX_CONNECTIONS });
    return { name: context ?? THIS_CLUSTER, client };
  });
}

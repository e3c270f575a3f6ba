import { clusterOf, MIRRORED_SELECTOR } from '../../api/mirror/mirror-labels.ts';
import type { LinkReport } from '../../api/answers/admin-answers.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { services } from '../../api/kubernetes/resource.ts';

/** One gateway, with the keys of `linkerd multicluster gateways -o json`. */
export interface GatewayRow {
  readonly clusterName: string;
  readonly alive: boolean;
  /** Mirrors of that cluster, flat ones and endpoint mirrors among them, as Linkerd counts. */
  readonly numberOfServices: number;
  /** Milliseconds of the last probe of the fastest address that is alive; 0 for a dead gateway. */
  readonly latency: number;
}

/** Services of this cluster that are mirrors, by target cluster. */
export async function countMirrors(client: KubeClient): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const { items } = await client.list(services, { labelSelector: MIRRORED_SELECTOR });
  for (const mirror of items) {
    const cluster = clusterOf(mirror);
    if (cluster !== undefined) counts.set(cluster, (counts.get(cluster) ?? 0) + 1);
  }
  return counts;
}

/** Sorted by cluster, as Linkerd's. */
export function gatewayRows(
  reports: readonly LinkReport[],
  mirrors: ReadonlyMap<string, number>,
): GatewayRow[] {
  return reports
    .map(({ cluster, gateway }) => {
      const latencies = (gateway?.addresses ?? [])
        .filter(({ state }) => state === 'alive')
        .map(({ latencyMs }) => latencyMs ?? 0);
      const alive = gateway?.path === 'alive';
      return {
        clusterName: cluster,
        alive,
        numberOfServices: mirrors.get(cluster) ?? 0,
        latency: alive && latencies.length > 0 ? Math.round(Math.min(...latencies)) : 0,
      };
    })
    .sort((a, b) => (a.clusterName < b.clusterName ? -1 : 1));
}

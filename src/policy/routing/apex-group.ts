import type { FederatedGroup } from '../failover/federated-group.ts';

/** One rule of a Service without selector that leads elsewhere. */
export interface ApexGroup {
  readonly namespace: string;
  /** Its name; where it has several ports or rules, with these. */
  readonly service: string;
  readonly group: FederatedGroup;
  /** The clusters of backends that are mirrors, by the backends' names. */
  readonly clusters: ReadonlyMap<string, string>;
}

/**
 * The group with clusters in place of their mirrors, for whoever asks about a cluster. Of two mirrors of one
 * cluster the first stands for both: what is asked is what is left without them. Pure.
 */
export function clusterGroup({ group, clusters }: ApexGroup): FederatedGroup {
  const seen = new Set<string>();
  const backends = group.backends.flatMap((backend) => {
    const name = clusters.get(backend.name) ?? backend.name;
    if (seen.has(name)) return [];
    seen.add(name);
    return [{ ...backend, name }];
  });
  return { ...group, backends };
}

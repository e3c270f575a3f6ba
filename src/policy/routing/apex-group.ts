import type { V1Service } from '@kubernetes/client-node';
import type { Demand } from '../failover/demand.ts';
import type { FederatedGroup } from '../failover/federated-group.ts';

/** One rule of a Service without selector that leads elsewhere. */
export interface ApexGroup {
  readonly namespace: string;
  /** Its name; where it has several ports or rules, with these. */
  readonly service: string;
  /** The Service, or the federated one, that the rule is about. */
  readonly owner: V1Service;
  readonly group: FederatedGroup;
  /** How requests fared when the Service's status was written. */
  readonly demand: Demand;
  /** Where backends lead, by their names: a mirror's cluster, or `local`. Federated ones are not in it. */
  readonly clusters: ReadonlyMap<string, string>;
  /** The clusters of backends that are federated, with the keys of those. */
  readonly within: ReadonlyMap<string, string>;
}

/**
 * What the groups of the rules of one port are called, in the rules' order: the Service's name; with the port
 * where several ports are routed, and with the rule's number where there are several rules. On metrics and in
 * what people are shown it is the same. Pure.
 * @param name of the Service, with its namespace or without
 * @param ports how many of its ports are routed
 * @param rules how many rules somebody has written about the port
 * @param isFederated whether the Service's own name is that of the group of its clusters
 */
export function groupNames(
  name: string,
  {
    port,
    ports,
    rules,
    isFederated,
  }: {
    readonly port: number;
    readonly ports: number;
    readonly rules: number;
    readonly isFederated: boolean;
  },
): string[] {
  const base = ports > 1 ? `${name}:${port}` : name;
  const isNumbered = isFederated || rules > 1;
  return Array.from({ length: rules }, (_, nth) => (isNumbered ? `${base} rule ${nth + 1}` : base));
}

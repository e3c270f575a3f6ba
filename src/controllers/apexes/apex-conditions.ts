import { keyOf } from '../../api/kubernetes/resource.ts';
import type { DrainProblems } from '../../api/mirror/service-drain.ts';
import type { ServiceRoutes } from '../../discovery/kube-routing.ts';
import type { RoutedSpec } from '../../discovery/target-spec.ts';
import { decide } from '../../policy/failover/decide.ts';
import type { Demand } from '../../policy/failover/demand.ts';
import {
  type FailoverCondition,
  failoverConditions,
  mergedConditions,
} from '../../policy/failover/failover-conditions.ts';
import type { WeighedBackend } from '../../policy/failover/weighed-group.ts';
import { ruleGroup } from '../../policy/routing/rule-group.ts';
import type { RouteBackend } from '../../policy/routing/routing.ts';

/** What the conditions of an apex depend on beside its rules. */
export interface ApexSurroundings {
  /** What is published of a backend, or seen of it where it is in this cluster (`leaves`, of its port). */
  readonly known: (backend: RouteBackend, leaves: RoutedSpec['leaves']) => WeighedBackend;
  /** How requests to the Service fare. */
  readonly demand: Demand;
  /** What is wrong with the Service's own drains, and when that changes by time alone. */
  readonly drains: DrainProblems;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** What is told about an apex. */
export interface ApexStatus {
  readonly conditions: FailoverCondition[];
  /** Its backends, `namespace/name`. */
  readonly backends: ReadonlySet<string>;
  /** When shares change by time alone; likewise; undefined: they do not. */
  readonly nextAt: number | undefined;
  /** Whether the backends of some rule have too few endpoints together. */
  readonly isShort: boolean;
}

/** The conditions of a Service that leads elsewhere, of all its rules. Pure. */
export function apexConditions(
  { ports, problems }: ServiceRoutes,
  { known, demand, drains, now }: ApexSurroundings,
): ApexStatus {
  const rules = new Map<string, readonly FailoverCondition[]>();
  const backends = new Set<string>();
  const nexts: number[] = drains.until === undefined ? [] : [drains.until];
  let isShort = false;
  for (const [port, { routing, leaves }] of ports)
    for (const rule of routing.rules) {
      for (const { namespace, service } of rule.backends) backends.add(keyOf({ namespace, name: service }));
      const group = ruleGroup(rule, (backend) => known(backend, leaves));
      const decision = decide(group.backends, group.policy, now, group.weighing);
      if (decision.nextChangeAt !== undefined) nexts.push(decision.nextChangeAt);
      isShort ||= decision.short;
      const said = [...problems, ...drains.lines, ...group.problems];
      const judged = { decision, placement: group.placement, problems: said };
      rules.set(`port ${port}, ${rule.name}`, failoverConditions({ ...judged, demand }));
    }
  const nextAt = nexts.length === 0 ? undefined : Math.min(...nexts);
  return { conditions: mergedConditions(rules), backends, nextAt, isShort };
}

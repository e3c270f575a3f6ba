import type { V1Condition, V1Service } from '@kubernetes/client-node';
import { FAILOVER_CONDITIONS } from '../../api/failover/failover-names.ts';
import { memberClusters } from '../../api/mirror/federated-members.ts';
import { serviceDrainProblems } from '../../api/mirror/service-drain.ts';
import { type Demand, demandStated } from '../../policy/failover/demand.ts';
import { decide } from '../../policy/failover/decide.ts';
import {
  type FailoverCondition,
  failoverConditions,
  failoverNews,
  type FailoverNews,
} from '../../policy/failover/failover-conditions.ts';
import { backendName, federatedGroup } from '../../policy/failover/federated-group.ts';
import type { LinksFailover } from '../../discovery/failover-links.ts';
import { isLeaving, type Step } from '../reconcile/steps.ts';
import { textsOf } from './federated-texts.ts';
import type { GroupStatus, MemberFacts } from './member-facts.ts';

const OURS: ReadonlySet<string> = new Set(Object.values(FAILOVER_CONDITIONS));

/**
 * What is decided, as the leading member has it; undefined: there is nobody to fail over to, and nobody has
 * said anything. Pure.
 */
export function groupStatus(
  facts: MemberFacts,
  { links, demand: heard }: { readonly links: LinksFailover; readonly demand: Demand | undefined },
  now: number,
): GroupStatus | undefined {
  const { service, slices } = facts.federated;
  if (service === undefined || !facts.leads) return undefined;
  const texts = textsOf(facts);
  const members = memberClusters(service).map(backendName);
  const drains = serviceDrainProblems(service.metadata?.annotations, new Set(members), now);
  const ofService = [...texts.problems, ...drains.lines];
  const isSaid = texts.tiers !== undefined || texts.policy !== undefined || ofService.length > 0;
  if (members.length < 2 && !isSaid) return undefined;
  const { backends, policy, placement } = federatedGroup(service, slices, links);
  const decision = decide(backends, policy, now);
  const told = new Set(backends.map(({ name }) => name));
  const problems = [
    ...ofService,
    ...[...links].flatMap(([cluster, said]) =>
      told.has(cluster) ? said.problems.map((line) => `Link of ${cluster}: ${line}`) : [],
    ),
  ];
  // A controller that has just started would tell of a shortage that there is none of.
  const demand = heard ?? demandStated(service.status?.conditions);
  const conditions = failoverConditions({ decision, placement, problems, demand });
  return { decision, conditions, demand, at: now, againAt: drains.until };
}

/** Whether there is anything in its status that is not so. Others' conditions stay. */
export function statusStep(
  service: V1Service,
  group: Pick<GroupStatus, 'conditions' | 'at'> | undefined,
): Step[] {
  const there = service.status?.conditions ?? [];
  const before = new Map(there.map((one) => [one.type, one]));
  const wanted = (group?.conditions ?? []).map((one) => asWritten(one, before.get(one.type), group?.at ?? 0));
  const same =
    wanted.length === there.filter(({ type }) => OURS.has(type)).length && wanted.every(isSame(before));
  if (same || isLeaving(service)) return [];
  const conditions = [...there.filter(({ type }) => !OURS.has(type)), ...wanted];
  const patch = { status: { conditions } };
  return [{ verb: 'patch', kind: 'services', target: service, patch, subresource: 'status' }];
}

/** What people are told when the status has been written. */
export function statusNews(
  service: V1Service,
  group: Pick<GroupStatus, 'conditions'> | undefined,
): FailoverNews[] {
  const before = new Map<string, FailoverCondition>();
  for (const one of service.status?.conditions ?? [])
    before.set(one.type, one as unknown as FailoverCondition);
  return failoverNews(before, group?.conditions ?? []);
}

function asWritten(wanted: FailoverCondition, before: V1Condition | undefined, now: number) {
  const since = before?.status === wanted.status ? before.lastTransitionTime : undefined;
  return { ...wanted, lastTransitionTime: since ?? new Date(now).toISOString().replace(/\.\d+Z$/, 'Z') };
}

function isSame(before: ReadonlyMap<string, V1Condition>): (wanted: FailoverCondition) => boolean {
  return ({ type, status, reason, message }) => {
    const there = before.get(type);
    return there?.status === status && there.reason === reason && there.message === message;
  };
}

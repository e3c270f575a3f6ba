import type { FailoverTexts } from '../../api/mirror/failover-texts.ts';
import type { Backend, Weighing } from '../failover/backend.ts';
import { settleTexts } from '../failover/settled-texts.ts';
import { readFailoverPolicy } from '../failover/failover-policy-text.ts';
import type { FailoverPolicy } from '../failover/failover-policy.ts';
import type { Placement } from '../failover/placement.ts';
import { type WeighedBackend, weighedGroup } from '../failover/weighed-group.ts';
import type { RouteBackend, RoutingRule } from './routing.ts';

/** Those among whom the requests of one rule are divided, and how (`decide`). */
export interface RuleGroup {
  readonly backends: readonly Backend[];
  readonly policy: FailoverPolicy;
  readonly placement: Placement;
  readonly weighing: Weighing;
  /** What holds of tiers and policy, for the next time. */
  readonly texts: FailoverTexts;
  /** What is wrong with what somebody wrote, one line each. */
  readonly problems: readonly string[];
}

/**
 * What a backend of a rule is called in tiers, on metrics and in what people are shown: the name of its
 * Service, as far as that says which one is meant.
 */
export function backendName({ backends }: Pick<RoutingRule, 'backends'>, backend: RouteBackend): string {
  const { namespace, service, port } = backend;
  const isClear = backends.every(
    (one) => one.service !== service || (one.namespace === namespace && one.port === port),
  );
  return isClear ? service : `${service}.${namespace}:${port}`;
}

/**
 * The group of a rule. Without tiers the weights hold exactly, as far as backends can be used; references
 * that are wrong keep their part, which is refused. With tiers only references that are right count. Pure.
 * @param known what is known of a backend
 * @param before what held of tiers and policy until now: it holds on where something else is wrong
 */
export function ruleGroup(
  rule: Pick<RoutingRule, 'backends' | 'failover'>,
  known: (backend: RouteBackend) => WeighedBackend,
  before: FailoverTexts = {},
): RuleGroup {
  const { failover } = rule;
  const { problems, ...texts } = settleTexts(failover ?? {}, before);
  if (texts.tiers !== undefined || failover?.managed !== undefined) {
    const valid = rule.backends.filter(({ invalid }) => invalid === undefined);
    const named = new Map(valid.map((backend) => [backendName(rule, backend), known(backend)]));
    const group = weighedGroup(named, { ...texts, primary: failover?.managed?.primary });
    return { ...group, weighing: 'graded', texts, problems: [...problems, ...group.problems] };
  }
  const backends = new Map<string, Backend & { readonly weight: number }>();
  for (const backend of rule.backends) {
    const name = backendName(rule, backend);
    const weight = backend.weight + (backends.get(name)?.weight ?? 0);
    const facts = backend.invalid === undefined ? known(backend) : {};
    backends.set(name, { name, tier: 0, weight, ...facts });
  }
  const all = [...backends.values()];
  const places = all.map(({ name, tier, weight }) => ({ name, tier, weight, factor: 1 }));
  const placement = { places, unknown: [], leftOut: [] };
  const { policy } = readFailoverPolicy(texts.policy);
  return { backends: all, policy, placement, weighing: 'exact', texts, problems };
}

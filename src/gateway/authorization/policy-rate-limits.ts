import { byAge } from '../../api/kubernetes/resource.ts';
import type { Rate, RateLimits, SharedRate } from '../../policy/rate-limits/rate-limits.ts';
import {
  isReferenceTo,
  POLICY_GROUP,
  type HttpLocalRateLimitPolicy,
} from '../../api/linkerd/linkerd-kinds.ts';
import type { PolicyFacts, Rule } from './policy-rules.ts';
import { accountIdentity, type PolicySetting } from './policy-verdict.ts';

/**
 * The rate limits of the Servers among a target's rules: for each Server those of the
 * HTTPLocalRateLimitPolicy that targets it, the oldest where several do (Linkerd's controller marks the
 * others as conflicting). Targets behind the same Server share its limits. Rates that are not positive
 * numbers do not limit, as in Linkerd's proxy. Pure.
 */
export function limitsOf(
  facts: Pick<PolicyFacts, 'rateLimits'>,
  rules: readonly Rule[],
  setting: PolicySetting,
): RateLimits[] {
  const found: RateLimits[] = [];
  for (const rule of rules) {
    if (rule.kind !== 'server') continue;
    const { name: server = '', namespace = '' } = rule.server.metadata ?? {};
    const [policy] = facts
      .rateLimits(namespace)
      .filter(({ spec }) => limits(spec?.targetRef, server))
      .sort(byAge);
    if (policy === undefined) continue;
    const { name = '' } = policy.metadata ?? {};
    const label = `${POLICY_GROUP}/httplocalratelimitpolicy/${name}`;
    found.push({
      key: `${label} ${namespace}/${server}`,
      policy: label,
      ...rates(policy, setting),
    });
  }
  return found;
}

function limits(ref: NonNullable<HttpLocalRateLimitPolicy['spec']>['targetRef'], server: string): boolean {
  return ref !== undefined && isReferenceTo(ref, POLICY_GROUP, 'Server') && ref.name === server;
}

function rates(
  { metadata, spec = {} }: HttpLocalRateLimitPolicy,
  setting: PolicySetting,
): Pick<RateLimits, 'total' | 'perClient' | 'overrides'> {
  const total = rateOf(spec.total);
  const perClient = rateOf(spec.identity);
  const overrides = (spec.overrides ?? []).flatMap((override): SharedRate[] => {
    const rate = rateOf(override);
    const clients = (override.clientRefs ?? [])
      .filter((ref) => isReferenceTo(ref, '', 'ServiceAccount'))
      .map(({ name = '', namespace = metadata?.namespace ?? '' }) =>
        accountIdentity(name, namespace, setting),
      );
    return rate === undefined || clients.length === 0 ? [] : [{ clients, rate }];
  });
  return {
    ...(total === undefined ? {} : { total }),
    ...(perClient === undefined ? {} : { perClient }),
    overrides,
  };
}

/** The burst is one second's worth, as in Linkerd's proxy. */
function rateOf(limit: { readonly requestsPerSecond?: unknown } | undefined): Rate | undefined {
  const perSecond = limit?.requestsPerSecond;
  if (typeof perSecond !== 'number' || !Number.isFinite(perSecond) || perSecond <= 0) return undefined;
  return { perSecond, burst: Math.max(1, Math.ceil(perSecond)) };
}

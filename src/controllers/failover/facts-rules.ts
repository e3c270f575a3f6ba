import type { V1Service } from '@kubernetes/client-node';
import { failoverTexts } from '../../api/mirror/failover-texts.ts';
import type { FactsRules } from '../../policy/failover/facts-fold.ts';
import { readFailoverPolicy } from '../../policy/failover/failover-policy-text.ts';

/**
 * What the facts of one member depend on, as the Service that it serves says.
 * @param name the member, as policies call it
 */
export function rulesFor(service: V1Service | undefined, name: string): FactsRules {
  const { policy } = readFailoverPolicy(failoverTexts(service?.metadata?.annotations).policy);
  return { ...policy, stated: policy.expected.get(name) };
}

/** Whether somebody says how requests are divided among it and others. */
export function hasPolicy(service: V1Service | undefined): boolean {
  return failoverTexts(service?.metadata?.annotations).policy !== undefined;
}

import { readAnnotation } from '../../api/annotations.ts';
import { FAILOVER_CONTROLLED_BY, FAILOVER_PRIMARY_SERVICE } from '../../api/failover/failover-names.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';
import { writtenTexts } from '../../api/mirror/failover-texts.ts';
import type { RuleFailover } from './routing.ts';

/**
 * What a split or a route says of failover among its backends; undefined: nothing, the weights decide. One
 * with the label has the primary Service before all others, as linkerd-failover has it, whoever writes its
 * weights for sidecars.
 */
export function writtenFailover({ metadata }: KubeObject): RuleFailover | undefined {
  const { tiers, policy } = writtenTexts(metadata?.annotations);
  const isManaged = metadata?.labels?.[FAILOVER_CONTROLLED_BY] !== undefined;
  const primary = readAnnotation(metadata?.annotations, FAILOVER_PRIMARY_SERVICE);
  if (tiers === undefined && policy === undefined && !isManaged) return undefined;
  return {
    ...(tiers === undefined ? {} : { tiers }),
    ...(policy === undefined ? {} : { policy }),
    ...(isManaged ? { managed: primary === undefined ? {} : { primary } } : {}),
  };
}

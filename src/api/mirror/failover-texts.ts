import { type Annotations, readAnnotation } from '../annotations.ts';
import {
  FAILOVER_EFFECTIVE_POLICY,
  FAILOVER_EFFECTIVE_TIERS,
  FAILOVER_POLICY,
  FAILOVER_TIERS,
} from '../failover/failover-names.ts';

/** What somebody says of the tiers and the policy of a group; absent: nothing. */
export interface FailoverTexts {
  readonly tiers?: string | undefined;
  readonly policy?: string | undefined;
}

/** What a person wrote on an object. */
export function writtenTexts(annotations: Annotations | undefined): FailoverTexts {
  return {
    tiers: readAnnotation(annotations, FAILOVER_TIERS),
    policy: readAnnotation(annotations, FAILOVER_POLICY),
  };
}

/** What the controller found to hold, the last time that it looked. */
export function settledTexts(annotations: Annotations | undefined): FailoverTexts {
  return {
    tiers: readAnnotation(annotations, FAILOVER_EFFECTIVE_TIERS),
    policy: readAnnotation(annotations, FAILOVER_EFFECTIVE_POLICY),
  };
}

/** What holds for an object: what the controller found, or else what somebody wrote there. */
export function failoverTexts(annotations: Annotations | undefined): FailoverTexts {
  const [settled, written] = [settledTexts(annotations), writtenTexts(annotations)];
  return { tiers: settled.tiers ?? written.tiers, policy: settled.policy ?? written.policy };
}

/** The annotations that say what holds. */
export function effectiveAnnotations({ tiers, policy }: FailoverTexts): Record<string, string> {
  return {
    ...(tiers === undefined ? {} : { [FAILOVER_EFFECTIVE_TIERS]: tiers }),
    ...(policy === undefined ? {} : { [FAILOVER_EFFECTIVE_POLICY]: policy }),
  };
}

/** Whether an annotation is one of these, which whoever leads a federated Service keeps. */
export function isEffectiveText(annotation: string): boolean {
  return annotation === FAILOVER_EFFECTIVE_TIERS || annotation === FAILOVER_EFFECTIVE_POLICY;
}

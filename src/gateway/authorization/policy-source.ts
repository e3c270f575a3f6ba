import type { RateLimits } from '../../policy/rate-limits/rate-limits.ts';
import type { TargetSpec } from '../../discovery/target-spec.ts';
import type { Health } from '../../telemetry/admin.ts';
import { type PolicyClient, type PolicyVerdict, UNRESTRICTED } from './policy-verdict.ts';

/** Where policies beside those of the exported Services come from. */
export interface PolicySource {
  /** Grows whenever a verdict about targets of this namespace may have changed. */
  version(namespace: string): number;
  /** Whether a client may use a target, as far as these policies go. */
  verdict(spec: TargetSpec, namespace: string, client: PolicyClient): PolicyVerdict;
  /** How much these policies let come to a target. */
  limits(spec: TargetSpec, namespace: string): readonly RateLimits[];
  /**
   * Calls `listener` with the namespace whose targets a change may concern; undefined = all. Returns the
   * unsubscriber.
   */
  subscribe(listener: (namespace: string | undefined) => void): () => void;
  /**
   * Not ok until the first complete set of policies is known; later problems are in the reason while the last
   * known ones hold.
   */
  readonly ready: Health;
  close(): Promise<void>;
}

/** There are none. */
export const NO_POLICIES: PolicySource = {
  version: () => 0,
  verdict: () => UNRESTRICTED,
  limits: () => [],
  subscribe: () => () => undefined,
  ready: { ok: true, reason: '' },
  close: () => Promise.resolve(),
};

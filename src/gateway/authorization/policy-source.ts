import type { RateLimits } from '../../policy/rate-limits/rate-limits.ts';
import type { TargetSpec } from '../../discovery/target-spec.ts';
import type { Health } from '../../telemetry/admin.ts';
import { type PolicyClient, type PolicyVerdict, UNRESTRICTED } from './policy-verdict.ts';

/** A source of policies beside the annotations of exported Services. */
export interface PolicySource {
  /** A number that grows whenever a verdict about targets of this namespace may have changed. */
  version(namespace: string): number;
  /** Whether these policies allow a client to use a target. */
  verdict(spec: TargetSpec, namespace: string, client: PolicyClient): PolicyVerdict;
  /** Rate limits of a target by these policies. */
  limits(spec: TargetSpec, namespace: string): readonly RateLimits[];
  /**
   * Calls `listener` with the namespace whose targets a change may concern; undefined = all. Returns the
   * unsubscriber.
   */
  subscribe(listener: (namespace: string | undefined) => void): () => void;
  /**
   * Not ok until the first complete set of policies is known. Later problems are given as the reason, while
   * the last known ones apply.
   */
  readonly ready: Health;
  close(): Promise<void>;
}

/** A source without policies. */
export const NO_POLICIES: PolicySource = {
  version: () => 0,
  verdict: () => UNRESTRICTED,
  limits: () => [],
  subscribe: () => () => undefined,
  ready: { ok: true, reason: '' },
  close: () => Promise.resolve(),
};

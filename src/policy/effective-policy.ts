import { AnnotationReader } from '../api/annotation-reader.ts';
import type { Annotations } from '../api/annotations.ts';
import { PROFILE_GROUP } from '../api/linkerd/linkerd-kinds.ts';
import { FAULTS } from '../api/names.ts';
import { type AccrualRules, readAccrual } from './accrual/accrual.ts';
import type { ReadFaults } from './faults/fault-annotations.ts';
import type { FaultRule } from './faults/fault-rules.ts';
import { readRateLimits } from './rate-limits/rate-limit-annotations.ts';
import type { RateLimits } from './rate-limits/rate-limits.ts';
import { type ReadRequests, readRequestAnnotations } from './requests/request-annotations.ts';
import type { RequestRules } from './requests/request-rules.ts';

/**
 * The policy for the traffic to one Service, wherever each part of it was said: a field for each subject of
 * src/policy, whose README has the steps to a new one. An absent field says nothing.
 */
export interface EffectivePolicy {
  /** Which failures eject an endpoint; absent = the program's own rules. */
  readonly accrual?: AccrualRules;
  /** The rate limits, each of which a request must meet; absent = none. */
  readonly limits?: readonly RateLimits[];
  /** The faults that a drill injects; absent = none. */
  readonly faults?: readonly FaultRule[];
  /** Retries and timeouts, route by route where there are routes; absent = none. */
  readonly requests?: RequestRules;
}

/** A subject of traffic policy. */
export type PolicyPart = keyof EffectivePolicy;

/** Every source that may say something of a Service's traffic. */
export interface PolicySources {
  /** `namespace/name` of the Service; all its ports share its limits. */
  readonly key: string;
  readonly annotations: Annotations | undefined;
  /** What its annotation says of faults, judged when it was first seen (`FaultAnnotations`). */
  readonly faults?: ReadFaults | undefined;
  /** What its ServiceProfile says; with routes it replaces the annotations about requests. */
  readonly profile?: ReadRequests | undefined;
}

/** A policy, and how it came about. */
export interface ResolvedPolicy {
  readonly policy: EffectivePolicy;
  /** Where each part that is there was said: names of annotations, or `group/kind[/name]` of objects. */
  readonly origins: Readonly<Partial<Record<PolicyPart, readonly string[]>>>;
  /** Settings that do not hold, each with the reason and with what is done instead. */
  readonly refused: readonly { readonly part: PolicyPart; readonly problem: string }[];
}

/** The result for one subject. */
interface ResolvedPart<T> {
  readonly value: T | undefined;
  readonly from: readonly string[];
  readonly problems: readonly string[];
}

const PARTS: {
  readonly [P in PolicyPart]: (sources: PolicySources) => ResolvedPart<EffectivePolicy[P]>;
} = {
  accrual: (sources) => annotated(sources, readAccrual),
  limits: (sources) => {
    const own = annotated(sources, (reader) => readRateLimits(reader, sources.key));
    return { ...own, value: own.value && [own.value] };
  },
  faults: ({ faults }) => ({
    value: faults === undefined || faults.rules.length === 0 ? undefined : faults.rules,
    from: [FAULTS],
    problems: faults?.problems ?? [],
  }),
  requests: (sources) => {
    const own = annotated(sources, readRequestAnnotations);
    const routes = sources.profile?.requests;
    const problems = [...own.problems, ...(sources.profile?.problems ?? [])];
    return routes === undefined ? { ...own, problems } : { value: routes, from: [SERVICE_PROFILE], problems };
  },
};
const SERVICE_PROFILE = `${PROFILE_GROUP}/serviceprofile`;

/** Every subject. */
export const POLICY_PARTS = Object.keys(PARTS) as readonly PolicyPart[];

function annotated<T>(
  { annotations }: PolicySources,
  read: (reader: AnnotationReader) => T | undefined,
): ResolvedPart<T> {
  const reader = new AnnotationReader(annotations);
  return { value: read(reader), from: reader.used, problems: reader.problems };
}

/**
 * Works out the policy for a Service's traffic from all sources. Pure: the same sources give the same policy.
 * @param parts the subjects that the caller follows; problems are reported in their order. An egress balances
 * over gateways only, so it follows `requests` alone
 */
export function effectivePolicy(
  sources: PolicySources,
  parts: readonly PolicyPart[] = POLICY_PARTS,
): ResolvedPolicy {
  const resolved = parts.map((part) => ({ part, ...PARTS[part](sources) }));
  const there = resolved.filter(({ value }) => value !== undefined);
  return {
    policy: Object.fromEntries(there.map(({ part, value }) => [part, value])),
    origins: Object.fromEntries(there.map(({ part, from }) => [part, from])),
    refused: resolved.flatMap(({ part, problems }) => problems.map((problem) => ({ part, problem }))),
  };
}

/**
 * A policy with the limits of Linkerd's HTTPLocalRateLimitPolicies behind its own. They come later than the
 * rest, since which Servers stand before a Service is known of its endpoints; each says itself where it is
 * from (`RateLimits.policy`).
 */
export function withServerLimits(policy: EffectivePolicy, ofServers: readonly RateLimits[]): EffectivePolicy {
  return ofServers.length === 0 ? policy : { ...policy, limits: [...(policy.limits ?? []), ...ofServers] };
}

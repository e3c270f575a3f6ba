import { readAnnotation } from '../../api/annotations.ts';
import { FAILOVER_POLICY } from '../../api/failover/failover-names.ts';
import { NotValid } from '../../api/routing/read-value.ts';
import {
  type BackendRef,
  grpcRules,
  httpRules,
  type ParentRef,
  serviceParents,
} from '../../api/routing/route-spec.ts';
import type { Route } from '../../api/routing/routing-kinds.ts';
import { RegexError } from '../../base/regex-syntax.ts';
import { readFailoverPolicy } from '../failover/failover-policy-text.ts';
import type { RequestRules } from '../requests/request-rules.ts';
import { backendFilters, routeFilters } from './route-filters.ts';
import {
  ANY_GRPC,
  ANY_HTTP,
  type CompileBudget,
  grpcMatch,
  httpMatch,
  type RankedMatch,
} from './route-matches.ts';
import { annotatedRequests, ruleRequests } from './route-requests.ts';
import type { BackendFilters, RouteFilters, RuleFailover } from './routing.ts';
import { writtenFailover } from './written-failover.ts';

export type RouteKind = 'HTTPRoute' | 'GRPCRoute';

/** A backend as it is named, and its own filters. */
export interface ReadBackend {
  readonly ref: BackendRef;
  readonly filters?: BackendFilters;
}

/** A rule of a route, with backends as they are named. */
export interface ReadRule {
  readonly matches: readonly RankedMatch[];
  readonly filters?: RouteFilters;
  readonly requests?: RequestRules;
  /** Empty: the Service that the route is for. */
  readonly backends: readonly ReadBackend[];
}

/** A route as far as it can be read by itself. */
export interface ReadRoute {
  readonly kind: RouteKind;
  readonly group: string;
  readonly namespace: string;
  readonly name: string;
  /** When it was made, milliseconds since the epoch: of two, the older one comes first. */
  readonly created: number;
  readonly parents: readonly ParentRef[];
  /** Empty where `problem` is there. */
  readonly rules: readonly ReadRule[];
  readonly failUnavailable: boolean;
  /** What it says of failover among the backends of each of its rules. */
  readonly failover?: RuleFailover;
  /** Why it is not accepted, whatever its parents are. */
  readonly problem?: string;
  /** What its regular expressions have cost to be read, in steps (`LinearRegex.size`). */
  readonly effort: number;
  /** What is wrong with its annotations, one line each; the route holds without them. */
  readonly notes: readonly string[];
}

/** Most matches of one route: each may be compared with every request. */
const MAX_MATCHES = 256;
/** What the expressions of one route may cost, in steps: some ten large ones, or two hundred usual ones. */
const MAX_EFFORT = 20_000;

/** Reads a route. Pure, and never throws for what is written in it. */
export function readRoute(kind: RouteKind, group: string, route: Route): ReadRoute {
  const { namespace = '', name = '', creationTimestamp, annotations } = route.metadata ?? {};
  const { requests, problems } = annotatedRequests(annotations);
  const said = writtenFailover(route);
  const failover = readFailoverPolicy(readAnnotation(annotations, FAILOVER_POLICY));
  const shared = {
    kind,
    group,
    namespace,
    name,
    created: creationTimestamp === undefined ? 0 : new Date(creationTimestamp).getTime() || 0,
    parents: serviceParents(route.spec, namespace),
    failUnavailable: failover.policy.onUnavailable === 'fail',
    ...(said === undefined ? {} : { failover: said }),
    notes: [...problems, ...failover.problems],
  };
  const budget = { left: MAX_EFFORT };
  const effort = () => MAX_EFFORT - Math.max(0, budget.left);
  try {
    const read = kind === 'GRPCRoute' ? grpcReadRules : httpReadRules;
    const rules = read(route, requests, budget);
    const matches = rules.reduce((sum, rule) => sum + rule.matches.length, 0);
    if (matches > MAX_MATCHES) throw new NotValid(`${matches} matches are too many (${MAX_MATCHES})`);
    return { ...shared, rules, effort: effort() };
  } catch (error) {
    if (error instanceof NotValid || error instanceof RegexError)
      return { ...shared, rules: [], problem: error.message, effort: effort() };
    throw error;
  }
}

function httpReadRules(
  { spec }: Route,
  annotated: RequestRules | undefined,
  budget: CompileBudget,
): ReadRule[] {
  return httpRules(spec).map(({ matches, filters, backendRefs, timeouts, retry }) =>
    readRule(
      { filters: routeFilters(filters), backendRefs, requests: ruleRequests(annotated, timeouts, retry) },
      matches?.length ? matches.map((one) => httpMatch(one, budget)) : [ANY_HTTP],
    ),
  );
}

function grpcReadRules(
  { spec }: Route,
  requests: RequestRules | undefined,
  budget: CompileBudget,
): ReadRule[] {
  return grpcRules(spec).map(({ matches, filters, backendRefs }) => {
    const found = routeFilters(filters);
    if (found?.redirect !== undefined || found?.rewrite !== undefined)
      throw new NotValid('a GRPCRoute can change headers only');
    return readRule(
      { filters: found, backendRefs, requests },
      matches?.length ? matches.map((one) => grpcMatch(one, budget)) : [ANY_GRPC],
    );
  });
}

function readRule(
  rule: {
    readonly filters: RouteFilters | undefined;
    readonly backendRefs?: readonly BackendRef[] | null | undefined;
    readonly requests: RequestRules | undefined;
  },
  matches: readonly RankedMatch[],
): ReadRule {
  const { filters, backendRefs, requests } = rule;
  const paths = [filters?.redirect?.path, filters?.rewrite?.path];
  if (
    paths.some((path) => path?.kind === 'prefix') &&
    matches.some(({ match: { path } }) => path !== undefined && path.kind !== 'prefix')
  )
    throw new NotValid('ReplacePrefixMatch needs matches of type PathPrefix');
  return {
    matches,
    ...(filters === undefined ? {} : { filters }),
    ...(requests === undefined ? {} : { requests }),
    backends: (backendRefs ?? []).map((ref) => {
      const own = backendFilters(ref.filters);
      return { ref, ...(own === undefined ? {} : { filters: own }) };
    }),
  };
}

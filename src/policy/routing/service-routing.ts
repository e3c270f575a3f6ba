import { PROFILE_GROUP } from '../../api/linkerd/linkerd-kinds.ts';
import { GATEWAY_API_GROUP } from '../../api/routing/routing-kinds.ts';
import type { DstOverride } from '../../api/routing/dst-overrides.ts';
import type { ParentRef } from '../../api/routing/route-spec.ts';
import type { ReadSplit } from '../../api/routing/traffic-split.ts';
import type { ReadRoute } from './read-route.ts';
import type { FailoverTexts } from '../../api/mirror/failover-texts.ts';
import { readFailoverPolicy } from '../failover/failover-policy-text.ts';
import { readTiers } from '../failover/tiers.ts';
import { type BackendFacts, type RefReason, routeBackends, weightIn } from './route-backends.ts';
import type { RankedMatch } from './route-matches.ts';
import {
  ANY_REQUEST,
  type RouteBackend,
  type Routing,
  type RoutingRule,
  type RuleFailover,
} from './routing.ts';

/** A TrafficSplit that is for the Service. */
export interface NamedSplit extends ReadSplit {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** As `RoutingRule.failUnavailable`. */
  readonly failUnavailable?: boolean;
  /** What it says of failover among its backends. */
  readonly failover?: RuleFailover;
}

/** What the ServiceProfile of the Service says of where requests go. */
export interface ProfileRouting {
  readonly overrides: readonly DstOverride[];
  /** Whether it has routes, which come before HTTPRoutes even where it has no overrides. */
  readonly hasRoutes: boolean;
}

/** Everything that may say how the requests for one port of a Service are routed. */
export interface RoutingFacts extends BackendFacts {
  readonly port: number;
  /** Name of the port, if it has one. */
  readonly portName?: string | undefined;
  readonly profile?: ProfileRouting | undefined;
  /**
   * How many backends the routes that count may name; default `MAX_REFERENCES`. Whoever decides for several
   * ports of a Service takes off what others have used.
   */
  readonly references?: number;
  /** Routes that have the Service among their parents. */
  readonly routes: readonly ReadRoute[];
  readonly splits: readonly NamedSplit[];
  /**
   * What the Service itself says of failover, where that is followed; undefined: weights alone decide. Its
   * tiers are backends by themselves where nothing else says where requests go.
   */
  readonly failover?: FailoverTexts | undefined;
  /** `profile`: HTTPRoutes and GRPCRoutes do not count, as with Linkerd's gateway. */
  readonly follow: 'all' | 'profile';
  /**
   * Namespace of the clients, whose own routes for Services of other namespaces count for them (consumer
   * routes, GEP-1324); undefined: they are of another cluster, and only routes of the Service's own namespace
   * count.
   */
  readonly clientNamespace?: string | undefined;
}

/** Reasons for the condition `Accepted`; `Overridden` is ours. */
export type AcceptedReason =
  | 'Accepted'
  | 'NoMatchingParent'
  | 'UnsupportedValue'
  | 'Conflicted'
  | 'Overridden';

/** What is said of a route and one of its parents. */
export interface RouteVerdict {
  readonly route: ReadRoute;
  readonly parent: ParentRef;
  readonly accepted: { readonly reason: AcceptedReason; readonly message: string };
  readonly resolved: { readonly reason: RefReason; readonly message: string };
}

export interface ServiceRouting {
  /** Absent: requests go to the Service itself. */
  readonly routing?: Routing;
  /** In no particular order: one for each route that counts here, and parent of it that is this port. */
  readonly verdicts: readonly RouteVerdict[];
  /** How many backends the routes that count name. */
  readonly references: number;
}

/**
 * Most backends that routes name for all ports of a Service: each is looked up and kept ready, on each port,
 * and a hundred ports of 32 routes of 256 backends would be 800,000.
 */
export const MAX_REFERENCES = 1024;
/** Most matches over all routes of a port. */
const MAX_ENTRIES = 512;
const RESOLVED = { reason: 'ResolvedRefs', message: '' } as const;

/**
 * Decides how the requests for one port of a Service are routed. Of several sources one holds, in Linkerd's
 * order: a ServiceProfile with routes or overrides, HTTPRoutes and GRPCRoutes, a TrafficSplit. Pure; the
 * order of routes and splits in the facts means nothing.
 */
export function serviceRouting(facts: RoutingFacts): ServiceRouting {
  const attached = facts.follow === 'all' ? attachedRoutes(facts) : [];
  const { profile } = facts;
  if (profile !== undefined && (profile.hasRoutes || profile.overrides.length > 0)) {
    const verdicts = attached.map((one) => overridden(one, facts));
    return { ...overrideRouting(profile.overrides, facts), verdicts, references: 0 };
  }
  const { judged, references } = attached.length === 0 ? NOTHING_JUDGED : judge(attached, facts);
  const accepted = judged.filter(({ verdict }) => verdict.accepted.reason === 'Accepted');
  const verdicts = judged.map(({ verdict }) => verdict);
  if (accepted.length > 0) return { routing: routesRouting(accepted), verdicts, references };
  return { ...splitRouting(facts), verdicts, references };
}

// --- overrides and splits

/** Weights of 0 get nothing; where all are 0, requests go to the Service itself, as with Linkerd. */
function weighted(
  name: string,
  backends: readonly RouteBackend[],
  { failUnavailable = false, failover }: Pick<NamedSplit, 'failUnavailable' | 'failover'> = {},
): { readonly routing?: Routing } {
  const some = backends.filter(({ weight }) => weight > 0);
  if (some.length === 0) return {};
  const more = { ...(failUnavailable ? { failUnavailable } : {}), ...(failover && { failover }) };
  const rules = [{ name, backends: some, ...more }];
  return { routing: { rules, entries: [{ match: ANY_REQUEST, rule: 0 }], raw: 0 } };
}

/**
 * Overrides may name Services of other namespaces. These are followed where a ReferenceGrant allows it, as
 * for routes: else whoever may write a profile could lead other clusters' clients to any Service here.
 */
function overrideRouting(
  overrides: readonly DstOverride[],
  facts: RoutingFacts,
): { readonly routing?: Routing } {
  const { namespace, service } = facts;
  const from = { group: PROFILE_GROUP, kind: 'ServiceProfile', namespace };
  const backends = overrides.map((one): RouteBackend => {
    const at = { namespace: one.namespace, service: one.service, port: one.port ?? facts.port };
    const foreign =
      one.namespace !== namespace && !facts.granted(from, { namespace: one.namespace, name: one.service });
    const invalid = `no ReferenceGrant lets the ServiceProfile refer to ${one.namespace}/${one.service}`;
    return { ...at, weight: one.weight, ...(foreign ? { invalid } : {}) };
  });
  return weighted(`ServiceProfile of ${namespace}/${service}`, backends, followed({}, facts));
}

/** A Service that is missing is one that cannot be used: the others get its part. */
function splitRouting(facts: RoutingFacts): { readonly routing?: Routing } {
  const { splits, namespace, port } = facts;
  const [first] = splits.toSorted((a, b) => a.created - b.created || compareText(a.name, b.name));
  if (first === undefined) return tierRouting(facts);
  const said = followed(first, facts);
  const backends = first.backends.map(({ service, weight }) => ({
    namespace,
    service,
    port,
    weight: weightIn(said.failover, weight),
  }));
  return weighted(`TrafficSplit ${namespace}/${first.name}`, backends, said);
}

/** The Services that the tiers of the Service itself name, of its own namespace and port. */
function tierRouting(facts: RoutingFacts): { readonly routing?: Routing } {
  const { failover, namespace, service, port } = facts;
  const { tiers } = readTiers(failover?.tiers);
  const names = (tiers?.tiers ?? []).flat().map(({ name }) => name);
  const backends = names.map((name) => ({ namespace, service: name, port, weight: 1 }));
  return weighted(`tiers of ${namespace}/${service}`, backends, followed({}, facts));
}

/** What holds of failover for a source of rules: what it says itself, else what the Service does. */
function followed(
  said: Pick<NamedSplit, 'failUnavailable' | 'failover'>,
  { failover: own }: RoutingFacts,
): Pick<NamedSplit, 'failUnavailable' | 'failover'> {
  const { failUnavailable = false } = said;
  if (own === undefined) return { failUnavailable };
  const { tiers, policy } = own;
  const failover: RuleFailover = {
    ...(tiers === undefined ? {} : { tiers }),
    ...(policy === undefined ? {} : { policy }),
    ...said.failover,
  };
  if (Object.keys(failover).length === 0) return { failUnavailable };
  const { onUnavailable } = readFailoverPolicy(failover.policy).policy;
  return { failUnavailable: failUnavailable || onUnavailable === 'fail', failover };
}

// --- routes

/** A route, and one of its parents that is the port. */
interface Attached {
  readonly route: ReadRoute;
  readonly parent: ParentRef;
}

/** A verdict, and the rules with their matches in the route's order. */
interface Judged {
  readonly verdict: RouteVerdict;
  readonly rules: readonly { readonly rule: RoutingRule; readonly matches: readonly RankedMatch[] }[];
}

function attachedRoutes({
  routes,
  namespace,
  service,
  port,
  portName,
  clientNamespace,
}: RoutingFacts): readonly Attached[] {
  const own = routes.filter((route) => route.namespace === (clientNamespace ?? namespace));
  // Clients' own routes come before those of the Service's owner, which then do not count for them.
  const consumers = own.filter((route) => route.namespace !== namespace);
  const counted =
    clientNamespace === undefined || consumers.length > 0
      ? own
      : routes.filter((route) => route.namespace === namespace);
  return counted.flatMap((route) =>
    route.parents
      .filter(
        (parent) =>
          parent.namespace === namespace &&
          parent.name === service &&
          (parent.port === undefined || parent.port === port) &&
          (parent.sectionName === undefined || parent.sectionName === portName),
      )
      .map((parent) => ({ route, parent })),
  );
}

function overridden({ route, parent }: Attached, { namespace, service }: RoutingFacts): RouteVerdict {
  const message = `the ServiceProfile of ${namespace}/${service} comes before routes`;
  return { route, parent, accepted: { reason: 'Overridden', message }, resolved: RESOLVED };
}

const NOTHING_JUDGED = { judged: [], references: 0 } as const;

/** The oldest first; of one age by name, then by kind and group. */
function judge(
  attached: readonly Attached[],
  facts: RoutingFacts,
): { readonly judged: readonly Judged[]; readonly references: number } {
  const ordered = attached.toSorted(
    ({ route: a }, { route: b }) =>
      a.created - b.created ||
      compareText(`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`) ||
      compareText(a.group, b.group) ||
      compareText(a.kind, b.kind),
  );
  // A Service has routes of one kind: GRPCRoutes come before HTTPRoutes (GEP-1426).
  const grpc = ordered.some(({ route }) => route.kind === 'GRPCRoute' && route.problem === undefined);
  const { references: most = MAX_REFERENCES } = facts;
  let references = 0;
  let entries = 0;
  const seen = new Set<ReadRoute>();
  const judged = ordered.map(({ route, parent }): Judged => {
    const named = route.rules.reduce((sum, { backends }) => sum + backends.length, 0);
    if (references + named > most) {
      const message = `the routes of the Service name more than ${MAX_REFERENCES} backends on all of its ports`;
      const accepted = { reason: 'UnsupportedValue', message } as const;
      return { verdict: { route, parent, accepted, resolved: RESOLVED }, rules: [] };
    }
    references += named;
    const { rules, resolved } = resolveRules(route, parent, facts);
    const verdict = (reason: AcceptedReason, message: string): Judged => ({
      verdict: { route, parent, accepted: { reason, message }, resolved },
      // A route that names the Service twice (with and without the port) counts once.
      rules: reason === 'Accepted' && !seen.has(route) ? rules : [],
    });
    if (route.problem !== undefined) return verdict('UnsupportedValue', route.problem);
    if (grpc && route.kind === 'HTTPRoute')
      return verdict('Conflicted', 'a GRPCRoute is for the same Service and comes before HTTPRoutes');
    const own = rules.reduce((sum, { matches }) => sum + matches.length, 0);
    if (entries + own > MAX_ENTRIES)
      return verdict('UnsupportedValue', `the routes of the Service have more than ${MAX_ENTRIES} matches`);
    entries += own;
    const accepted = verdict('Accepted', '');
    seen.add(route);
    return accepted;
  });
  return { judged, references };
}

function resolveRules(
  route: ReadRoute,
  parent: ParentRef,
  facts: RoutingFacts,
): Pick<Judged, 'rules'> & Pick<RouteVerdict, 'resolved'> {
  let resolved: RouteVerdict['resolved'] = RESOLVED;
  const kind = route.group === GATEWAY_API_GROUP ? route.kind : `${route.kind}.${route.group}`;
  const said = followed(route, facts);
  const rules = route.rules.map(({ matches, filters, requests, backends: named }, index) => {
    const { backends, problems } = routeBackends(route, named, facts, said.failover);
    const [problem] = problems;
    if (problem !== undefined && resolved === RESOLVED) resolved = problem;
    // A rule without backends is for the Service itself (GEP-1426).
    const own = { namespace: parent.namespace, service: parent.name, port: facts.port, weight: 1 };
    const rule: RoutingRule = {
      name: `${kind} ${route.namespace}/${route.name} rule ${index + 1}`,
      ...(filters === undefined ? {} : { filters }),
      backends: named.length === 0 ? [own] : backends,
      ...(requests === undefined ? {} : { requests }),
      ...(said.failUnavailable === true ? { failUnavailable: true } : {}),
      ...(said.failover === undefined ? {} : { failover: said.failover }),
    };
    return { rule, matches };
  });
  return { rules, resolved };
}

/** @param accepted in the order of their age, which decides among equal matches */
function routesRouting(accepted: readonly Judged[]): Routing {
  const rules = accepted.flatMap((one) => one.rules);
  const entries = rules
    .flatMap(({ matches }, rule) => matches.map(({ match, rank }) => ({ match, rank, rule })))
    // A stable sort: equal ones stay in the order of route, rule and match.
    .toSorted((a, b) => compareRanks(a.rank, b.rank))
    .map(({ match, rule }) => ({ match, rule }));
  return { rules: rules.map(({ rule }) => rule), entries };
}

/** The greater rank first. */
function compareRanks(a: RankedMatch['rank'], b: RankedMatch['rank']): number {
  for (const [index, value] of a.entries()) {
    const other = b[index] ?? 0;
    if (value !== other) return other - value;
  }
  return 0;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

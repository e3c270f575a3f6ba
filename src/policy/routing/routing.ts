import type { RequestRules } from '../requests/request-rules.ts';

/** A value that is compared as a whole, or must match an expression as a whole (`linearRegex`). */
export type TextMatch =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'regex'; readonly regex: string };

/** A request's path, without its query. A prefix is of whole segments: `/a` matches `/a` and `/a/b`. */
export type PathMatch = TextMatch | { readonly kind: 'prefix'; readonly value: string };

/** A named value: of a header (name in lower case), or of a query parameter. */
export interface NamedMatch {
  readonly name: string;
  readonly value: TextMatch;
}

/** What a request must be to meet a rule: every part that is there must hold. */
export interface RouteMatch {
  readonly path?: PathMatch;
  readonly method?: string;
  readonly headers: readonly NamedMatch[];
  readonly query: readonly NamedMatch[];
}

/** Header names are in lower case. `set` replaces, `add` appends. */
export interface HeaderChange {
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly add: readonly (readonly [name: string, value: string])[];
  readonly remove: readonly string[];
}

/** `full`: the whole path; `prefix`: only the part that the rule's prefix match has matched. */
export interface PathChange {
  readonly kind: 'full' | 'prefix';
  readonly value: string;
}

/** A response that sends the client elsewhere; what is absent stays as it was asked for. */
export interface Redirect {
  readonly scheme?: 'http' | 'https';
  readonly hostname?: string;
  readonly port?: number;
  readonly path?: PathChange;
  readonly status: number;
}

/** What is changed of the request's target. */
export interface Rewrite {
  readonly hostname?: string;
  readonly path?: PathChange;
}

export interface RouteFilters {
  readonly requestHeaders?: HeaderChange;
  readonly responseHeaders?: HeaderChange;
  /** Requests are answered, and go to no backend. */
  readonly redirect?: Redirect;
  readonly rewrite?: Rewrite;
}

/**
 * What is changed of the requests of one backend only, behind the filters of its rule, and of its responses.
 */
export type BackendFilters = Pick<RouteFilters, 'requestHeaders' | 'responseHeaders'>;

/** A port of a Service that gets a part of a rule's requests, in proportion to the weights of the others. */
export interface RouteBackend {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  /** Greater than 0. */
  readonly weight: number;
  readonly filters?: BackendFilters;
  /** Why its part of the requests is refused with status 500; absent: it is not. */
  readonly invalid?: string;
}

/** What is said of failover among the backends of a rule. */
export interface RuleFailover {
  /** `failover.linkspan.dev/tiers`, as it is written; names are those of Services. */
  readonly tiers?: string;
  /** `failover.linkspan.dev/policy`, as it is written. */
  readonly policy?: string;
  /**
   * Without tiers one backend serves before all others, and the weights mean nothing, as with
   * linkerd-failover: `primary`, else the first.
   */
  readonly managed?: { readonly primary?: string };
}

/** Whether backends have tiers, so that weights of 0 and 1 are no split. */
export function isTiered(failover: RuleFailover | undefined): boolean {
  return failover?.tiers !== undefined || failover?.managed !== undefined;
}

/** What is done with the requests that meet it. */
export interface RoutingRule {
  /** Such as `HTTPRoute demo/canary rule 2`; for messages. */
  readonly name: string;
  readonly filters?: RouteFilters;
  /** None: requests are refused with status 500, unless they are redirected. */
  readonly backends: readonly RouteBackend[];
  /** Retries and timeouts of its requests; absent: those of the Service. */
  readonly requests?: RequestRules;
  /**
   * Whether the part of a backend that cannot be used is refused with status 503; default: the others get it.
   */
  readonly failUnavailable?: boolean;
  /** Absent: the weights alone decide, or whoever follows the rule knows no failover. */
  readonly failover?: RuleFailover;
}

/** A match, and the rule that requests come to by it. */
export interface RoutingEntry {
  readonly match: RouteMatch;
  /** Index in `Routing.rules`. */
  readonly rule: number;
}

/** How requests for one port of a Service are routed. */
export interface Routing {
  readonly rules: readonly RoutingRule[];
  /** In the order of precedence: the first that matches decides. A request that none matches gets 404. */
  readonly entries: readonly RoutingEntry[];
  /** Index of the rule for raw connections; absent: they go to the Service itself. */
  readonly raw?: number;
}

/** Meets every request. */
export const ANY_REQUEST: RouteMatch = { headers: [], query: [] };

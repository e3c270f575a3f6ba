import { isReferenceTo } from '../../api/linkerd/linkerd-kinds.ts';
import type { BackendRef } from '../../api/routing/route-spec.ts';
import type { ReadBackend, ReadRoute } from './read-route.ts';
import type { RouteBackend, RuleFailover } from './routing.ts';

/** What is known of a port of a Service that something refers to. `unknown`: its cluster has not said yet. */
export type KnownPort = 'known' | 'unknown' | 'no service' | 'no port';

/** An object that refers to others, for ReferenceGrants. */
export interface Referrer {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}

/** What is asked about the Services that are referred to. */
export interface BackendFacts {
  /** The Service whose requests are routed. */
  readonly namespace: string;
  readonly service: string;
  knownPort(namespace: string, service: string, port: number): KnownPort;
  /** Whether a ReferenceGrant in the Service's namespace lets `from` refer to it. */
  granted(from: Referrer, service: { readonly namespace: string; readonly name: string }): boolean;
}

/** Reasons for the condition `ResolvedRefs` (Gateway API, RouteConditionReason). */
export type RefReason = 'ResolvedRefs' | 'RefNotPermitted' | 'InvalidKind' | 'BackendNotFound';

/** Why a reference cannot be followed. */
export interface RefProblem {
  readonly reason: Exclude<RefReason, 'ResolvedRefs'>;
  readonly message: string;
}

/**
 * The backends of a rule, with what is wrong with them. One whose reference is wrong keeps its part of the
 * requests, which is refused with 500 (HTTPBackendRef): requests that were meant for it must not go to others
 * in silence. One of weight 0 gets nothing.
 * @param failover what is said of failover among them, where that is followed
 */
export function routeBackends(
  route: ReadRoute,
  named: readonly ReadBackend[],
  facts: BackendFacts,
  failover?: RuleFailover,
): { readonly backends: readonly RouteBackend[]; readonly problems: readonly RefProblem[] } {
  const problems: RefProblem[] = [];
  const backends: RouteBackend[] = [];
  for (const { ref, filters } of named) {
    const found = resolve(route, ref, facts);
    if (found.problem !== undefined) problems.push(found.problem);
    const weight = weightIn(failover, ref.weight ?? 1);
    if (weight === 0) continue;
    const invalid = found.problem?.message;
    backends.push({
      ...found.at,
      weight,
      ...(filters === undefined ? {} : { filters }),
      ...(invalid === undefined ? {} : { invalid }),
    });
  }
  return { backends, problems };
}

type Place = Pick<RouteBackend, 'namespace' | 'service' | 'port'>;

/**
 * A backend's weight. Where weights are managed, they are what somebody's controller has last written for
 * sidecars, and every backend counts.
 */
export function weightIn(failover: RuleFailover | undefined, weight: number): number {
  return failover?.managed === undefined ? weight : 1;
}

function resolve(
  route: ReadRoute,
  ref: BackendRef,
  facts: BackendFacts,
): { readonly at: Place; readonly problem?: RefProblem } {
  const at = { namespace: ref.namespace ?? route.namespace, service: ref.name, port: ref.port ?? 0 };
  const problem = problemOf(route, ref, at, facts);
  return problem === undefined ? { at } : { at, problem };
}

function problemOf(
  route: ReadRoute,
  { group, kind }: BackendRef,
  { namespace, service, port }: Place,
  facts: BackendFacts,
): RefProblem | undefined {
  const name = `${namespace}/${service}`;
  if (!isReferenceTo({ group: group ?? '', kind: kind ?? 'Service' }, '', 'Service'))
    return { reason: 'InvalidKind', message: `backends of kind ${kind ?? 'Service'} are not followed` };
  // Before anything is said of the Service: what another namespace has is none of the route's business. But a
  // consumer route leads nobody anywhere by naming the Service that was asked for (GEP-1294).
  const isAsked = namespace === facts.namespace && service === facts.service;
  if (namespace !== route.namespace && !isAsked && !facts.granted(route, { namespace, name: service }))
    return { reason: 'RefNotPermitted', message: `no ReferenceGrant lets it refer to the Service ${name}` };
  if (port === 0)
    return { reason: 'BackendNotFound', message: `the reference to the Service ${name} has no port` };
  switch (facts.knownPort(namespace, service, port)) {
    case 'no service':
      return { reason: 'BackendNotFound', message: `there is no Service ${name}` };
    case 'no port':
      return { reason: 'BackendNotFound', message: `the Service ${name} has no port ${port}` };
    default:
      return undefined;
  }
}

import type { RoutingRule } from '../../policy/routing/routing.ts';
import type { BackendDraw } from '../group/group-backend.ts';
import type { TargetGroup } from '../group/target-group.ts';
import type { OutgoingRequest, Permit, UpstreamHandler } from '../http/messages.ts';
import { ChangedResponse } from './handlers.ts';
import { InvalidLeaf, type Leaf } from './leaf-target.ts';
import { changedRequest } from './request-changes.ts';
import type { RuleDivision } from './rule-division.ts';
import type { RoutedTo } from './routing-table.ts';

/** A rule, and what its requests are drawn among. */
export interface Route {
  readonly rule: RoutingRule;
  readonly group: TargetGroup;
  /** By the name that they have in the group. */
  readonly leaves: ReadonlyMap<string, Leaf>;
  /** What the rule says of each, by the same names. */
  readonly weights: ReadonlyMap<string, number>;
  /**
   * What clients' permits call those that have another name in the group: a Service may be there more than
   * once, with other filters.
   */
  readonly called: ReadonlyMap<string, string>;
  /** What must be asked before a backend is used; undefined: nothing. */
  readonly check: Permit | undefined;
}

/** `called` may have names among it that are the same. */
export function newRoute(
  rule: RoutingRule,
  group: TargetGroup,
  { leaves, weights, called }: Pick<Route, 'leaves' | 'weights' | 'called'>,
): Route {
  const all = [...leaves];
  const checked = rule.failUnavailable === true || all.some(([, leaf]) => leaf instanceof InvalidLeaf);
  const check: Permit = (name) => leaves.get(name)?.unavailable;
  const others = new Map([...called].filter(([name, known]) => name !== known));
  return { rule, group, leaves, weights, called: others, check: checked ? check : undefined };
}

/**
 * The name of a backend among those of its rule, with a number if another is called so.
 * @param called what it is called
 */
export function nameFor(leaf: Leaf, others: ReadonlyMap<string, Leaf>, called: string): string {
  for (let count = 1; ; count++) {
    const name = count === 1 ? called : `${called} (${count})`;
    const other = others.get(name);
    if (other === undefined || other === leaf) return name;
    if (leaf instanceof InvalidLeaf && other instanceof InvalidLeaf) return name;
  }
}

/**
 * How backends of a rule are drawn, by their names in its group: what stands there more than once has one
 * draw, which is divided by weight, or equally where no weight is written. Pure.
 */
export function drawsOf(
  { leaves, weights, called }: Pick<Route, 'leaves' | 'weights' | 'called'>,
  { draws, countsInvalid }: Pick<RuleDivision, 'draws' | 'countsInvalid'>,
): ReadonlyMap<string, BackendDraw> {
  // Most rules name each Service once.
  if (called.size === 0) return draws;
  const counted = [...leaves].filter(([, leaf]) => countsInvalid || !(leaf instanceof InvalidLeaf));
  const alike = Map.groupBy(
    counted.map(([name]) => name),
    (name) => called.get(name) ?? name,
  );
  const found = new Map<string, BackendDraw>();
  for (const [known, names] of alike) {
    const draw = draws.get(known);
    if (draw === undefined) continue;
    const all = names.reduce((sum, name) => sum + (weights.get(name) ?? 0), 0);
    for (const name of names) {
      const part = all === 0 ? 1 / names.length : (weights.get(name) ?? 0) / all;
      if (part > 0) found.set(name, { ...draw, share: draw.share * part, weight: draw.weight * part });
    }
  }
  return found;
}

/** Whether a rule's requests are answered here: redirected, or refused as it has no backend. */
export function isAnswered({ filters, backends }: RoutingRule): boolean {
  return backends.length === 0 || filters?.redirect !== undefined;
}

/** The request as it goes to a backend of its rule. */
export function outgoing(request: OutgoingRequest, to: RoutedTo, route: Route): OutgoingRequest {
  const { filters } = route.rule;
  const changed = filters === undefined ? request : changedRequest(request, filters, to.prefix);
  const permit = permitOf(route, request.permit);
  return permit === request.permit ? changed : { ...changed, permit };
}

/** Whoever hears of the response of a request. */
export function responding(handler: UpstreamHandler, { rule }: Route): UpstreamHandler {
  const change = rule.filters?.responseHeaders;
  return change === undefined ? handler : new ChangedResponse(handler, change);
}

/**
 * What is asked before a backend of a rule is used, by its name there. Whether the client may use it comes
 * first: who may not is told nothing else of it.
 * @param client by what a backend is called: its label, if `RoutedRules.nameOf` says nothing else
 */
export function permitOf({ called, check }: Route, client: Permit | undefined): Permit | undefined {
  if (client === undefined || (check === undefined && called.size === 0)) return client ?? check;
  return (name) => client(called.get(name) ?? name) ?? check?.(name);
}

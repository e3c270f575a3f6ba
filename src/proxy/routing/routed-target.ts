import { isDeepStrictEqual } from 'node:util';
import type { PortProtocol } from '../../api/ports/port-protocol.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import type { RouteBackend, Routing, RoutingRule } from '../../policy/routing/routing.ts';
import type { RequestFilter } from '../filters/request-filter.ts';
import { TargetGroup, type TargetGroupOptions } from '../group/target-group.ts';
import { ProxyFailure } from '../http/failures.ts';
import { type Field, makeField } from '../http/fields.ts';
import {
  NO_BODY,
  type OutgoingRequest,
  type Permit,
  type Upstream,
  type UpstreamHandler,
} from '../http/messages.ts';
import type { ConnectionLease, LeaseProtocol } from '../upstream/connection-lease.ts';
import type { LeasedRequest, LeaseRequest, SessionTarget } from '../upstream/session-target.ts';
import type { Target } from '../upstream/target.ts';
import { AnsweredHere } from './handlers.ts';
import { InvalidLeaf, type Leaf, type LeafBackend, LeafTarget } from './leaf-target.ts';
import { changedFields, leaseChanges, locationOf } from './request-changes.ts';
import {
  drawsOf,
  isAnswered,
  nameFor,
  newRoute,
  outgoing,
  permitOf,
  responding,
  type Route,
} from './rule-route.ts';
import { RouteFinder } from './route-finder.ts';
import type { RuleDivision } from './rule-division.ts';
import type { RoutedTo } from './routing-table.ts';

/** How backends of one rule are drawn, but for their shares. */
const IN_ONE_TIER = { order: 0, weight: 1, tier: 0 } as const;

export interface RoutedTargetOptions extends TargetGroupOptions {
  /** `name:port`, for messages and metrics. */
  readonly label: string;
}

/** How the requests for a Service are routed, with what is needed to do it. */
export interface RoutedRules {
  readonly routing: Routing;
  /** Retries and timeouts of requests by rules that say nothing of them; absent: none. */
  readonly requests?: RequestRules | undefined;
  /** The target of a backend, which has no retries of its own; the same one for the same backend. */
  readonly target: (backend: RouteBackend) => LeafBackend;
  /** What a backend of a rule is called, uniquely in the rule; default: the label of its target. */
  readonly nameOf?: ((rule: RoutingRule, backend: RouteBackend) => string) | undefined;
  /** Whether backends have other targets than before, though the rules may be the same; default false. */
  readonly again?: boolean;
}

/** What a connection was leased for, that a client keeps for its own. */
interface LeasedFor {
  readonly to: RoutedTo;
  readonly name: string;
}

/** Where the backends of rules come from. */
interface LeafSource extends Pick<RoutedRules, 'target' | 'nameOf'> {
  /** Those that are used are noted here. */
  readonly used: Set<string>;
}

/**
 * A Service with routes: each request goes by the rule that it meets to one of the rule's backends, drawn by
 * weight. Raw connections go to the Service itself, or by the split.
 */
export class RoutedTarget implements SessionTarget {
  readonly label: string;
  /** HTTP/1 requests are always parsed, so that filters can change them. */
  readonly translates = true;
  readonly #options: TargetGroupOptions;
  readonly #own: Target;
  readonly #groups = new Map<string, TargetGroup>();
  readonly #leaves = new Map<string, { readonly target: LeafBackend; readonly leaf: LeafTarget }>();
  /** By connection. */
  readonly #leased = new WeakMap<object, LeasedFor>();
  readonly #finder: RouteFinder;
  #followed: unknown;
  #routes: readonly Route[] = [];
  #raw: Route | undefined;

  /** @param own the Service itself */
  constructor(options: RoutedTargetOptions, own: Target) {
    this.label = options.label;
    this.#options = options;
    this.#own = own;
    this.#finder = new RouteFinder(options.label, options.clock);
  }

  get protocol(): PortProtocol | undefined {
    return this.#own.protocol;
  }

  get filter(): RequestFilter | undefined {
    return this.#own.filter;
  }

  /** Takes in the rules as they are now. What a rule knows of its backends is kept while it has its name. */
  update({ routing, requests, target, nameOf, again }: RoutedRules): void {
    // A backend's endpoints change often, and then the rules are the same.
    if (again !== true && isDeepStrictEqual([routing, requests], this.#followed)) return;
    this.#followed = [routing, requests];
    const used = new Set<string>();
    this.#finder.update(routing);
    const to = { target, nameOf, used };
    this.#routes = routing.rules.map((rule) => this.#route(rule, rule.requests ?? requests, to));
    this.#raw = routing.raw === undefined ? undefined : this.#routes[routing.raw];
    const names = new Set(routing.rules.map(({ name }) => name));
    for (const name of this.#groups.keys()) if (!names.has(name)) this.#groups.delete(name);
    for (const key of this.#leaves.keys()) if (!used.has(key)) this.#leaves.delete(key);
  }

  /**
   * Takes in how the requests of each rule are divided from now on; until then, and after each `update` that
   * changes the rules, it is by the weights of the backends.
   * @param divisionOf undefined: by weight
   */
  divide(divisionOf: (rule: RoutingRule) => RuleDivision | undefined): void {
    for (const route of this.#routes) {
      const division = divisionOf(route.rule);
      if (division !== undefined) route.group.divide(drawsOf(route, division), division.refused);
    }
  }

  caught(error: unknown): ProxyFailure {
    return this.#own.caught(error);
  }

  openNow(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    now?: number,
  ): Upstream | undefined {
    const to = this.#finder.peek(request);
    const route = to === undefined ? undefined : this.#routes[to.rule];
    // Whatever is answered here is answered by `open`.
    if (to === undefined || route === undefined || isAnswered(route.rule)) return undefined;
    const { group } = route;
    return group.openNow(protocol, outgoing(request, to, route), responding(handler, route), now);
  }

  open(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    fresh = false,
  ): Promise<Upstream> {
    try {
      const to = this.#finder.find(request);
      const route = this.#routeOf(to);
      const { redirect } = route.rule.filters ?? {};
      if (redirect !== undefined)
        return Promise.resolve(this.#redirect(request, handler, { to, route, redirect }));
      this.#assertBackends(route);
      return route.group.open(protocol, outgoing(request, to, route), responding(handler, route), fresh);
    } catch (error) {
      return Promise.reject(this.caught(error));
    }
  }

  /**
   * A connection for a request that takes it (an upgrade), or that signs in on it, goes by the rule that the
   * request meets, with what the rule's filters change.
   */
  async lease(
    fresh: boolean,
    protocol: LeaseProtocol = 'http1',
    client?: Field,
    asked: LeaseRequest = {},
  ): Promise<ConnectionLease> {
    const to = asked.request === undefined ? undefined : this.#finder.find(asked.request);
    const route = to === undefined ? this.#raw : this.#routeOf(to);
    if (route === undefined) return this.#own.lease(fresh, protocol, client, asked);
    this.#assertBackends(route);
    const may = permitOf(route, asked.permit);
    // The last one that was asked about is the one that was taken.
    let name = '';
    const permit: Permit = (backend) => {
      name = backend;
      return may?.(backend);
    };
    const lease = await route.group.lease(fresh, protocol, client, { ...asked, permit });
    if (to === undefined) return lease;
    this.#leased.set(lease.connection, { to, name });
    const own = route.leaves.get(name)?.filters ?? {};
    return { ...lease, changes: leaseChanges(route.rule.filters ?? {}, own, to.prefix) };
  }

  answers(request: LeasedRequest): boolean {
    const to = this.#finder.peek(request);
    const route = to === undefined ? undefined : this.#routes[to.rule];
    return route === undefined || isAnswered(route.rule);
  }

  /**
   * A client that has signed in on a connection goes on with it while its requests meet the same rule: a
   * field that it sends by itself does not lead it past the others.
   */
  fits({ connection }: ConnectionLease, { request, permit }: LeaseRequest): boolean {
    const known = this.#leased.get(connection);
    if (known === undefined || request === undefined) return false;
    const to = this.#finder.peek(request);
    const route = to === known.to ? this.#routes[to.rule] : undefined;
    return route !== undefined && permitOf(route, permit)?.(known.name) === undefined;
  }

  leaseNow(): undefined {
    return undefined;
  }

  /** Closes it, as `TargetGroup` does. */
  giveBack({ connection }: ConnectionLease): void {
    connection.destroy();
  }

  mayOpenAgain(elapsedMs: number): boolean {
    return this.#own.mayOpenAgain(elapsedMs);
  }

  untilOpenAgain(refusals: number): Promise<void> {
    return this.#own.untilOpenAgain(refusals);
  }

  /** @throws ProxyFailure */
  #routeOf({ rule }: RoutedTo): Route {
    const route = this.#routes[rule];
    if (route === undefined) throw new ProxyFailure('no route', `the routes of ${this.label} have changed`);
    return route;
  }

  #assertBackends({ rule }: Route): void {
    if (rule.backends.length === 0)
      throw new ProxyFailure('invalid route', `${rule.name} of ${this.label} has no backend`);
  }

  #redirect(
    request: OutgoingRequest,
    handler: UpstreamHandler,
    {
      to,
      route,
      redirect,
    }: { to: RoutedTo; route: Route; redirect: NonNullable<NonNullable<RoutingRule['filters']>['redirect']> },
  ): Upstream {
    const { clock } = this.#options;
    const upstream = new AnsweredHere();
    const change = route.rule.filters?.responseHeaders;
    const plain = [makeField('location', locationOf(redirect, request, to.prefix))];
    const fields = change === undefined ? plain : changedFields(plain, change);
    // When the request is in the hands of whoever sends it.
    clock.after(
      0,
      () => {
        if (upstream.abandoned) return;
        handler.onResponse({ status: redirect.status, fields, framing: NO_BODY });
        handler.onResponseEnd(undefined);
      },
      { unref: true },
    );
    return upstream;
  }

  #route(rule: RoutingRule, requests: RequestRules | undefined, to: LeafSource): Route {
    const leaves = new Map<string, Leaf>();
    const weights = new Map<string, number>();
    const called = new Map<string, string>();
    for (const backend of rule.backends) {
      const leaf = this.#leaf(backend, rule, to);
      const known = to.nameOf?.(rule, backend) ?? leaf.label;
      const name = nameFor(leaf, leaves, known);
      called.set(name, known);
      leaves.set(name, leaf);
      weights.set(name, (weights.get(name) ?? 0) + backend.weight);
    }
    const group = this.#groups.get(rule.name) ?? new TargetGroup(this.label, this.#options);
    this.#groups.set(rule.name, group);
    group.update(
      [...leaves].map(([name, leaf]) => ({ name, target: leaf })),
      requests,
    );
    group.divide(new Map([...weights].map(([name, share]) => [name, { share, ...IN_ONE_TIER }])), 0);
    return newRoute(rule, group, { leaves, weights, called });
  }

  #leaf(
    backend: RouteBackend,
    { name: ruleName, failUnavailable = false }: RoutingRule,
    { target, used }: LeafSource,
  ): Leaf {
    const { namespace, service, port, invalid, filters } = backend;
    if (invalid !== undefined) {
      const failure = new ProxyFailure('invalid route', `${ruleName} of ${this.label}: ${invalid}`);
      return new InvalidLeaf(`${service}.${namespace}:${port}`, failure);
    }
    const own = target(backend);
    const key = JSON.stringify([own.label, failUnavailable, filters]);
    used.add(key);
    const known = this.#leaves.get(key);
    if (known?.target === own) return known.leaf;
    const leaf = new LeafTarget(own, failUnavailable, filters);
    this.#leaves.set(key, { target: own, leaf });
    return leaf;
  }
}

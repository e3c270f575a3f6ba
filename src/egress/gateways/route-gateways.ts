import { LOCAL } from '../../api/names.ts';
import { isDeepStrictEqual } from 'node:util';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { BackendSpec } from '../../proxy/group/group-backend.ts';
import { TargetGroup } from '../../proxy/group/target-group.ts';
import type { SessionTarget } from '../../proxy/upstream/session-target.ts';
import type { Target } from '../../proxy/upstream/target.ts';
import type { LocalPods } from '../local/local-pods.ts';
import {
  type GroupRoute,
  isGroup,
  memberLabel,
  type LocalService,
  type Route,
  type RouteMember,
  type SingleRoute,
} from '../routes/route.ts';
import { drawsOf } from '../shares/division.ts';
import { EQUAL_SHARES, type Shares, type SharesListener } from '../shares/group-shares.ts';
import type { GatewayEndpoint } from './gateway-pool-options.ts';
import { PerProtocol } from './per-protocol.ts';
import { RouteGateway, type RouteGatewayOptions } from './route-gateway.ts';

/** What a route leads to: one gateway, or those of a group. */
export interface RouteGateways {
  /** Where requests and raw connections go, by the session protocol of the client; always the same one. */
  target(protocol: SessionProtocol): SessionTarget;
  /** The gateways' currently known addresses. */
  readonly endpoints: GatewayEndpoint[];
  /**
   * Whether the streams of some gateway name the client on whose behalf they are (ADR 0031), as far as is
   * known.
   */
  readonly namesClients: boolean;
  /** As `RouteGateway.provenMs`, of a group's member; undefined also where there is no such member. */
  provenMs(cluster: string): number | undefined;
  /** Begins to resolve the gateways' host names. */
  start(): void;
  /** Stops resolving them; flows that are under way go on. */
  stop(): void;
  /** Takes over a changed route: still to the same gateway, or still to a group. */
  follow(route: Route): void;
  /** Releases the connection pools; only when no flow is left that may need a new connection. */
  release(): void;
  /** Sends no new request or connection to them; flows that are under way go on. */
  close(): void;
}

/** The gateway of a route that leads to one cluster. */
export class SingleGateway implements RouteGateways {
  readonly #gateway: RouteGateway;

  constructor(route: SingleRoute, options: RouteGatewayOptions) {
    this.#gateway = new RouteGateway(route, options);
    this.#gateway.follow(route.requests);
  }

  target(protocol: SessionProtocol): Target {
    return this.#gateway.target(protocol);
  }

  get endpoints(): GatewayEndpoint[] {
    return this.#gateway.endpoints;
  }

  get namesClients(): boolean {
    return this.#gateway.namesClients;
  }

  provenMs(): undefined {
    return undefined;
  }

  start(): void {
    this.#gateway.start();
  }

  stop(): void {
    this.#gateway.stop();
  }

  follow({ requests }: Route): void {
    this.#gateway.follow(requests);
  }

  release(): void {
    this.#gateway.release();
  }

  close(): void {
    this.#gateway.close();
  }
}

/** The gateways of a route that leads to several clusters. */
export class GroupGateways implements RouteGateways, SharesListener {
  readonly #targets = new PerProtocol<TargetGroup>();
  readonly #options: RouteGatewayOptions;
  readonly #shares: Shares;
  #route: GroupRoute;
  #members: readonly RouteGateway<RouteMember>[] = [];
  #local: { readonly said: LocalService; readonly pods: LocalPods } | undefined;
  #started = false;

  constructor(route: GroupRoute, options: RouteGatewayOptions) {
    this.#options = options;
    this.#route = route;
    this.#shares = options.shares ?? EQUAL_SHARES;
    this.follow(route);
    this.#shares.watch(route.service, this);
  }

  target(protocol: SessionProtocol): TargetGroup {
    return this.#targets.of(protocol, () => this.#group(protocol));
  }

  get endpoints(): GatewayEndpoint[] {
    return this.#members.flatMap(({ endpoints }) => endpoints);
  }

  get namesClients(): boolean {
    for (const { namesClients } of this.#members) if (namesClients) return true;
    return false;
  }

  provenMs(cluster: string): number | undefined {
    return this.#members.find(({ backend }) => backend.cluster === cluster)?.provenMs;
  }

  start(): void {
    this.#started = true;
    for (const gateway of this.#members) gateway.start();
  }

  stop(): void {
    this.#started = false;
    for (const gateway of this.#members) gateway.stop();
  }

  /** Members that are unchanged keep their state; flows to those that are removed go on. */
  follow(route: Route): void {
    if (!isGroup(route)) return;
    const former = this.#members;
    this.#members = route.members.map(
      (said) => former.find((known) => isDeepStrictEqual(known.backend, said)) ?? this.#make(said),
    );
    this.#route = route;
    const formerLocal = this.#local;
    this.#local = this.#localOf(route);
    // Counted from now on, whoever is asked for, and when.
    const numbers = this.#options.counters.group(route.label);
    for (const name of this.#names) numbers.backend(name);
    for (const [protocol, group] of this.#targets.made) this.#update(group, protocol);
    this.sharesChanged();
    for (const member of former) if (!this.#members.includes(member)) member.close();
    if (formerLocal !== this.#local) formerLocal?.pods.close();
  }

  release(): void {
    this.#shares.unwatch(this.#route.service, this);
    this.#local?.pods.close();
    for (const gateway of this.#members) gateway.release();
  }

  close(): void {
    this.#shares.unwatch(this.#route.service, this);
    this.#local?.pods.close();
    for (const gateway of this.#members) gateway.close();
  }

  /** Takes in how requests are divided among the members now. */
  sharesChanged(): void {
    const { made } = this.#targets;
    if (made.length === 0) return;
    const { draws, refused } = this.#draws;
    for (const [, group] of made) group.divide(draws, refused);
  }

  get #draws(): ReturnType<typeof drawsOf> {
    return drawsOf(this.#shares.of(this.#route.service), this.#names);
  }

  get #names(): string[] {
    const clusters = this.#members.map(({ backend }) => backend.cluster);
    return [...clusters, ...(this.#local === undefined ? [] : [LOCAL])];
  }

  #group(protocol: SessionProtocol): TargetGroup {
    const group = new TargetGroup(this.#route.label, this.#options);
    this.#update(group, protocol);
    const { draws, refused } = this.#draws;
    group.divide(draws, refused);
    return group;
  }

  #update(group: TargetGroup, protocol: SessionProtocol): void {
    group.update(this.#backends(protocol), protocol === 'opaque' ? undefined : this.#route.requests);
  }

  /** The pods of this cluster; those that stay what they are keep their connections. */
  #localOf({ local: said, label, protocol }: GroupRoute) {
    const { local } = this.#options;
    if (said === undefined || local === undefined) return undefined;
    if (isDeepStrictEqual(this.#local?.said, said)) return this.#local;
    return { said, pods: local.open(said, memberLabel(label, LOCAL), protocol) };
  }

  #make(said: RouteMember): RouteGateway<RouteMember> {
    const gateway = new RouteGateway(said, this.#options);
    if (this.#started) gateway.start();
    return gateway;
  }

  #backends(protocol: SessionProtocol): BackendSpec[] {
    const remote = this.#members.map((gateway) => ({
      name: gateway.backend.cluster,
      target: gateway.target(protocol),
    }));
    return this.#local === undefined ? remote : [...remote, { name: LOCAL, target: this.#local.pods.target }];
  }
}

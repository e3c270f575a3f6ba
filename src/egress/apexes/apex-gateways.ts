import { leafKey } from '../../discovery/target-spec.ts';
import { backendName } from '../../policy/routing/rule-group.ts';
import type { RoutingRule } from '../../policy/routing/routing.ts';
import type { Permit, SessionProtocol } from '../../proxy/http/messages.ts';
import type { LeafBackend } from '../../proxy/routing/leaf-target.ts';
import { RoutedTarget } from '../../proxy/routing/routed-target.ts';
import type { RuleDivision } from '../../proxy/routing/rule-division.ts';
import { Target } from '../../proxy/upstream/target.ts';
import { type ClientParts, type RelayedClient, RouteClients } from '../clients/route-clients.ts';
import type { GatewayEndpoint } from '../gateways/gateway-pool-options.ts';
import { PerProtocol } from '../gateways/per-protocol.ts';
import type { RouteGatewayOptions } from '../gateways/route-gateway.ts';
import type { RouteGateways } from '../gateways/route-gateways.ts';
import type { Division } from '../shares/division.ts';
import { type ApexRoute, isApex, type Route } from '../routes/route.ts';
import { ApexClient } from './apex-client.ts';
import { type Lead, openLead } from './apex-lead.ts';
import { type KnownBackends, NOTHING_KNOWN, RuleShares } from './rule-shares.ts';

export interface ApexGatewaysOptions extends RouteGatewayOptions {
  readonly parts: ClientParts;
  /** What is known of backends; default `NOTHING_KNOWN`. */
  readonly known?: KnownBackends | undefined;
}

/**
 * Backends of one port that are on metrics: a hundred ports of one namespace may have hundreds of rules each,
 * and a page of metrics is to be no larger for that.
 */
const MAX_SHOWN_BACKENDS = 128;

/** The backends of a user's Service, and who may use each of them. */
export class ApexGateways implements RouteGateways {
  readonly #targets = new PerProtocol<RoutedTarget>();
  readonly #options: ApexGatewaysOptions;
  readonly #shares: RuleShares;
  /** The apex without its backends: nobody serves it. */
  readonly #nowhere: Target;
  #route: ApexRoute;
  #leads = new Map<string, Lead>();
  /** Whom each backend lets in, by the names that rules have for it. */
  #clients = new Map<string, readonly RouteClients[]>();
  #restricts = false;
  /** How the requests of each rule are divided, by its name. */
  #drawn: ReadonlyMap<string, RuleDivision | undefined> = new Map();
  #started = false;

  constructor(route: ApexRoute, options: ApexGatewaysOptions) {
    this.#options = options;
    this.#route = route;
    const { label } = route;
    const nowhere = new Target({
      ...options,
      label,
      dial: () => Promise.reject(new Error(`${label} has no endpoints of its own`)),
    });
    this.#nowhere = nowhere;
    this.#shares = new RuleShares(options.clock, options.known ?? NOTHING_KNOWN, (divisionOf) => {
      const divided = (rule: RoutingRule) => divisionOf(rule) ?? this.#drawn.get(rule.name);
      this.#drawn = new Map(this.#route.routing.rules.map((rule) => [rule.name, divided(rule)] as const));
      for (const [, target] of this.#targets.made) this.#divide(target);
    });
    this.follow(route);
    // Backends are counted from now on, whoever is asked for, and when.
    this.target('http1');
  }

  get endpoints(): GatewayEndpoint[] {
    return [...this.#leads.values()].flatMap(({ endpoints }) => endpoints);
  }

  get namesClients(): boolean {
    for (const { namesClients } of this.#leads.values()) if (namesClients) return true;
    return false;
  }

  provenMs(cluster: string): number | undefined {
    for (const lead of this.#leads.values()) {
      const ms = lead.provenMs(cluster);
      if (ms !== undefined) return ms;
    }
    return undefined;
  }

  /** How the requests of each rule are divided now, by what its group is called. */
  *divisions(): Generator<readonly [group: string, division: Division]> {
    const { routing, groups } = this.#route;
    let left = MAX_SHOWN_BACKENDS;
    for (const [nth, rule] of routing.rules.entries()) {
      const [group, division] = [groups[nth], this.#shares.of(rule)];
      if (group === undefined || division === undefined) continue;
      left -= division.backends.length;
      if (left < 0) return;
      yield [group, division];
    }
  }

  /** Whether some backend lets in some clients only. */
  get restricts(): boolean {
    return this.#restricts;
  }

  target(protocol: SessionProtocol): RoutedTarget {
    return this.#targets.of(protocol, () => this.#make(protocol));
  }

  /** The target as a client may use it. */
  targetFor(protocol: SessionProtocol, client: RelayedClient): ApexClient {
    return new ApexClient(this.target(protocol), this.#permitOf(client), () => this.#restricts);
  }

  start(): void {
    this.#started = true;
    for (const lead of this.#leads.values()) lead.start();
  }

  stop(): void {
    this.#started = false;
    for (const lead of this.#leads.values()) lead.stop();
  }

  /** Backends that are unchanged keep their state; flows to those that are removed go on. */
  follow(route: Route): void {
    if (!isApex(route)) return;
    const former = this.#leads;
    const leads = new Map<string, Lead>();
    let isNew = false;
    for (const backend of route.backends) {
      const known = former.get(backend.key);
      const lead = known?.follow(backend) === true ? known : openLead(backend, this.#options);
      if (lead === undefined) continue;
      leads.set(backend.key, lead);
      if (lead === known) continue;
      isNew = true;
      if (this.#started) lead.start();
    }
    this.#route = route;
    this.#leads = leads;
    this.reconsider();
    for (const [protocol, target] of this.#targets.made) this.#update(target, protocol, isNew);
    this.#shares.follow(route);
    for (const [key, lead] of former) if (leads.get(key) !== lead) lead.close();
  }

  #make(protocol: SessionProtocol): RoutedTarget {
    const target = new RoutedTarget({ ...this.#options, label: this.#route.label }, this.#nowhere);
    this.#update(target, protocol, true);
    this.#divide(target);
    return target;
  }

  #update(to: RoutedTarget, protocol: SessionProtocol, again: boolean): void {
    const { routing, requests } = this.#route;
    const target = (one: Parameters<typeof leafKey>[0]): LeafBackend =>
      this.#leads.get(leafKey(one))?.target(protocol) ?? this.#nowhere;
    const rules = { routing, requests: protocol === 'opaque' ? undefined : requests };
    to.update({ ...rules, target, nameOf: backendName, again });
  }

  #divide(target: RoutedTarget): void {
    target.divide(({ name }) => this.#drawn.get(name));
  }

  release(): void {
    this.#shares.close();
    for (const lead of this.#leads.values()) lead.release();
  }

  close(): void {
    this.#shares.close();
    for (const lead of this.#leads.values()) lead.close();
  }

  /** Namespaces say something else of whom they let in. */
  reconsider(): void {
    this.#clients = this.#clientsOf(this.#route);
    this.#restricts = [...this.#clients.values()].flat().some(({ restricts }) => restricts);
  }

  #clientsOf({ backends, routing }: ApexRoute): Map<string, readonly RouteClients[]> {
    const { parts, clock } = this.#options;
    const byKey = new Map(
      backends.map((backend) => [backend.key, new RouteClients(backend, parts, clock)] as const),
    );
    const found = new Map<string, RouteClients[]>();
    for (const rule of routing.rules)
      for (const backend of rule.backends) {
        const clients = byKey.get(leafKey(backend));
        if (clients === undefined) continue;
        const name = backendName(rule, backend);
        const known = found.get(name);
        if (known === undefined) found.set(name, [clients]);
        // Two rules may call two ports of a Service by its name: what lets in the fewest counts.
        else if (!known.includes(clients)) known.push(clients);
      }
    return found;
  }

  #permitOf(client: RelayedClient): Permit {
    return (backend) => {
      for (const clients of this.#clients.get(backend) ?? []) {
        const refusal = clients.check(client);
        if (refusal !== undefined) return refusal;
      }
      return undefined;
    };
  }
}

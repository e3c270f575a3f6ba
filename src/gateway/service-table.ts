import { withServerLimits } from '../policy/effective-policy.ts';
import { serviceOf, splitTargetKey } from '../api/ports/target-key.ts';
import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { TargetSource, TargetSpec } from '../discovery/target-spec.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { OpenPeers } from '../identity/trust/open-peers.ts';
import type { OpenFlow } from '../proxy/downstream/access-log.ts';
import type { Flow } from '../proxy/downstream/session.ts';
import { contained } from '../proxy/http/failure-boundary.ts';
import type { ProxyCounters } from '../proxy/metrics/counters.ts';
import { type Table, tableOf } from '../proxy/metrics/counters-view.ts';
import type { BalancerCounts } from './gateway-metrics.ts';
import { MAX_PENDING } from '../proxy/upstream/target-options.ts';
import { Target } from '../proxy/upstream/target.ts';
import { ServiceRoutes } from './service-routes.ts';
import type { RequestFilters } from './request-filters.ts';
import type { PolicySource } from './authorization/policy-source.ts';
import { endpointDial } from './endpoint-dial.ts';

/** A service that clients have requested. */
export interface ServiceEntry {
  /** `name:port`. */
  readonly label: string;
  /** Namespace of the Service; empty where its name has none. */
  readonly namespace: string;
  /** What discovery says of it now; undefined when it is not exported. */
  spec: TargetSpec | undefined;
  /** The service's own endpoints. */
  readonly target: Target;
  /** Its routes, which come before its own endpoints; undefined: it has none. */
  routes: ServiceRoutes | undefined;
  /** Version of the policies that its request filter was made from. */
  filterVersion: number | undefined;
  /** Client connections that are for it. */
  readonly flows: Set<Flow>;
}

/** Where the table's facts come from, and what its targets share. */
export interface ServiceTableOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: IdentitySource;
  readonly targets: TargetSource;
  /** As `GatewayOptions.maxPending`. */
  readonly maxPending?: number;
  readonly counters: ProxyCounters;
  readonly peers: OpenPeers;
  readonly filters: RequestFilters;
  readonly policies: PolicySource;
}

/** The exported target of a key (`name:port`); undefined where there is none. */
export function lookUp(targets: TargetSource, key: string): TargetSpec | undefined {
  const { name, port } = splitTargetKey(key);
  return targets.get(name, Number(port));
}

/** A reference to a service by a client that may send further requests, so that its entry is kept. */
export class ServiceReference implements Flow {
  recheck(): void {
    // Requests are checked one by one.
  }

  drain(): void {
    // Its connection is drained instead.
  }

  underWay(): Iterable<OpenFlow> {
    // Its connection is asked instead.
    return [];
  }
}

/**
 * The services that clients have requested, each with its balancer. An entry is kept while the service is
 * exported or a client is connected for it.
 */
export class ServiceTable {
  readonly #options: ServiceTableOptions;
  readonly #entries = new Map<string, ServiceEntry>();

  constructor(options: ServiceTableOptions) {
    this.#options = options;
  }

  /** Numbers of endpoints by `name:port`. */
  get balancers(): Table<BalancerCounts> {
    return tableOf(this.#entries, ({ target }) => target.counts);
  }

  /** All entries. */
  get entries(): Iterable<ServiceEntry> {
    return this.#entries.values();
  }

  /** Whether routes of some service lead to this label. */
  isLeaf(label: string): boolean {
    for (const { routes } of this.#entries.values()) if (routes?.leaf(label) !== undefined) return true;
    return false;
  }

  /** The entry of a service, made at its first request. */
  entry(label: string): ServiceEntry {
    const known = this.#entries.get(label);
    if (known !== undefined) return known;
    const target = this.#makeTarget(label);
    const spec = lookUp(this.#options.targets, label);
    const namespace = serviceOf(label)?.namespace ?? '';
    const entry: ServiceEntry = {
      label,
      namespace,
      target,
      routes: undefined,
      spec,
      filterVersion: undefined,
      flows: new Set(),
    };
    this.#entries.set(label, entry);
    this.#follow(entry);
    this.filter(entry);
    return entry;
  }

  #makeTarget(label: string): Target {
    const { clock, random, identity, peers, counters, maxPending = MAX_PENDING } = this.#options;
    const dial = endpointDial({
      label,
      counters: () => counters.endpointOf(label),
      boundary: counters,
      clock,
      identity,
      peers,
    });
    return new Target({ label, dial, clock, random, maxPending, counters });
  }

  /** Sets the endpoints, settings and routes of an entry as its target is now. */
  #follow(entry: ServiceEntry): void {
    const { target, spec, label } = entry;
    target.update(spec?.endpoints ?? [], spec);
    if (spec?.routed === undefined) {
      entry.routes?.close();
      entry.routes = undefined;
      return;
    }
    const { clock, random, counters } = this.#options;
    const { name } = splitTargetKey(label);
    const options = {
      label,
      name,
      clock,
      random,
      counters,
      makeTarget: (leaf: string) => this.#makeTarget(leaf),
    };
    entry.routes ??= new ServiceRoutes(options, target);
    entry.routes.update(spec.routed, spec.requests);
  }

  /** Removes a client's flow or reference. */
  leave(entry: ServiceEntry, flow: Flow): void {
    entry.flows.delete(flow);
    this.#forgetUnused(entry);
  }

  /** Sets the request filter of a service, by what its target says and the cluster's policies. */
  filter(entry: ServiceEntry): void {
    const { policies, filters } = this.#options;
    const { namespace, spec, target } = entry;
    entry.filterVersion = policies.version(namespace);
    if (spec === undefined) return filters.drop(target);
    filters.set(target, withServerLimits(spec, policies.limits(spec, namespace)));
  }

  /** Updates the entry of a target that was added, changed or removed. */
  changed(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.spec = lookUp(this.#options.targets, key);
    this.#follow(entry);
    this.filter(entry);
    this.#recheck(entry.flows);
    this.#forgetUnused(entry);
  }

  /**
   * Ends raw connections that are not allowed any more after policies have changed; requests are checked one
   * by one.
   * @param namespace namespace of the targets; undefined: all
   */
  policiesChanged(namespace: string | undefined): void {
    for (const entry of this.#entries.values())
      if (namespace === undefined || isAbout(entry, namespace)) this.#recheck(entry.flows);
  }

  #recheck(flows: Iterable<Flow>): void {
    for (const flow of flows) contained(this.#options.counters, () => flow.recheck());
  }

  /**
   * Removes an entry that is neither exported nor in use, so that names invented by clients do not fill the
   * memory.
   */
  #forgetUnused(entry: ServiceEntry): void {
    const { label, flows, target, routes } = entry;
    if (flows.size > 0 || lookUp(this.#options.targets, label) !== undefined) return;
    if (this.#entries.get(label) === entry) this.#entries.delete(label);
    this.#options.filters.drop(target);
    target.close();
    routes?.close();
  }
}

/** Whether policies of a namespace matter to a service. */
function isAbout({ namespace: own, routes }: ServiceEntry, namespace: string): boolean {
  return own === namespace || routes?.reaches(namespace) === true;
}

import { withServerLimits } from '../policy/effective-policy.ts';
import { serviceOf, splitTargetKey } from '../api/ports/target-key.ts';
import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { TargetSource, TargetSpec } from '../discovery/target-spec.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { OpenPeers } from '../identity/trust/open-peers.ts';
import type { Flow } from '../proxy/downstream/session.ts';
import { contained } from '../proxy/http/failure-boundary.ts';
import type { ProxyCounters } from '../proxy/metrics/counters.ts';
import { MAX_PENDING } from '../proxy/upstream/target-options.ts';
import { Target } from '../proxy/upstream/target.ts';
import type { AdmissionFilters } from './admission/admission-filters.ts';
import type { PolicySource } from './authorization/policy-source.ts';
import { endpointDial } from './endpoint-dial.ts';

/** A service that is being asked for. */
export interface ServiceEntry {
  /** `name:port`. */
  readonly label: string;
  /** Of the Service; empty where its name has none. */
  readonly namespace: string;
  /** As it is now; undefined when it is not exported. */
  spec: TargetSpec | undefined;
  readonly target: Target;
  /** Version of the policies that its admission filter goes by. */
  filterVersion: number | undefined;
  /** Client connections that are for it. */
  readonly flows: Set<Flow>;
}

export interface ServiceTableOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: IdentitySource;
  readonly targets: TargetSource;
  /** As `GatewayOptions.maxPending`. */
  readonly maxPending?: number;
  readonly counters: ProxyCounters;
  readonly peers: OpenPeers;
  readonly filters: AdmissionFilters;
  readonly policies: PolicySource;
}

/** What is exported by a key (`name:port`), if anything is. */
export function lookUp(targets: TargetSource, key: string): TargetSpec | undefined {
  const { name, port } = splitTargetKey(key);
  return targets.get(name, Number(port));
}

/** Stands for a client that may ask again at any time, so that a service is not forgotten meanwhile. */
export class Presence implements Flow {
  recheck(): void {
    // Requests are checked one by one.
  }

  drain(): void {
    // Its connection is told.
  }
}

/**
 * The services that clients ask a gateway for: each with its balancer, kept as long as it is exported or
 * somebody is connected for it.
 */
export class ServiceTable {
  readonly #options: ServiceTableOptions;
  readonly #entries = new Map<string, ServiceEntry>();

  constructor(options: ServiceTableOptions) {
    this.#options = options;
  }

  /** Endpoints by `name:port`. */
  get balancers(): Record<string, { readonly ready: number; readonly known: number }> {
    return Object.fromEntries([...this.#entries].map(([label, { target }]) => [label, target.counts]));
  }

  /** All that have been asked for and are not forgotten. */
  get entries(): Iterable<ServiceEntry> {
    return this.#entries.values();
  }

  /** The entry of a service, made when it is first asked for. */
  entry(label: string): ServiceEntry {
    const known = this.#entries.get(label);
    if (known !== undefined) return known;
    const { clock, random, targets, identity, peers, counters, maxPending = MAX_PENDING } = this.#options;
    const account = () => counters.endpointOf(label);
    const dial = endpointDial({ label, account, boundary: counters, clock, identity, peers });
    const target = new Target({ label, dial, clock, random, maxPending, counters });
    const spec = lookUp(targets, label);
    const namespace = serviceOf(label)?.namespace ?? '';
    const entry: ServiceEntry = {
      label,
      namespace,
      target,
      spec,
      filterVersion: undefined,
      flows: new Set(),
    };
    this.#entries.set(label, entry);
    update(target, spec);
    this.filter(entry);
    return entry;
  }

  /** A client has left. */
  leave(entry: ServiceEntry, flow: Flow): void {
    entry.flows.delete(flow);
    this.#forgetUnused(entry);
  }

  /** Sets up what every request for a service passes before an endpoint is picked. */
  filter(entry: ServiceEntry): void {
    const { policies, filters } = this.#options;
    const { namespace, spec, target } = entry;
    entry.filterVersion = policies.version(namespace);
    if (spec === undefined) return filters.drop(target);
    filters.set(target, withServerLimits(spec, policies.limits(spec, namespace)));
  }

  /** A target has appeared, changed or gone. */
  changed(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.spec = lookUp(this.#options.targets, key);
    update(entry.target, entry.spec);
    this.filter(entry);
    this.#recheck(entry.flows);
    this.#forgetUnused(entry);
  }

  /**
   * What was let in before and may not be there now is ended; requests are checked one by one.
   * @param namespace undefined: of all
   */
  policiesChanged(namespace: string | undefined): void {
    for (const entry of this.#entries.values())
      if (namespace === undefined || entry.namespace === namespace) this.#recheck(entry.flows);
  }

  #recheck(flows: Iterable<Flow>): void {
    for (const flow of flows) contained(this.#options.counters, () => flow.recheck());
  }

  /** Names that clients make up must not fill the memory. */
  #forgetUnused(entry: ServiceEntry): void {
    const { label, flows, target } = entry;
    if (flows.size > 0 || lookUp(this.#options.targets, label) !== undefined) return;
    if (this.#entries.get(label) === entry) this.#entries.delete(label);
    this.#options.filters.drop(target);
    target.close();
  }
}

/** Makes a target what is exported; undefined: nothing is. */
function update(target: Target, spec: TargetSpec | undefined): void {
  target.update(spec?.endpoints ?? [], spec);
}

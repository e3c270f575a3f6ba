import type { Decision } from '../../policy/failover/decide.ts';
import type { DemandWitness } from '../gateway-health/egress-demand.ts';
import type { Demand } from '../../policy/failover/demand.ts';
import type { LinksFailover } from '../../discovery/failover-links.ts';

/** What is told of a group to whoever watches metrics. */
export interface BookEntry {
  /**
   * `namespace/name` of the federated Service, or what an object with weights is called, such as
   * `TrafficSplit shop/web`.
   */
  readonly service: string;
  readonly decision: Decision;
  /** How requests fared when it was decided. */
  readonly demand: Demand;
}

/**
 * What is decided about the groups of all federated Services that this replica leads, and about objects whose
 * weights it writes, as it was last looked at; for metrics. And what Links say, which decisions are made of.
 */
export class FailoverBook {
  readonly #links: { readonly said: LinksFailover };
  readonly #demand: DemandWitness | undefined;
  readonly #followers = new Map<object, (service: string) => void>();
  #unfollow: () => void = () => undefined;
  readonly #entries = new Map<string, BookEntry & { readonly by: object }>();
  readonly #transitions = new Map<string, number>();
  #statusFailures = 0;
  #statusRefused = false;

  /** @param demand who knows how requests fare; default: nobody */
  constructor(links: { readonly said: LinksFailover }, demand?: DemandWitness) {
    this.#links = links;
    this.#demand = demand;
  }

  /** As `DemandWitness.of`; `unheard` where there is no witness. */
  demandOf(service: string): Demand | undefined {
    return this.#demand === undefined ? 'unheard' : this.#demand.of(service);
  }

  /**
   * Calls `listener` with each Service about which `by` has decided that it has too few endpoints, when its
   * requests fare otherwise than was known then.
   * @returns what ends that
   */
  followDemand(by: object, listener: (service: string) => void): () => void {
    this.#followers.set(by, listener);
    if (this.#followers.size === 1)
      this.#unfollow = this.#demand?.follow(() => this.#demandChanged()) ?? this.#unfollow;
    return () => {
      if (this.#followers.delete(by) && this.#followers.size === 0) this.#unfollow();
    };
  }

  #demandChanged(): void {
    for (const { service, decision, demand, by } of this.#entries.values()) {
      const now = decision.short ? (this.demandOf(service) ?? demand) : demand;
      if (now !== demand) this.#followers.get(by)?.(service);
    }
  }

  get links(): LinksFailover {
    return this.#links.said;
  }

  /** Whether this replica decides about a federated Service, `namespace/name`. */
  decides(service: string): boolean {
    return this.#entries.has(service);
  }

  get entries(): Iterable<BookEntry> {
    return this.#entries.values();
  }

  /** Changes of a backend's state since this process runs, by the reason of the new state. */
  get transitions(): ReadonlyMap<string, number> {
    return this.#transitions;
  }

  /** How many times the status of a federated Service was refused, since this process runs. */
  get statusFailures(): number {
    return this.#statusFailures;
  }

  /**
   * The status of a federated Service was written, or the API server has refused it.
   * @returns whether the log should say so: it is the first refusal since one was written
   */
  told(error: Error | undefined): boolean {
    const isFirst = error !== undefined && !this.#statusRefused;
    this.#statusRefused = error !== undefined;
    if (error !== undefined) this.#statusFailures++;
    return isFirst;
  }

  /**
   * @param by whoever decided
   * @param service as `BookEntry.service`
   * @param decision undefined: it is no group, it is gone, or another one decides
   * @param demand what was known then of its requests; default: nothing
   */
  note(by: object, service: string, decision: Decision | undefined, demand: Demand = 'unheard'): void {
    const before = this.#entries.get(service);
    if (decision === undefined) {
      if (before?.by === by) this.#entries.delete(service);
      return;
    }
    if (before !== undefined) this.#count(before.decision, decision);
    this.#entries.set(service, { service, decision, demand, by });
  }

  #count(before: Decision, after: Decision): void {
    const states = new Map(before.backends.map(({ backend, state }) => [backend.name, state]));
    for (const { backend, state, reason } of after.backends) {
      const was = states.get(backend.name);
      if (was !== undefined && was !== state)
        this.#transitions.set(reason, (this.#transitions.get(reason) ?? 0) + 1);
    }
  }

  /** Somebody decides no more. */
  release(by: object): void {
    for (const [service, entry] of this.#entries) if (entry.by === by) this.#entries.delete(service);
  }
}

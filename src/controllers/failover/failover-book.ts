import type { Decision } from '../../policy/failover/decide.ts';
import type { LinksFailover } from '../../discovery/failover-links.ts';

/** What is told of a group to whoever watches metrics. */
export interface BookEntry {
  /**
   * `namespace/name` of the federated Service, or what an object with weights is called, such as
   * `TrafficSplit shop/web`.
   */
  readonly service: string;
  readonly decision: Decision;
}

/**
 * What is decided about the groups of all federated Services that this replica leads, and about objects whose
 * weights it writes, as it was last looked at; for metrics. And what Links say, which decisions are made of.
 */
export class FailoverBook {
  readonly #links: { readonly said: LinksFailover };
  readonly #entries = new Map<string, BookEntry & { readonly by: object }>();
  readonly #transitions = new Map<string, number>();
  #statusFailures = 0;
  #statusRefused = false;

  constructor(links: { readonly said: LinksFailover }) {
    this.#links = links;
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
   */
  note(by: object, service: string, decision: Decision | undefined): void {
    const before = this.#entries.get(service);
    if (decision === undefined) {
      if (before?.by === by) this.#entries.delete(service);
      return;
    }
    if (before !== undefined) this.#count(before.decision, decision);
    this.#entries.set(service, { service, decision, by });
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

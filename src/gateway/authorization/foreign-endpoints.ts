import { addTo } from '../../base/multimap.ts';

/**
 * Most addresses that are remembered; beyond it all are forgotten, and recorded again when they are used, so
 * that those of endpoints long gone do not accumulate.
 */
const MAX_ADDRESSES = 20_000;

/**
 * Records which namespaces have targets whose endpoints are pods of another namespace, or addresses at which
 * no pod is known: their rules may change with objects of other namespaces. Ordinary Services, whose
 * endpoints are pods of their own namespace, are not recorded.
 */
export class ForeignEndpoints {
  /** Namespaces of targets, by the namespace of their pods. */
  readonly #users = new Map<string, Set<string>>();
  /** Namespaces of targets, by address. */
  #waiting = new Map<string, Set<string>>();

  /** Records what a target in `namespace` depends on. */
  record(
    namespace: string,
    found: { readonly namespaces: ReadonlySet<string>; readonly unknown: ReadonlySet<string> },
  ): void {
    for (const owner of found.namespaces) addTo(this.#users, owner, namespace);
    if (this.#waiting.size > MAX_ADDRESSES) this.#waiting = new Map();
    for (const address of found.unknown) addTo(this.#waiting, address, namespace);
  }

  /** Namespaces with targets whose endpoints are pods of this namespace. */
  usersOf(owner: string): ReadonlySet<string> {
    return this.#users.get(owner) ?? new Set();
  }

  /**
   * Removes and returns the namespaces with targets at an address where no pod was known, for when one has
   * appeared.
   */
  waitingFor(address: string): ReadonlySet<string> {
    const found = this.#waiting.get(address) ?? new Set();
    this.#waiting.delete(address);
    return found;
  }
}

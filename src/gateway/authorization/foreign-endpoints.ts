import { addTo } from '../../base/multimap.ts';

/**
 * Beyond so many addresses all are forgotten but those asked for again: what is remembered of endpoints that
 * are long gone must not grow for ever.
 */
const MAX_ADDRESSES = 20_000;

/**
 * Which namespaces' targets have endpoints that belong to others: pods of another namespace, or addresses at
 * which nobody is known to be. Where their rules may change by what happens elsewhere. Ordinary Services,
 * whose endpoints are pods of their own namespace, are in none.
 */
export class ForeignEndpoints {
  /** Namespace of the pods → those of the targets. */
  readonly #users = new Map<string, Set<string>>();
  /** Address → namespaces of the targets that have it. */
  #waiting = new Map<string, Set<string>>();

  /** Takes note of what a target of `namespace` depends on. */
  note(
    namespace: string,
    found: { readonly namespaces: ReadonlySet<string>; readonly unknown: ReadonlySet<string> },
  ): void {
    for (const owner of found.namespaces) addTo(this.#users, owner, namespace);
    if (this.#waiting.size > MAX_ADDRESSES) this.#waiting = new Map();
    for (const address of found.unknown) addTo(this.#waiting, address, namespace);
  }

  /** Namespaces whose targets have pods of this one. */
  usersOf(owner: string): ReadonlySet<string> {
    return this.#users.get(owner) ?? new Set();
  }

  /**
   * Namespaces whose targets have an address at which nobody was known; asked when somebody is, so that they
   * are told once.
   */
  waitingFor(address: string): ReadonlySet<string> {
    const found = this.#waiting.get(address) ?? new Set();
    this.#waiting.delete(address);
    return found;
  }
}

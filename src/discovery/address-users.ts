/** Which Services have an address among their endpoints. */
export class AddressUsers {
  readonly #addresses = new Map<string, ReadonlySet<string>>();
  readonly #services = new Map<string, Set<string>>();

  /** Makes `addresses` those of a Service. */
  set(service: string, addresses: ReadonlySet<string>): void {
    const former = this.#addresses.get(service) ?? new Set();
    for (const address of former) if (!addresses.has(address)) this.#remove(address, service);
    for (const address of addresses) {
      const users = this.#services.get(address);
      if (users === undefined) this.#services.set(address, new Set([service]));
      else users.add(service);
    }
    if (addresses.size === 0) this.#addresses.delete(service);
    else this.#addresses.set(service, addresses);
  }

  /** The Services that have any of these. */
  of(addresses: readonly string[]): Set<string> {
    return new Set(addresses.flatMap((address) => [...(this.#services.get(address) ?? [])]));
  }

  #remove(address: string, service: string): void {
    const users = this.#services.get(address);
    users?.delete(service);
    if (users?.size === 0) this.#services.delete(address);
  }
}

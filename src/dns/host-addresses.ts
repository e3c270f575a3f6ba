import { addressBytes } from '../base/ip-ranges.ts';
import type { FollowedName, HostNames } from './host-names.ts';
import { MAX_ADDRESSES } from './known-addresses.ts';

/**
 * Why an address that a host stands for cannot be used; undefined: it can. An address that was given as such
 * is its own host.
 */
export type AddressRefusal = (address: string, host: string) => string | undefined;

export interface HostAddressesOptions {
  /** IP addresses and host names; those beyond `MAX_ADDRESSES` are left out. */
  readonly hosts: readonly string[];
  readonly names: HostNames;
  readonly refusal: AddressRefusal;
  /** Something that can be read here has changed. */
  readonly onChange: () => void;
}

/**
 * The addresses of a gateway: those that were given, and those of its names as `HostNames` keeps them. Sorted
 * and without duplicates, so that equal sets compare equal. An address that is refused is as if it were not
 * there, each time anew: a name that resolves to something else a moment later gains nothing by it.
 */
export class HostAddresses {
  readonly #options: HostAddressesOptions;
  readonly #hosts: readonly string[];
  readonly #names = new Map<string, FollowedName>();
  #text = '';

  constructor(options: HostAddressesOptions) {
    this.#options = options;
    this.#hosts = options.hosts.slice(0, MAX_ADDRESSES);
  }

  /**
   * Begins to follow the names. `onChange` is called before this returns where something is known already.
   */
  start(): void {
    for (const host of new Set(this.#hosts))
      if (!isAddress(host))
        this.#names.set(
          host,
          this.#options.names.follow(host, () => this.#changed()),
        );
    this.#changed();
  }

  stop(): void {
    for (const name of this.#names.values()) name.stop();
  }

  /** Whether every name has been looked up, found or not. */
  get asked(): boolean {
    return [...this.#names.values()].every(({ asked }) => asked);
  }

  get current(): readonly string[] {
    const good = this.#all.filter(({ why }) => why === undefined).map(({ address }) => address);
    return unique(good).slice(0, MAX_ADDRESSES);
  }

  /** Addresses that are refused, each with why. */
  get refused(): readonly string[] {
    const bad = this.#all.filter(({ why }) => why !== undefined);
    return unique(bad.map(({ address, why }) => `${address} (${why ?? ''})`));
  }

  get #all(): { address: string; why: string | undefined }[] {
    return this.#hosts.flatMap((host) => {
      const addresses = this.#names.get(host)?.addresses ?? (isAddress(host) ? [host] : []);
      return addresses.map((address) => ({ address, why: this.#options.refusal(address, host) }));
    });
  }

  #changed(): void {
    const text = `${this.current.join()} ${this.refused.join()} ${this.asked}`;
    if (text === this.#text) return;
    this.#text = text;
    this.#options.onChange();
  }
}

function unique(addresses: readonly string[]): string[] {
  return [...new Set(addresses)].sort();
}

/**
 * Whether a host needs no look-up. What only looks like an address (`127.1`) is looked up, and what comes of
 * it judged.
 */
function isAddress(host: string): boolean {
  return addressBytes(host) !== undefined;
}

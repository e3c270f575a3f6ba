import { isDeepStrictEqual } from 'node:util';
import { addressBytes } from '../base/ip-ranges.ts';
import type { FollowedName, HostNames } from './host-names.ts';
import { MAX_ADDRESSES } from './known-addresses.ts';

/**
 * A rule that refuses addresses: why an address of a host may not be used; undefined: it may. For an address
 * that was given as such, `host` is the address.
 */
export type AddressRefusal = (address: string, host: string) => string | undefined;

const NONE: readonly string[] = [];

export interface HostAddressesOptions {
  /** IP addresses and host names; those beyond `MAX_ADDRESSES` are ignored. */
  readonly hosts: readonly string[];
  readonly names: HostNames;
  readonly refusal: AddressRefusal;
  /** Called when the addresses, or any other property, have changed. */
  readonly onChange: () => void;
}

/**
 * The addresses of a gateway: those that were given, and those of its names as `HostNames` keeps them. Sorted
 * and without duplicates, so that equal sets compare equal. A refused address is left out. The rule is
 * applied to each new answer, so that a name that resolves to something else later (DNS rebinding) gains
 * nothing.
 */
export class HostAddresses {
  readonly #options: HostAddressesOptions;
  readonly #hosts: readonly string[];
  /** Most gateways have addresses only. */
  #names: Map<string, FollowedName> | undefined;
  /** Judged when an answer comes or the rule changes, not when they are asked for: each mirror asks. */
  #current: readonly string[] = [];
  #refused: readonly string[] = [];
  /** What `asked` was when `onChange` was called last; undefined: it never was. */
  #toldAsked: boolean | undefined;

  constructor(options: HostAddressesOptions) {
    this.#options = options;
    this.#hosts = options.hosts.slice(0, MAX_ADDRESSES);
    this.#judge();
  }

  /**
   * Begins to follow the names. `onChange` is called before this returns where addresses are known already.
   */
  start(): void {
    for (const host of new Set(this.#hosts))
      if (!isAddress(host)) {
        this.#names ??= new Map();
        this.#names.set(
          host,
          this.#options.names.follow(host, () => this.recheck()),
        );
      }
    this.recheck();
  }

  stop(): void {
    for (const name of this.#names?.values() ?? []) name.stop();
  }

  /** Whether every name has been looked up at least once, with or without success. */
  get asked(): boolean {
    return this.#names?.values().every(({ asked }) => asked) ?? true;
  }

  get current(): readonly string[] {
    return this.#current;
  }

  /** Addresses that are refused, each with why. */
  get refused(): readonly string[] {
    return this.#refused;
  }

  /** Judges all addresses anew: what a name resolves to, or what the rule refuses, has changed. */
  recheck(): void {
    const former = [this.#current, this.#refused, this.#toldAsked] as const;
    this.#judge();
    this.#toldAsked = this.asked;
    if (isDeepStrictEqual([this.#current, this.#refused, this.#toldAsked], former)) return;
    this.#options.onChange();
  }

  #judge(): void {
    const good: string[] = [];
    const bad: string[] = [];
    for (const host of this.#hosts)
      for (const address of this.#names?.get(host)?.addresses ?? (isAddress(host) ? [host] : [])) {
        const why = this.#options.refusal(address, host);
        if (why === undefined) good.push(address);
        else bad.push(`${address} (${why})`);
      }
    this.#current = unique(good).slice(0, MAX_ADDRESSES);
    this.#refused = bad.length === 0 ? NONE : unique(bad);
  }
}

function unique(addresses: readonly string[]): string[] {
  return [...new Set(addresses)].sort();
}

/**
 * Whether a host is an IP address in strict form, which needs no look-up. Other forms (`127.1`) are looked
 * up, and the rule is applied to the result.
 */
function isAddress(host: string): boolean {
  return addressBytes(host) !== undefined;
}

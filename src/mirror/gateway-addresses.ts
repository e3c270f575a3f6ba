import { backoffDelay, type Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { addressBytes } from '../base/ip-ranges.ts';
import type { Logger } from '../telemetry/log.ts';

/** Looks a host name up: its addresses, and for how many milliseconds they are good. */
export type Resolver = (host: string) => Promise<{ addresses: readonly string[]; ttlMs: number }>;

/** Why an address cannot be used; undefined: it can. */
export type AddressRefusal = (address: string) => string | undefined;

/** Bounds on how often a name is looked up again, whatever its TTL says. */
const MIN_REFRESH_MS = 5_000;
const MAX_REFRESH_MS = 60_000;
/** Addresses of one gateway that are used: each is probed, and stands in every mirror. A name of a DNS that is not ours may have thousands. */
export const MAX_GATEWAY_ADDRESSES = 64;

/**
 * The IP addresses of a gateway. Host names (cloud load balancers) are looked up again when their TTL ends; a lookup that fails keeps the last
 * known addresses. Sorted and without duplicates, so that equal sets compare equal. An address that is refused is as if it were not there, each time anew: a name that resolves to
 * something else a moment later gains nothing by it.
 */
export class GatewayAddresses {
  readonly #hosts: readonly string[];
  readonly #resolver: Resolver;
  readonly #refusal: AddressRefusal;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #onChange: () => void;
  readonly #known = new Map<string, readonly string[]>();
  readonly #timers = new Map<string, Timer>();
  #stopped = false;

  constructor(options: {
    hosts: readonly string[];
    resolver: Resolver;
    refusal: AddressRefusal;
    clock: Clock;
    random: Random;
    log: Logger;
    onChange: () => void;
  }) {
    this.#hosts = options.hosts.slice(0, MAX_GATEWAY_ADDRESSES);
    this.#resolver = options.resolver;
    this.#refusal = options.refusal;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#log = options.log;
    this.#onChange = options.onChange;
  }

  /** Begins to resolve; resolves once every name has been looked up once, found or not. */
  async start(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => this.#lookUp(host, 0)));
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
  }

  get current(): readonly string[] {
    return unique(this.#all.filter(({ why }) => why === undefined).map(({ address }) => address)).slice(
      0,
      MAX_GATEWAY_ADDRESSES,
    );
  }

  /** Addresses that are refused, each with why. */
  get refused(): readonly string[] {
    return unique(
      this.#all.filter(({ why }) => why !== undefined).map(({ address, why }) => `${address} (${why ?? ''})`),
    );
  }

  get #all(): { address: string; why: string | undefined }[] {
    const known = this.#hosts.flatMap((host) => this.#known.get(host) ?? []);
    return known.map((address) => ({ address, why: this.#refusal(address) }));
  }

  async #lookUp(host: string, failures: number): Promise<void> {
    if (isAddress(host)) {
      this.#known.set(host, [host]);
      return;
    }
    const before = this.#text;
    let nextMs: number;
    try {
      const { addresses, ttlMs } = await this.#resolver(host);
      this.#known.set(host, addresses.toSorted().slice(0, MAX_GATEWAY_ADDRESSES));
      nextMs = Math.min(MAX_REFRESH_MS, Math.max(MIN_REFRESH_MS, ttlMs));
    } catch (error) {
      this.#log.warn(
        { host, cause: messageOf(error), kept: this.#known.get(host) ?? [] },
        'gateway name not resolved',
      );
      nextMs = backoffDelay(failures, { minMs: 1000, maxMs: MAX_REFRESH_MS }, this.#random);
      failures += 1;
      if (this.#known.has(host)) nextMs = Math.max(nextMs, MIN_REFRESH_MS);
      this.#schedule(host, nextMs, failures);
      return;
    }
    this.#schedule(host, nextMs, 0);
    if (before !== this.#text && !this.#stopped) this.#onChange();
  }

  get #text(): string {
    return `${this.current.join()} ${this.refused.join()}`;
  }

  #schedule(host: string, ms: number, failures: number): void {
    if (this.#stopped) return;
    const timer = this.#clock.after(ms, () => void this.#lookUp(host, failures), { unref: true });
    this.#timers.set(host, timer);
  }
}

function unique(addresses: readonly string[]): string[] {
  return [...new Set(addresses)].sort();
}

/** Whether a gateway's address needs no lookup. What only looks like an address (`127.1`) is looked up, and what comes of it judged. */
function isAddress(host: string): boolean {
  return addressBytes(host) !== undefined;
}

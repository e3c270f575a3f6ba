import { backoffDelay, type Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../telemetry/log.ts';

/** Looks a host name up: its addresses, and for how many milliseconds they are good. */
export type Resolver = (host: string) => Promise<{ addresses: readonly string[]; ttlMs: number }>;

/** Bounds on how often a name is looked up again, whatever its TTL says. */
const MIN_REFRESH_MS = 5_000;
const MAX_REFRESH_MS = 60_000;
/** Addresses of one gateway that are used: each is probed, and stands in every mirror. A name of a DNS that is not ours may have thousands. */
export const MAX_GATEWAY_ADDRESSES = 64;

/**
 * The IP addresses of a gateway. Host names (cloud load balancers) are looked up again when their TTL ends; a lookup that fails keeps the last
 * known addresses. Sorted and without duplicates, so that equal sets compare equal.
 */
export class GatewayAddresses {
  readonly #hosts: readonly string[];
  readonly #resolver: Resolver;
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
    clock: Clock;
    random: Random;
    log: Logger;
    onChange: () => void;
  }) {
    this.#hosts = options.hosts.slice(0, MAX_GATEWAY_ADDRESSES);
    this.#resolver = options.resolver;
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
    const all = new Set(this.#hosts.flatMap((host) => this.#known.get(host) ?? []));
    return [...all].sort().slice(0, MAX_GATEWAY_ADDRESSES);
  }

  async #lookUp(host: string, failures: number): Promise<void> {
    if (isAddress(host)) {
      this.#known.set(host, [host]);
      return;
    }
    const before = this.current.join();
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
    if (before !== this.current.join() && !this.#stopped) this.#onChange();
  }

  #schedule(host: string, ms: number, failures: number): void {
    if (this.#stopped) return;
    const timer = this.#clock.after(ms, () => void this.#lookUp(host, failures), { unref: true });
    this.#timers.set(host, timer);
  }
}

/** Whether a Link's gateway address needs no lookup. Host names have neither colons nor only digits and dots. */
function isAddress(host: string): boolean {
  return host.includes(':') || /^[\d.]+$/.test(host);
}

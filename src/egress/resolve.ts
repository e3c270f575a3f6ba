import { promises as dns } from 'node:dns';
import { isIP } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { neverRemote } from '../base/ip-ranges.ts';
import type { Logger } from '../telemetry/log.ts';

/** Looks a host name up; injected in tests. */
export type Lookup = (host: string) => Promise<readonly string[]>;

export const systemLookup: Lookup = async (host) =>
  (await dns.lookup(host, { all: true })).map(({ address }) => address);

/**
 * A lookup without the addresses that no other cluster can have (loopback, link-local, a cloud's metadata service, …): what a gateway's name resolves to is not the word of whoever wrote the name into the Link.
 * The source's own ranges, which the controller refuses too, are left to mTLS: nobody there proves the gateway's identity.
 * @throws what the lookup throws, or an Error where nothing is left: the last known addresses stay
 */
export function remoteLookup(lookup: Lookup): Lookup {
  return async (host) => {
    const found = await lookup(host);
    const usable = found.filter((address) => neverRemote(address) === undefined);
    if (found.length > 0 && usable.length === 0)
      throw new Error(`it resolves to ${neverRemote(found[0] ?? '') ?? ''} addresses only`);
    return usable;
  };
}

const REFRESH_MS = 15_000;
const RETRY_MS = 2000;
/** Addresses of one name that are used; a name of a DNS that is not ours may have thousands. */
const MAX_ADDRESSES = 64;

/** The addresses of some hosts, kept up to date; a lookup that fails keeps the last known ones. */
export class ResolvedHosts {
  readonly #known = new Map<string, readonly string[]>();
  readonly #timers = new Set<Timer>();
  #stopped = false;

  constructor(
    hosts: readonly string[],
    options: { lookup: Lookup; clock: Clock; log: Logger; onChange: (addresses: readonly string[]) => void },
  ) {
    const resolve = async (host: string): Promise<void> => {
      let next = REFRESH_MS;
      try {
        const addresses = [...(await options.lookup(host))].sort().slice(0, MAX_ADDRESSES);
        const changed = addresses.join() !== this.#known.get(host)?.join();
        this.#known.set(host, addresses);
        if (changed && !this.#stopped) options.onChange(this.#all(hosts));
      } catch (error) {
        options.log.warn(
          { host, cause: messageOf(error), kept: this.#known.get(host) ?? [] },
          'gateway name not resolved',
        );
        next = RETRY_MS;
      }
      if (this.#stopped) return;
      const timer = options.clock.after(
        next,
        () => {
          this.#timers.delete(timer);
          void resolve(host);
        },
        { unref: true },
      );
      this.#timers.add(timer);
    };
    for (const host of hosts) {
      if (isIP(host) === 0) void resolve(host);
      else this.#known.set(host, [host]);
    }
    options.onChange(this.#all(hosts));
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
  }

  #all(hosts: readonly string[]): string[] {
    return [...new Set(hosts.flatMap((host) => this.#known.get(host) ?? []))];
  }
}

import { eachAlone } from '../../base/isolation.ts';
import { type GatewayEndpoint, GatewayPool, type GatewayPoolOptions } from './gateway-pool.ts';

/** The ways to gateway addresses, each shared by all routes that lead there, whatever service they are for. */
export class GatewayPools {
  readonly #options: GatewayPoolOptions;
  readonly #trunks = new Map<string, { readonly trunk: GatewayPool; users: number }>();

  constructor(options: GatewayPoolOptions) {
    this.#options = options;
  }

  /** The way to an address; to be released when it is no longer needed. */
  acquire(place: GatewayEndpoint): GatewayPool {
    const key = keyOf(place);
    let entry = this.#trunks.get(key);
    if (entry === undefined) {
      entry = { trunk: new GatewayPool(place, this.#options), users: 0 };
      this.#trunks.set(key, entry);
    }
    entry.users++;
    return entry.trunk;
  }

  release({ place }: GatewayPool): void {
    const key = keyOf(place);
    const entry = this.#trunks.get(key);
    if (entry === undefined || --entry.users > 0) return;
    this.#trunks.delete(key);
    entry.trunk.close();
  }

  /** Ends everything. */
  destroy(): void {
    eachAlone('trunks', this.#trunks.values(), ({ trunk }) => trunk.destroy());
    this.#trunks.clear();
  }
}

function keyOf({ host, port, identity }: GatewayEndpoint): string {
  return `${host} ${port} ${identity}`;
}

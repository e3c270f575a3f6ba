import { MAX_TRUNK_TEXT, MAX_TRUNKS, type TrunkReport } from '../../api/answers/trunk-report.ts';
import { formatAddress } from '../../base/address.ts';
import { forEachIsolated } from '../../base/isolation.ts';
import { GatewayPool } from './gateway-pool.ts';
import type { GatewayEndpoint, GatewayPoolOptions } from './gateway-pool-options.ts';

/**
 * The pools of connections to gateway addresses. A pool is shared by all routes to its address, whatever
 * service they are for.
 */
export class GatewayPools {
  readonly #options: GatewayPoolOptions;
  readonly #pools = new Map<string, { readonly pool: GatewayPool; users: number }>();

  constructor(options: GatewayPoolOptions) {
    this.#options = options;
  }

  /** The pool of an address; to be released when it is no longer needed. */
  acquire(place: GatewayEndpoint): GatewayPool {
    const key = keyOf(place);
    let entry = this.#pools.get(key);
    if (entry === undefined) {
      entry = { pool: new GatewayPool(place, this.#options), users: 0 };
      this.#pools.set(key, entry);
    }
    entry.users++;
    return entry.pool;
  }

  /** Says that a route needs a pool no longer; the last one closes it. */
  release({ place }: GatewayPool): void {
    const key = keyOf(place);
    const entry = this.#pools.get(key);
    if (entry === undefined || --entry.users > 0) return;
    this.#pools.delete(key);
    entry.pool.close();
  }

  /**
   * What is known of each address, of `MAX_TRUNKS` at most. One whose texts are too long is left out: for it
   * nobody would read the page, and no pod's word would count about any cluster.
   */
  reports(): TrunkReport[] {
    const reports: TrunkReport[] = [];
    for (const { pool } of this.#pools.values()) {
      if (reports.length >= MAX_TRUNKS) break;
      const { host, port, identity } = pool.place;
      const gateway = formatAddress({ host, port });
      if (Math.max(gateway.length, identity.length) > MAX_TRUNK_TEXT) continue;
      reports.push({ gateway, identity, ...pool.report });
    }
    return reports;
  }

  /** Cuts all connections. */
  destroy(): void {
    forEachIsolated('trunks', this.#pools.values(), ({ pool }) => pool.destroy());
    this.#pools.clear();
  }
}

function keyOf({ host, port, identity }: GatewayEndpoint): string {
  return `${host} ${port} ${identity}`;
}

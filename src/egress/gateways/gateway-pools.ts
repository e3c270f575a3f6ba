import {
  type EvidenceState,
  MAX_TRUNK_TEXT,
  MAX_TRUNKS,
  type TrunkReport,
} from '../../api/answers/trunk-report.ts';
import { formatAddress } from '../../base/address.ts';
import { forEachIsolated } from '../../base/isolation.ts';
import type { RoundTripTimes } from '../../proxy/http2/round-trip.ts';
import type { EndpointCounts } from '../../proxy/upstream/balancer/endpoint.ts';
import { GatewayPool } from './gateway-pool.ts';
import type { GatewayEndpoint, GatewayPoolOptions } from './gateway-pool-options.ts';

/** What is known and counted of one gateway address. */
export interface GatewayNumbers extends EndpointCounts {
  /** Name of the cluster; of two that share the address, the one that came first. */
  readonly cluster: string;
  /** `host:port`; of IPv6 `[host]:port`. */
  readonly gateway: string;
  /** The identity that is expected there. */
  readonly identity: string;
  readonly mode: GatewayPool['mode'];
  readonly state: EvidenceState;
  /** Open connections in stream mode. */
  readonly connections: number;
  /** Streams that are open on its connections. */
  readonly streams: number;
  readonly roundTrip: RoundTripTimes | undefined;
}

/** One that routes use. */
interface UsedPool {
  readonly pool: GatewayPool;
  readonly cluster: string;
  users: number;
}

/**
 * The pools of connections to gateway addresses. A pool is shared by all routes to its address, whatever
 * service they are for.
 */
export class GatewayPools {
  readonly #options: GatewayPoolOptions;
  readonly #pools = new Map<string, UsedPool>();

  constructor(options: GatewayPoolOptions) {
    this.#options = options;
  }

  /**
   * The pool of an address; to be released when it is no longer needed.
   * @param cluster whose gateway it is, for metrics
   */
  acquire(place: GatewayEndpoint, cluster: string): GatewayPool {
    const key = keyOf(place);
    let entry = this.#pools.get(key);
    if (entry === undefined) {
      entry = { pool: new GatewayPool(place, this.#options), cluster, users: 0 };
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

  /**
   * What is counted of each address, of `MAX_TRUNKS` at most. Two that differ only in the identity that is
   * expected are one.
   */
  numbers(): GatewayNumbers[] {
    const found = new Map<string, GatewayNumbers>();
    for (const { pool, cluster } of this.#pools.values()) {
      if (found.size >= MAX_TRUNKS) break;
      const gateway = formatAddress(pool.place);
      const { counts, mode, streams, roundTrip, report, connections: open } = pool;
      const { identity } = pool.place;
      if (Math.max(gateway.length, identity.length) > MAX_TRUNK_TEXT) continue;
      const [state, connections] = [report.state, open.open];
      const key = `${cluster} ${gateway}`;
      if (!found.has(key))
        found.set(key, {
          cluster,
          gateway,
          identity,
          mode,
          state,
          connections,
          streams,
          ...counts,
          roundTrip,
        });
    }
    return [...found.values()];
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

import { trustDomainOf } from '../../identity/names/trust-domain.ts';
import type { SourceOfFlows } from '../../proxy/metrics/pair-counters.ts';

/** Most names that one identity may say, and most identities whose names are counted. */
const MAX_NAMES = 8;
const MAX_IDENTITIES = 1000;

/**
 * What egresses say of their clusters. Their identities are equal where clusters share a trust domain, so
 * only they know; nothing is decided by it but how their requests are counted.
 */
export class SourceClusters {
  /** Names that each identity has said. */
  readonly #said = new Map<string, Set<string>>();

  /**
   * What to count the flows of a connection by; undefined: by its identity alone. Whoever invents names gets
   * no more rows than a few.
   * @param identity of the peer
   * @param own identity of this gateway
   */
  of(identity: string, own: string, cluster: string): SourceOfFlows | undefined {
    let names = this.#said.get(identity);
    if (names === undefined) {
      if (this.#said.size >= MAX_IDENTITIES) return undefined;
      this.#said.set(identity, (names = new Set()));
    }
    if (names.size >= MAX_NAMES && !names.has(cluster)) return undefined;
    names.add(cluster);
    const [domain, ownDomain] = [trustDomainOf(identity), trustDomainOf(own)];
    return { cluster, proven: domain !== ownDomain && domain?.startsWith(`${cluster}.`) === true };
  }
}

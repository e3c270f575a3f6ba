import { LinkspanError } from '../../api/errors/linkspan-error.ts';

/** A peer as far as its memory counts. */
export interface Weighed {
  /** Bytes that are held of it, with those of a list that is being read. */
  readonly bytes: number;
}

/**
 * What all peers together may make this process hold, in bytes; each has a budget of its own beside that, and
 * a dozen of those are more than the heap.
 *
 * Half of it is guaranteed, in equal parts, so that no peer can be kept out by others; the other half is for
 * whoever needs more, first come, first served. When one more peer comes, the guaranteed parts get smaller:
 * nobody has to give anything up, and for as long as that lasts up to half as much again may be held.
 */
export class TotalBudget {
  readonly limit: number;
  readonly #peers = new Set<Weighed>();

  /** @param limit bytes */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** What every peer may have, whatever the others have. */
  get guaranteed(): number {
    return this.limit / 2 / Math.max(1, this.#peers.size);
  }

  get used(): number {
    let sum = 0;
    for (const { bytes } of this.#peers) sum += bytes;
    return sum;
  }

  join(peer: Weighed): void {
    this.#peers.add(peer);
  }

  leave(peer: Weighed): void {
    this.#peers.delete(peer);
  }

  /**
   * Whether a peer may have what it has now.
   * @throws LinkspanError PEER_OVER_BUDGET
   */
  check(peer: Weighed): void {
    const { guaranteed } = this;
    if (peer.bytes <= guaranteed) return;
    let beyond = 0;
    for (const { bytes } of this.#peers) beyond += Math.max(0, bytes - guaranteed);
    if (beyond <= this.limit / 2) return;
    const numbers = `${Math.round(peer.bytes)} bytes of memory or more, beyond the ${Math.round(guaranteed)} that each of ${this.#peers.size} Links may have`;
    throw new LinkspanError(
      'PEER_OVER_BUDGET',
      `${numbers}, and all together have the ${this.limit} that are allowed (--max-total-memory)`,
      { fields: { budget: 'total' } },
    );
  }
}

/**
 * A share of the heap for what other clusters make us hold; the rest is for our own cluster, and for what is
 * under way.
 * @param heap bytes that the heap may have
 * @param memory bytes that the process may have
 */
export function ownTotal(heap: number, memory: number): number {
  return Math.floor(Math.min(heap / 2, memory / 4));
}

import { LinkspanError } from '../../api/errors/linkspan-error.ts';

/** What counts of a peer here: the memory that it takes. */
export interface Weighed {
  /** Bytes that are held of it, with those of a list that is being read. */
  readonly bytes: number;
}

/**
 * What all peers together may make this process hold, in bytes. Each peer has a `PeerBudget` beside that, but
 * a dozen of those are more than the heap has.
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

  /** Bytes that every peer may have, whatever the others have. */
  get guaranteed(): number {
    return this.limit / 2 / Math.max(1, this.#peers.size);
  }

  /** Bytes that all peers have. */
  get used(): number {
    let sum = 0;
    for (const { bytes } of this.#peers) sum += bytes;
    return sum;
  }

  /** One more peer, which makes the guaranteed parts smaller. */
  join(peer: Weighed): void {
    this.#peers.add(peer);
  }

  /** A peer is gone, and no longer counts. */
  leave(peer: Weighed): void {
    this.#peers.delete(peer);
  }

  /**
   * Whether a peer may have the bytes that it has now: within the guaranteed part always, beyond it while
   * what all have beyond theirs is no more than half of the limit.
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
 * The default limit of `TotalBudget` (`--max-total-memory auto`): the part of this process that other
 * clusters may fill. The rest is for the objects of our own cluster, and for what is being read and written.
 * @param heap bytes that the heap may have
 * @param memory bytes that the process may have
 * @returns bytes
 */
export function defaultTotal(heap: number, memory: number): number {
  return Math.floor(Math.min(heap / 2, memory / 4));
}

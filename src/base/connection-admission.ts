import { clientKeyOf } from './ip-ranges.ts';

/** How many connections one process may have at the same time. */
export interface ConnectionLimits {
  /** Connections whose handshake has not ended. */
  readonly handshakes: number;
  /** Connections altogether. */
  readonly connections: number;
}

/** A connection whose handshake has not ended. */
interface Handshake {
  readonly key: string;
  readonly evict: () => void;
}

/**
 * Bounds the connections of a process, over all of its ports, before and after their handshake. There is no
 * limit for one address: a whole cluster may connect from one (its NAT). Only when the limit is reached one
 * connection is evicted: of the address with most unfinished handshakes, the one that has waited longest. So
 * a flood evicts its own connections, while an honest client behind the same address needs its place for a
 * round trip or two only and has finished before its turn comes.
 */
export class ConnectionAdmission {
  readonly #limits: ConnectionLimits;
  /** By client key (`clientKeyOf`); each set in order of arrival. */
  readonly #waiting = new Map<string, Set<Handshake>>();
  /** The client keys by number of connections; kept only near the limit, because it costs every handshake. */
  #sizes: KeysBySize | undefined;
  #handshakes = 0;
  #admitted = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** Connections before the end of their handshake. */
  get handshakes(): number {
    return this.#handshakes;
  }

  /**
   * Admits a new connection, evicting another one where the limit is reached.
   * @param evict called when this connection is evicted; its place has been given away by then
   * @returns undefined when nothing can be evicted, because every connection has finished its handshake
   */
  enter(address: string, evict: () => void): Ticket | undefined {
    const { handshakes, connections } = this.#limits;
    if (this.#handshakes >= handshakes || this.#handshakes + this.#admitted >= connections) {
      if (this.#handshakes === 0) return undefined;
      this.#evictOne();
    }
    const handshake: Handshake = { key: clientKeyOf(address), evict };
    this.#add(handshake);
    let state: 'handshake' | 'admitted' | 'gone' = 'handshake';
    return {
      admit: () => {
        if (state !== 'handshake' || !this.#remove(handshake)) return;
        state = 'admitted';
        this.#admitted++;
      },
      leave: () => {
        if (state === 'handshake') this.#remove(handshake);
        else if (state === 'admitted') this.#admitted--;
        state = 'gone';
      },
    };
  }

  #evictOne(): void {
    this.#sizes ??= new KeysBySize(this.#waiting);
    const [oldest] = this.#waiting.get(this.#sizes.largest()) ?? [];
    if (oldest === undefined) return;
    this.#remove(oldest);
    oldest.evict();
  }

  #add(handshake: Handshake): void {
    const { key } = handshake;
    const own = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, own.add(handshake));
    this.#handshakes++;
    if (this.#sizes !== undefined) this.#sizes.move(key, own.size - 1, own.size);
    else if (this.#isCrowded(1 / 2)) this.#sizes = new KeysBySize(this.#waiting);
  }

  #remove(handshake: Handshake): boolean {
    const { key } = handshake;
    const own = this.#waiting.get(key);
    if (own?.delete(handshake) !== true) return false;
    this.#handshakes--;
    if (own.size === 0) this.#waiting.delete(key);
    if (this.#sizes !== undefined) {
      this.#sizes.move(key, own.size + 1, own.size);
      if (!this.#isCrowded(1 / 4)) this.#sizes = undefined;
    }
    return true;
  }

  /** Whether more than this part (0 to 1) of either limit is used. */
  #isCrowded(part: number): boolean {
    const { handshakes, connections } = this.#limits;
    return this.#handshakes > handshakes * part || this.#handshakes + this.#admitted > connections * part;
  }
}

/**
 * Client keys by how many unfinished handshakes they have. A key moves by one step at a time, so that an
 * update costs the same however many there are.
 */
class KeysBySize {
  readonly #bySize: Set<string>[] = [];
  #largest = 0;

  constructor(waiting: ReadonlyMap<string, ReadonlySet<unknown>>) {
    for (const [key, { size }] of waiting) this.move(key, 0, size);
  }

  move(key: string, before: number, after: number): void {
    this.#bySize[before]?.delete(key);
    if (after > 0) (this.#bySize[after] ??= new Set()).add(key);
    this.#largest = Math.max(this.#largest, after);
    while (this.#largest > 0 && !this.#bySize[this.#largest]?.size) this.#largest--;
  }

  /** The key with most; of several the first that reached that number; empty where there are none. */
  largest(): string {
    const [key = ''] = this.#bySize[this.#largest] ?? [];
    return key;
  }
}

/** The place of one connection. */
export interface Ticket {
  /** It has proven who it is. */
  admit(): void;
  /** It is closed. */
  leave(): void;
}

import { shareOf } from './ip-ranges.ts';

/** How much there may be at the same time, in one process. */
export interface AdmissionLimits {
  /** Connections that have not proven who they are. */
  readonly handshakes: number;
  /** Connections altogether. */
  readonly connections: number;
}

/** Somebody who has connected and not said who they are. */
interface Stranger {
  readonly share: string;
  readonly evict: () => void;
}

/**
 * Who may come in while it is not known who they are: over all ports of a process, so many as the memory
 * bears. There is no limit for one address: a whole cluster may come from one (its NAT). Only where there is
 * no more room somebody has to go, and that is the one who has waited longest of the address that has most of
 * it: whoever floods drives out themselves, and a client of the same address needs the place for a round trip
 * or two only, so that it is through before its turn comes.
 */
export class ConnectionAdmission {
  readonly #limits: AdmissionLimits;
  /** By share; each in the order of their coming. */
  readonly #strangers = new Map<string, Set<Stranger>>();
  /** Who has most; kept only while it gets crowded, for it costs every handshake. */
  #sizes: SharesBySize | undefined;
  #handshakes = 0;
  #admitted = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Connections before the end of their handshake. */
  get handshakes(): number {
    return this.#handshakes;
  }

  /**
   * Somebody has connected.
   * @param evict called when they have to make room; the place is free then
   * @returns undefined when there is no room at all: every connection belongs to somebody who has proven who
   * they are
   */
  enter(address: string, evict: () => void): Ticket | undefined {
    const { handshakes, connections } = this.#limits;
    if (this.#handshakes >= handshakes || this.#handshakes + this.#admitted >= connections) {
      if (this.#handshakes === 0) return undefined;
      this.#evictOne();
    }
    const stranger: Stranger = { share: shareOf(address), evict };
    this.#add(stranger);
    let state: 'stranger' | 'admitted' | 'gone' = 'stranger';
    return {
      admit: () => {
        if (state !== 'stranger' || !this.#remove(stranger)) return;
        state = 'admitted';
        this.#admitted++;
      },
      leave: () => {
        if (state === 'stranger') this.#remove(stranger);
        else if (state === 'admitted') this.#admitted--;
        state = 'gone';
      },
    };
  }

  #evictOne(): void {
    this.#sizes ??= new SharesBySize(this.#strangers);
    const [oldest] = this.#strangers.get(this.#sizes.largest()) ?? [];
    if (oldest === undefined) return;
    this.#remove(oldest);
    oldest.evict();
  }

  #add(stranger: Stranger): void {
    const { share } = stranger;
    const own = this.#strangers.get(share) ?? new Set();
    this.#strangers.set(share, own.add(stranger));
    this.#handshakes++;
    if (this.#sizes !== undefined) this.#sizes.move(share, own.size - 1, own.size);
    else if (this.#isCrowded(1 / 2)) this.#sizes = new SharesBySize(this.#strangers);
  }

  #remove(stranger: Stranger): boolean {
    const { share } = stranger;
    const own = this.#strangers.get(share);
    if (own?.delete(stranger) !== true) return false;
    this.#handshakes--;
    if (own.size === 0) this.#strangers.delete(share);
    if (this.#sizes !== undefined) {
      this.#sizes.move(share, own.size + 1, own.size);
      if (!this.#isCrowded(1 / 4)) this.#sizes = undefined;
    }
    return true;
  }

  /** So much of the room is taken. */
  #isCrowded(part: number): boolean {
    const { handshakes, connections } = this.#limits;
    return this.#handshakes > handshakes * part || this.#handshakes + this.#admitted > connections * part;
  }
}

/**
 * Shares by how many strangers they have. A share moves by one at a time, so that every step costs the same.
 */
class SharesBySize {
  readonly #bySize: Set<string>[] = [];
  #largest = 0;

  constructor(strangers: ReadonlyMap<string, ReadonlySet<unknown>>) {
    for (const [share, { size }] of strangers) this.move(share, 0, size);
  }

  move(share: string, before: number, after: number): void {
    this.#bySize[before]?.delete(share);
    if (after > 0) (this.#bySize[after] ??= new Set()).add(share);
    this.#largest = Math.max(this.#largest, after);
    while (this.#largest > 0 && !this.#bySize[this.#largest]?.size) this.#largest--;
  }

  /** One of those that have most, the first that came to have so many; empty where there are none. */
  largest(): string {
    const [share = ''] = this.#bySize[this.#largest] ?? [];
    return share;
  }
}

/** The place of one connection. */
export interface Ticket {
  /** It has proven who it is. */
  admit(): void;
  /** It is closed. */
  leave(): void;
}

import { shareOf } from '../base/ip-ranges.ts';
import { memoryLimit } from '../base/memory-limit.ts';

/** How much there may be at the same time, in one process. */
export interface AdmissionLimits {
  /** Connections that have not proven who they are. */
  readonly handshakes: number;
  /** Connections altogether. */
  readonly connections: number;
}

/** Share of the memory for connections that have proven nothing. */
const HANDSHAKE_SHARE = 1 / 8;
/** What a connection costs before its handshake is done (17 KiB measured on Node, with what the kernel holds for it). */
const HANDSHAKE_BYTES = 20 * 1024;
/** Share of the memory for all connections. */
const CONNECTION_SHARE = 3 / 4;
/** What an idle connection costs together with its upstream (docs/performance.md). */
const CONNECTION_BYTES = { node: 68 * 1024, bun: 28 * 1024 };
/** A handshake takes milliseconds: more of them at once are no traffic. */
const MOST_HANDSHAKES = 8192;
const LEAST_HANDSHAKES = 64;
const MOST_CONNECTIONS = 100_000;
const LEAST_CONNECTIONS = 256;

/**
 * What fits into the memory: at the usual 512 MiB 3,276 connections before their handshake and, on Node, 5,782 in all. Pure.
 * @param memoryBytes that all `workers` have together
 */
export function admissionLimits(
  memoryBytes: number,
  { runtime, workers }: { readonly runtime: 'node' | 'bun'; readonly workers: number },
): AdmissionLimits {
  const own = memoryBytes / workers;
  const within = (count: number, least: number, most: number) =>
    Math.min(most, Math.max(least, Math.floor(count)));
  return {
    handshakes: within((own * HANDSHAKE_SHARE) / HANDSHAKE_BYTES, LEAST_HANDSHAKES, MOST_HANDSHAKES),
    connections: within(
      (own * CONNECTION_SHARE) / CONNECTION_BYTES[runtime],
      LEAST_CONNECTIONS,
      MOST_CONNECTIONS,
    ),
  };
}

/** What fits into the memory of this process. @param workers processes that share it */
export function ownLimits(workers: number): AdmissionLimits {
  const runtime = process.versions.bun === undefined ? 'node' : 'bun';
  return admissionLimits(memoryLimit(), { runtime, workers });
}

/** Somebody who has connected and not said who they are. */
interface Stranger {
  readonly share: string;
  readonly evict: () => void;
}

/**
 * Who may come in while it is not known who they are: over all ports of a process, so many as the memory bears. There is no limit for one address: a whole cluster may come from one (its NAT). Only where
 * there is no more room somebody has to go, and that is the one who has waited longest of the address that has most of it: whoever floods drives out themselves, and a client of the same address needs
 * the place for a round trip or two only, so that it is through before its turn comes.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  /** By share; each in the order of their coming. */
  readonly #strangers = new Map<string, Set<Stranger>>();
  /** Shares by how many strangers they have: the index. */
  readonly #bySize: Set<string>[] = [new Set()];
  #largest = 0;
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
   * @returns undefined when there is no room at all: every connection belongs to somebody who has proven who they are
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
    const [share = ''] = this.#bySize[this.#largest] ?? [];
    const [oldest] = this.#strangers.get(share) ?? [];
    if (oldest === undefined) return;
    this.#remove(oldest);
    oldest.evict();
  }

  #add(stranger: Stranger): void {
    const { share } = stranger;
    const own = this.#strangers.get(share) ?? new Set();
    this.#strangers.set(share, own.add(stranger));
    this.#resize(share, own.size - 1, own.size);
    this.#largest = Math.max(this.#largest, own.size);
    this.#handshakes++;
  }

  #remove(stranger: Stranger): boolean {
    const { share } = stranger;
    const own = this.#strangers.get(share);
    if (own?.delete(stranger) !== true) return false;
    this.#resize(share, own.size + 1, own.size);
    if (own.size === 0) this.#strangers.delete(share);
    while (this.#largest > 0 && this.#bySize[this.#largest]?.size === 0) this.#largest--;
    this.#handshakes--;
    return true;
  }

  #resize(share: string, before: number, after: number): void {
    this.#bySize[before]?.delete(share);
    if (after > 0) (this.#bySize[after] ??= new Set()).add(share);
  }
}

/** The place of one connection. */
export interface Ticket {
  /** It has proven who it is. */
  admit(): void;
  /** It is closed. */
  leave(): void;
}

import type { V1ConfigMap } from '@kubernetes/client-node';
import { notifyAll } from '../../base/isolation.ts';
import { sleep } from '../../base/clock.ts';
import { DEFAULT_EGRESS_RANGE, type EgressPorts, type PortRange } from '../../api/egress/egress-ports.ts';
import {
  type EgressClaim,
  FREED_HOLD_MS,
  holderOf,
  isFreed,
  type RecordEntry,
} from '../../api/egress/egress-record.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { chooseEgressPorts } from './port-choice.ts';
import { EgressShards, type EgressShardsOptions } from './egress-shards.ts';
import { type ClaimScope, scopeOf } from './egress-table.ts';

const ABANDON_MS = 2000;

/** Who asks for egress ports, and where what arrives on them is to go. */
export interface EgressWish extends Omit<EgressClaim, 'port'> {
  readonly servicePorts: readonly number[];
}

/** `unrecorded`: they are chosen and stand in the record in a moment; `exhausted`: there are none. */
export type Allocation = EgressPorts | 'unrecorded' | 'exhausted';

/** What a Link hears of the record: an export of its cluster that has to be looked at again. */
export type ClaimListener = (scope: ClaimScope) => void;

export interface EgressAllocatorOptions extends Omit<EgressShardsOptions, 'onChange'> {
  readonly store: IndexedStore<V1ConfigMap>;
  readonly range?: PortRange;
}

/**
 * Which mirror holds which egress port, over all Links. The record in the installation's namespace says so
 * (ADR 0024), never what stands on a Service: the first claim of a port has it. A port counts for a mirror
 * only when it is recorded, as until then another replica may get it.
 */
export class EgressAllocator {
  readonly #shards: EgressShards;
  readonly #options: EgressAllocatorOptions;
  readonly #listeners = new Map<string, Set<ClaimListener>>();

  constructor(options: EgressAllocatorOptions) {
    this.#options = options;
    this.#shards = new EgressShards({
      ...options,
      onChange: (_port, entries) => this.#tell(entries),
    });
  }

  /** Makes the record where there is none, of `seed`: what an installation has from before there was one. */
  establish(seed: () => ReadonlyMap<number, EgressClaim>): void {
    if (this.#shards.established) return;
    for (const [port, claim] of seed())
      if (this.#shards.get(port) === undefined) this.#shards.put(port, claim);
    this.#shards.establish();
  }

  /** Requests for writes of the record so far. */
  get writes(): number {
    return this.#shards.writes;
  }

  /** Ports for a wish: those that it has stay. They may be used only when they are given as ports. */
  allocate({ servicePorts, ...wish }: EgressWish): Allocation {
    const ports = this.#choose({ servicePorts, ...wish });
    if (ports === undefined) return 'exhausted';
    for (const [text, port] of Object.entries(ports))
      if (!this.#shards.put(port, { ...wish, port: Number(text) })) return 'exhausted';
    return this.#isRecorded(ports, holderOf(wish)) ? ports : 'unrecorded';
  }

  #choose({ servicePorts, ...wish }: EgressWish): EgressPorts | undefined {
    const holder = holderOf(wish);
    return chooseEgressPorts(
      holder,
      servicePorts,
      this.#portsOf(holder),
      (port) => this.#takenFor(port, holder),
      this.#options.range ?? DEFAULT_EGRESS_RANGE,
    );
  }

  #isRecorded(ports: EgressPorts, holder: string): boolean {
    return Object.values(ports).every((port) => {
      const entry = this.#shards.recorded.get(port);
      return entry !== undefined && !isFreed(entry) && holderOf(entry) === holder;
    });
  }

  /**
   * Gives back what is held for an export and is not wanted any more.
   * @param wanted service ports by holder
   */
  settle(scope: ClaimScope, wanted: ReadonlyMap<string, readonly number[]>): void {
    const { recorded, pending } = this.#shards;
    const freed = this.#options.clock.now();
    for (const port of new Set([...recorded.ofScope(scope), ...pending.ofScope(scope)])) {
      const entry = this.#shards.get(port);
      if (entry === undefined || isFreed(entry)) continue;
      const holder = holderOf(entry);
      const isWanted = wanted.get(holder)?.includes(entry.port) === true;
      // If a service port has two egress ports (somebody has edited the record), the one that is not in use
      // is given back.
      if (isWanted && this.#portsOf(holder)[entry.port] === port) continue;
      this.#free(port, entry, freed);
    }
  }

  /** Gives back everything that was claimed for a Link and one cluster. */
  releaseLink(link: string, cluster: string): void {
    const freed = this.#options.clock.now();
    for (const table of [this.#shards.pending, this.#shards.recorded]) {
      for (const port of table.ports()) {
        const entry = this.#shards.get(port);
        if (entry !== undefined && !isFreed(entry) && entry.link === link && entry.cluster === cluster)
          this.#free(port, entry, freed);
      }
    }
  }

  /** Exports that something is claimed for by a Link. */
  scopes(link: string): ClaimScope[] {
    return this.#shards.recorded
      .claims()
      .filter((claim) => claim.link === link)
      .map(scopeOf);
  }

  /** Links (`namespace/name`) that something is claimed for, with the clusters. */
  links(): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    for (const { link, cluster } of this.#shards.recorded.claims())
      found.set(link, (found.get(link) ?? new Set()).add(cluster));
    return found;
  }

  /** Calls `listener` when what is claimed for a Link's exports has changed. @returns what ends it */
  follow(link: string, listener: ClaimListener): () => void {
    const listeners = this.#listeners.get(link) ?? new Set();
    this.#listeners.set(link, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(link) === listeners) this.#listeners.delete(link);
    };
  }

  /**
   * A Link is no longer this replica's: nothing more of it will be written. Resolves when what is under way
   * has ended, or after 2 s: a write that arrives later is still bound to what it was decided on, so it takes
   * nothing from who has the Link now.
   */
  async abandon(link: string): Promise<void> {
    const { pending, recorded } = this.#shards;
    for (const port of pending.ports()) {
      const entry = pending.get(port);
      const claim = entry !== undefined && isFreed(entry) ? recorded.get(port) : entry;
      if (claim !== undefined && !isFreed(claim) && claim.link === link) this.#shards.forget(port);
    }
    const ended = new AbortController();
    const late = sleep(this.#options.clock, ABANDON_MS, ended.signal).catch(() => undefined);
    await Promise.race([this.#shards.idle(), late]);
    ended.abort();
  }

  stop(): Promise<void> {
    return this.#shards.stop();
  }

  #free(port: number, { mirror, member, port: servicePort }: EgressClaim, freed: number): void {
    // A port that never stood in the record was never used, so it need not be kept from others for a while.
    if (this.#shards.recorded.get(port) === undefined) return this.#shards.forget(port);
    this.#shards.put(port, { mirror, ...(member === undefined ? {} : { member }), port: servicePort, freed });
  }

  /** Egress port of each service port that a holder has, or had a moment ago. */
  #portsOf(holder: string): EgressPorts {
    const found: Record<number, number> = {};
    const ports = this.#shards.ofHolder(holder).map((port) => ({ port, entry: this.#shards.get(port) }));
    // The last one set wins: freed ports first, then live ones, of these the lowest last.
    const rank = (entry: RecordEntry | undefined) => Number(entry !== undefined && !isFreed(entry));
    ports.sort((a, b) => rank(a.entry) - rank(b.entry) || b.port - a.port);
    for (const { port, entry } of ports) if (entry !== undefined) found[entry.port] = port;
    return found;
  }

  #takenFor(port: number, holder: string): boolean {
    const { pending, recorded } = this.#shards;
    const now = this.#options.clock.now();
    return [pending.get(port), recorded.get(port)].some((entry) => {
      if (entry === undefined || holderOf(entry) === holder) return false;
      return !isFreed(entry) || Math.abs(now - entry.freed) <= FREED_HOLD_MS;
    });
  }

  #tell(entries: readonly RecordEntry[]): void {
    for (const entry of entries) {
      if (isFreed(entry)) continue;
      notifyAll('listeners of egress ports', this.#listeners.get(entry.link) ?? [], scopeOf(entry));
    }
  }
}

import { addTo, removeFrom } from '../../base/multimap.ts';
import {
  APEX_MEMBER,
  type EgressClaim,
  holderOf,
  isClaim,
  type RecordEntry,
} from '../../api/egress/egress-record.ts';

/** One export in one of its two forms, for which ports are claimed: as mirrors, or as a federated member. */
export interface ClaimScope {
  readonly cluster: string;
  /** The exported Service, `namespace/name`. */
  readonly export: string;
  readonly federated: boolean;
}

/** Entries by port, found also by their holder and by the export that they are for. */
export class EgressTable {
  readonly #entries = new Map<number, RecordEntry>();
  readonly #holders = new Map<string, Set<number>>();
  readonly #scopes = new Map<string, Set<number>>();
  readonly #mirrors = new Map<string, Set<number>>();
  readonly #apexes = new Set<number>();

  /** How many ports have entries, freed ones too. */
  get size(): number {
    return this.#entries.size;
  }

  get(port: number): RecordEntry | undefined {
    return this.#entries.get(port);
  }

  /** The ports that have entries, freed ones too. */
  ports(): number[] {
    return [...this.#entries.keys()];
  }

  /** The entries that are not freed. */
  claims(): EgressClaim[] {
    return [...this.#entries.values()].filter(isClaim);
  }

  /** The ports of a holder, freed ones too. */
  ofHolder(holder: string): number[] {
    return [...(this.#holders.get(holder) ?? [])];
  }

  /** The ports of a Service here, both those of single members and those of the group; freed ones too. */
  ofMirror(mirror: string): number[] {
    return [...(this.#mirrors.get(mirror) ?? [])];
  }

  /** The ports of users' Services, freed ones too. */
  ofApexes(): number[] {
    return [...this.#apexes];
  }

  /** The ports that are held for an export, freed ones not. */
  ofScope(scope: ClaimScope): number[] {
    return [...(this.#scopes.get(scopeKey(scope)) ?? [])];
  }

  /** Adds the entry of a port, or replaces it. */
  set(port: number, entry: RecordEntry): void {
    this.delete(port);
    this.#entries.set(port, entry);
    addTo(this.#holders, holderOf(entry), port);
    addTo(this.#mirrors, entry.mirror, port);
    if (entry.member === APEX_MEMBER) this.#apexes.add(port);
    if (isClaim(entry)) addTo(this.#scopes, scopeKey(scopeOf(entry)), port);
  }

  delete(port: number): void {
    const entry = this.#entries.get(port);
    if (entry === undefined) return;
    this.#entries.delete(port);
    removeFrom(this.#holders, holderOf(entry), port);
    removeFrom(this.#mirrors, entry.mirror, port);
    this.#apexes.delete(port);
    if (isClaim(entry)) removeFrom(this.#scopes, scopeKey(scopeOf(entry)), port);
  }
}

/** The export that a claim is for. */
export function scopeOf({ cluster, export: exported, member }: EgressClaim): ClaimScope {
  return { cluster, export: exported, federated: member !== undefined };
}

function scopeKey({ cluster, export: exported, federated }: ClaimScope): string {
  return `${cluster} ${exported} ${federated ? 'federated' : 'mirror'}`;
}

import { addTo, removeFrom } from '../../base/multimap.ts';
import { holderOf, isFreed, type EgressClaim, type RecordEntry } from '../../api/egress/egress-record.ts';

/** What one export has to do with the record: its Service's mirrors, or its place in a federated Service. */
export interface ClaimScope {
  readonly cluster: string;
  /** The exported Service, `namespace/name`. */
  readonly export: string;
  readonly federated: boolean;
}

/** Ports with their entries, found by who holds them and by what export they are for. */
export class EgressTable {
  readonly #entries = new Map<number, RecordEntry>();
  readonly #holders = new Map<string, Set<number>>();
  readonly #scopes = new Map<string, Set<number>>();

  get size(): number {
    return this.#entries.size;
  }

  get(port: number): RecordEntry | undefined {
    return this.#entries.get(port);
  }

  ports(): number[] {
    return [...this.#entries.keys()];
  }

  claims(): EgressClaim[] {
    return [...this.#entries.values()].filter((entry): entry is EgressClaim => !isFreed(entry));
  }

  /** Ports of a holder, freed ones too. */
  ofHolder(holder: string): number[] {
    return [...(this.#holders.get(holder) ?? [])];
  }

  /** Ports that are held for an export. */
  ofScope(scope: ClaimScope): number[] {
    return [...(this.#scopes.get(scopeKey(scope)) ?? [])];
  }

  set(port: number, entry: RecordEntry): void {
    this.delete(port);
    this.#entries.set(port, entry);
    addTo(this.#holders, holderOf(entry), port);
    if (!isFreed(entry)) addTo(this.#scopes, scopeKey(scopeOf(entry)), port);
  }

  delete(port: number): void {
    const entry = this.#entries.get(port);
    if (entry === undefined) return;
    this.#entries.delete(port);
    removeFrom(this.#holders, holderOf(entry), port);
    if (!isFreed(entry)) removeFrom(this.#scopes, scopeKey(scopeOf(entry)), port);
  }
}

/** The export that a claim is for. */
export function scopeOf({ cluster, export: exported, member }: EgressClaim): ClaimScope {
  return { cluster, export: exported, federated: member !== undefined };
}

function scopeKey({ cluster, export: exported, federated }: ClaimScope): string {
  return `${cluster} ${exported} ${federated ? 'federated' : 'mirror'}`;
}

/** Fewer removals than this are never held back. */
export const GUARD_MINIMUM = 10;

/** When removals are held back until a second full list has confirmed them. */
export interface DropGuardSettings {
  /** Share of a peer's mirrors that may be removed at once, 0..1; default 0.5. 1 turns the guard off. */
  readonly fraction: number;
}

/**
 * Whether removals must be held: so many of a peer's mirrors have lost their Service at once that a mistake
 * over there (an emptied etcd, a selector that stopped matching, a restored backup) is likelier than intent.
 *
 * @param mirrors how many mirrors of the peer exist
 * @param absent how many of them the target no longer exports
 * @param confirmed how many of the absent were confirmed by a second full list
 */
export function removalsHeld(
  counts: { readonly mirrors: number; readonly absent: number; readonly confirmed: number },
  settings: DropGuardSettings,
): boolean {
  const unconfirmed = counts.absent - counts.confirmed;
  return unconfirmed >= GUARD_MINIMUM && unconfirmed > counts.mirrors * settings.fraction;
}

const MEMBER_PREFIX = 'federated ';

/**
 * The guard's key of a federated membership; that of a mirror is the key of its Service. Memberships and
 * mirrors of one Service are two claims.
 */
export function memberClaim(key: string): string {
  return MEMBER_PREFIX + key;
}

/** The key of the Service behind a claim, and whether it is a membership. */
export function parseClaim(claim: string): { readonly key: string; readonly federated: boolean } {
  const federated = claim.startsWith(MEMBER_PREFIX);
  return { key: federated ? claim.slice(MEMBER_PREFIX.length) : claim, federated };
}

/**
 * What has become of an export whose mirror exists: `there`; `absent`, no longer exported; `emptied`: its
 * EndpointSlices are all gone, which kube never lets happen to a Service with a selector, while the mirror
 * has endpoints to lose.
 */
export type ClaimState = 'there' | 'absent' | 'emptied';

/**
 * Counts, for one peer, what exists here (claims: mirrors and federated memberships) and what of it the
 * target no longer exports. `note` keeps the sets up to date key by key, so that `held`, which is asked for
 * each decision, compares three numbers; `absent` and `holding` go through all that is absent, and are for
 * rare use.
 */
export class DropGuard {
  readonly #settings: DropGuardSettings;
  readonly #claims = new Set<string>();
  readonly #absent = new Set<string>();
  readonly #emptied = new Set<string>();
  readonly #confirmed = new Set<string>();

  constructor(settings: DropGuardSettings) {
    this.#settings = settings;
  }

  /**
   * Takes note of a key: whether something of ours exists for it here, and what has become of it over there.
   * @returns whether it exists now and did not, or the other way round
   */
  note(key: string, claimed: boolean, state: ClaimState): boolean {
    const appeared = claimed !== this.#claims.has(key);
    const lost = claimed && state !== 'there';
    const put = (set: Set<string>, wanted: boolean) => (wanted ? set.add(key) : set.delete(key));
    put(this.#claims, claimed);
    put(this.#absent, lost);
    put(this.#emptied, lost && state === 'emptied');
    if (!lost) this.#confirmed.delete(key);
    return appeared;
  }

  /** Whether the removal of this key must wait. */
  held(key: string): boolean {
    if (this.#confirmed.has(key)) return false;
    const counts = {
      mirrors: this.#claims.size,
      absent: this.#absent.size,
      confirmed: this.#confirmed.size,
    };
    return removalsHeld(counts, this.#settings);
  }

  /** Whether so many of what is here are too many to go at once. */
  tooMany(removals: number): boolean {
    return removalsHeld({ mirrors: this.#claims.size, absent: removals, confirmed: 0 }, this.#settings);
  }

  /** Keys that are here and no longer exported, or without any slice, over there. */
  get absent(): readonly string[] {
    return [...this.#absent];
  }

  /** Whether some removal must wait. */
  get holding(): boolean {
    return this.absent.some((key) => this.held(key));
  }

  get claims(): number {
    return this.#claims.size;
  }

  /**
   * A second list has shown what the same cluster still exports: everything else may go, and what is exported
   * without slices may be emptied.
   * @returns the keys that may go on
   */
  confirm(present: ReadonlySet<string>): readonly string[] {
    const confirmed = this.absent.filter((key) => !present.has(key) || this.#emptied.has(key));
    for (const key of confirmed) this.#confirmed.add(key);
    return confirmed;
  }
}

/** Fewer removals than this are never held back. */
export const GUARD_MINIMUM = 10;

/** From which share on removals are held back until a second full list has confirmed them. */
export interface DropGuardSettings {
  /** Share of a peer's mirrors that may be removed at once, 0..1; default 0.5. 1 turns the guard off. */
  readonly fraction: number;
}

/**
 * Whether removals must be held: so many of a peer's mirrors have lost their Service at once that a mistake
 * in the target (an emptied etcd, a selector that stopped matching, a restored backup) is likelier than
 * intent.
 * @param counts `mirrors`: how many mirrors and memberships of the peer exist; `absent`: how many of them the
 * target no longer exports; `confirmed`: how many of these a second full list has confirmed
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
 * The guard's key (claim) of a federated membership; a mirror's is the key of its Service. A Service that is
 * mirrored and a member is two claims.
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
 * What has become of an export whose mirror exists. `there`: it is exported; `absent`: no longer; `emptied`:
 * it has no EndpointSlice any more, which kube never lets happen to a Service with a selector, while the
 * mirror has endpoints to lose.
 */
export type ClaimState = 'there' | 'absent' | 'emptied';

/**
 * Counts, for one peer, what exists here (claims: mirrors and federated memberships) and how much of it the
 * target no longer exports. `note` keeps the sets up to date key by key, so that `held`, which every decision
 * asks, compares three numbers. `absent` and `holding` go through everything that is absent, and are for rare
 * use.
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
   * Says how a claim stands.
   * @param claimed whether something of ours exists for it here
   * @param state what has become of it in the target
   * @returns whether `claimed` has changed
   */
  note(key: string, claimed: boolean, state: ClaimState): boolean {
    const changed = claimed !== this.#claims.has(key);
    const lost = claimed && state !== 'there';
    const put = (set: Set<string>, wanted: boolean) => (wanted ? set.add(key) : set.delete(key));
    put(this.#claims, claimed);
    put(this.#absent, lost);
    put(this.#emptied, lost && state === 'emptied');
    if (!lost) this.#confirmed.delete(key);
    return changed;
  }

  /** Whether the removal of this claim must wait. */
  held(key: string): boolean {
    if (this.#confirmed.has(key)) return false;
    const counts = {
      mirrors: this.#claims.size,
      absent: this.#absent.size,
      confirmed: this.#confirmed.size,
    };
    return removalsHeld(counts, this.#settings);
  }

  /** Whether so many removals are too many at once, by the same rule. */
  tooMany(removals: number): boolean {
    return removalsHeld({ mirrors: this.#claims.size, absent: removals, confirmed: 0 }, this.#settings);
  }

  /** The claims that exist here and are no longer exported, or have no slice any more. */
  get absent(): readonly string[] {
    return [...this.#absent];
  }

  /** Whether some removal must wait. */
  get holding(): boolean {
    return this.absent.some((key) => this.held(key));
  }

  /** How many claims exist here. */
  get claims(): number {
    return this.#claims.size;
  }

  /**
   * A second list of the same cluster has been read: what it does not have may go, and what is exported
   * without slices may be emptied.
   * @param present the claims of the listed Services
   * @returns the claims that are no longer held
   */
  confirm(present: ReadonlySet<string>): readonly string[] {
    const confirmed = this.absent.filter((key) => !present.has(key) || this.#emptied.has(key));
    for (const key of confirmed) this.#confirmed.add(key);
    return confirmed;
  }
}

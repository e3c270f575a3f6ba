/** Fewer removals than this are never held back. */
export const GUARD_MINIMUM = 10;

/** When removals are held back until a second full list has confirmed them. */
export interface DropGuardSettings {
  /** Share of a peer's mirrors that may be removed at once, 0..1; default 0.5. 1 turns the guard off. */
  readonly fraction: number;
}

/**
 * Whether removals must be held: so many of a peer's mirrors have lost their Service at once that a mistake over there (an emptied etcd, a
 * selector that stopped matching, a restored backup) is likelier than intent.
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

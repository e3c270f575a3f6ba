import type { FailoverState } from '../../api/failover/failover-reasons.ts';
import { BASIS_POINTS } from '../../policy/failover/apportion.ts';
import type { Decision } from '../../policy/failover/decide.ts';
import { standbyOrder } from '../../policy/failover/fallback.ts';
import { type BackendDraw, EQUAL_DRAW } from '../../proxy/group/group-backend.ts';

/** What was decided for one backend, `local` or a cluster. */
export interface DecidedBackend extends Omit<BackendDraw, 'order'> {
  readonly name: string;
  /** Undefined: it is never drawn. */
  readonly order: number | undefined;
  readonly state: FailoverState;
}

/** How the requests of a group are divided, at one moment. */
export interface Division {
  /** Ordered by tier, then by name. */
  readonly backends: readonly DecidedBackend[];
  /** The part of all requests that is refused, 0 to 1. */
  readonly refused: number;
}

/** What of a decision the egress needs. Shares are in basis points. Pure. */
export function divisionOf({ backends, refused }: Pick<Decision, 'backends' | 'refused'>): Division {
  return {
    backends: backends.map((one) => ({
      name: one.backend.name,
      share: one.share,
      order: standbyOrder(one),
      weight: one.weight,
      tier: one.backend.tier,
      state: one.state,
    })),
    refused: refused / BASIS_POINTS,
  };
}

/** Whether requests are divided in the same way; states are not compared. Pure. */
export function isSameDivision(a: Division, b: Division): boolean {
  return (
    a.refused === b.refused &&
    a.backends.length === b.backends.length &&
    a.backends.every((one, at) => {
      const other = b.backends[at];
      return (
        one.name === other?.name &&
        one.share === other.share &&
        one.order === other.order &&
        one.weight === other.weight &&
        one.tier === other.tier
      );
    })
  );
}

function isDrawn(backend: DecidedBackend): backend is DecidedBackend & BackendDraw {
  return backend.order !== undefined;
}

/**
 * How each of a route's backends is drawn; those that are missing in the result are not used: tiers leave
 * them out, their weight is 0, or they are no members any more. Where nothing is decided about any of them,
 * all are equal: facts may be missing, requests are not to fail for that. Pure.
 * @param names the backends that the route leads to
 */
export function drawsOf(
  division: Division | undefined,
  names: readonly string[],
): { readonly draws: ReadonlyMap<string, BackendDraw>; readonly refused: number } {
  const draws = new Map<string, BackendDraw>();
  const there = new Set(names);
  for (const one of division?.backends ?? [])
    if (isDrawn(one) && there.has(one.name)) draws.set(one.name, one);
  if (draws.size > 0) return { draws, refused: division?.refused ?? 0 };
  return { draws: new Map(names.map((name) => [name, EQUAL_DRAW])), refused: 0 };
}

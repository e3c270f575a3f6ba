import type { Random } from '../../base/backoff.ts';

/** What a draw needs to know of a backend. */
export interface Drawn {
  /** Its part of the requests, in proportion to the shares of the others; not negative. */
  readonly share: number;
  /** Decides where no backend that may be drawn has a share: those of the lowest order are drawn from. */
  readonly order: number;
  /** Its part among those of the same order, where that decides; 0: none, unless all have 0. */
  readonly weight: number;
}

/**
 * Draws one of the backends that may be drawn, in proportion to their shares. The share of one that may not
 * be drawn goes to the others, in proportion to theirs. Where those that may be drawn all have share 0, the
 * ones of the lowest order are drawn in proportion to their weights. Pure but for `random`, of which it takes
 * one number.
 * @param may whether a backend may be drawn; asked up to three times of each, and must answer the same each
 * time; undefined: all may
 * @returns undefined where none may be drawn
 */
export function drawBackend<B extends Drawn>(
  backends: readonly B[],
  may: ((backend: B) => boolean) | undefined,
  random: Random,
): B | undefined {
  let shares = 0;
  let first = Number.POSITIVE_INFINITY;
  for (const backend of backends) {
    if (may?.(backend) === false) continue;
    shares += backend.share;
    if (backend.order < first) first = backend.order;
  }
  if (first === Number.POSITIVE_INFINITY) return undefined;
  if (shares > 0) return pickAt(random() * shares, backends, may, shareOf);
  let weights = 0;
  let standbys = 0;
  for (const backend of backends) {
    if (backend.order !== first || may?.(backend) === false) continue;
    weights += backend.weight;
    standbys++;
  }
  if (weights > 0)
    return pickAt(random() * weights, backends, may, ({ order, weight }) => (order === first ? weight : 0));
  return pickAt(random() * standbys, backends, may, ({ order }) => (order === first ? 1 : 0));
}

/** Backends all of which may be drawn, with their parts side by side: a draw looks at nothing else. */
export class Parts<B extends Drawn> {
  readonly #backends: readonly B[];
  /** Where the part of each ends. */
  readonly #ends: readonly number[];

  /** @param backends those with a share count */
  constructor(backends: readonly B[]) {
    const drawn = backends.filter(({ share }) => share > 0);
    this.#backends = drawn.length === backends.length ? backends : drawn;
    let end = 0;
    this.#ends = this.#backends.map(({ share }) => (end += share));
  }

  /** Draws one in proportion to its share. @returns undefined where none has one */
  draw(random: Random): B | undefined {
    const ends = this.#ends;
    const last = ends.length - 1;
    const at = random() * (ends[last] ?? 0);
    let nth = 0;
    // With fractional shares, rounding may leave a little of the random number after the last backend.
    while (nth < last && at >= (ends[nth] ?? 0)) nth++;
    return this.#backends[nth];
  }
}

function shareOf({ share }: Drawn): number {
  return share;
}

/** The backend in whose part `at` lies, where the parts of those that may be drawn lie side by side. */
function pickAt<B extends Drawn>(
  at: number,
  backends: readonly B[],
  may: ((backend: B) => boolean) | undefined,
  partOf: (backend: B) => number,
): B | undefined {
  let left = at;
  let last: B | undefined;
  for (const backend of backends) {
    const part = partOf(backend);
    if (part <= 0 || may?.(backend) === false) continue;
    last = backend;
    left -= part;
    if (left < 0) return backend;
  }
  // With fractional shares, rounding may leave a little of the random number after the last backend.
  return last;
}

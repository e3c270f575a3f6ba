import type { TapFlow } from '../api/answers/tap-events.ts';

/** Events of one target that were left out. */
export interface TapLoss {
  readonly target: TapFlow['target'];
  readonly count: number;
}

/** Targets whose losses are told; those of further ones are not. */
const MAX_TARGETS = 100;

/**
 * Events that were left out, by target: whose requests may not be seen, of it no losses may be told either.
 * Whoever asks by path for next to no rate would learn from them what is asked for.
 */
export class TapLosses {
  readonly #counts = new Map<string, { readonly target: TapFlow['target']; count: number }>();

  add(target: TapFlow['target'], count: number): void {
    const key = `${target.namespace ?? ''}/${target.mirror ?? target.service ?? target.name}`;
    const known = this.#counts.get(key);
    if (known !== undefined) known.count += count;
    else if (this.#counts.size < MAX_TARGETS) this.#counts.set(key, { target, count });
  }

  /** What has been lost since this was last asked. */
  take(): TapLoss[] {
    const all = [...this.#counts.values()];
    this.#counts.clear();
    return all;
  }
}

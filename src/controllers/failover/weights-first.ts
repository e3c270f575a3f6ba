import type { Clock } from '../../base/clock.ts';
import type { WeighedServices } from './weighed-services.ts';

/** How long endpoints wait for weights at most, milliseconds. */
const PATIENCE_MS = 1000;

/** What a mirror looked like when it could be used last. */
interface Usable<F> {
  readonly facts: F;
  lostAt: number | undefined;
}

/**
 * Weights before endpoints: a backend without endpoints keeps requests of Linkerd's sidecars for 3 s
 * (failfast) as long as it has a weight. So the endpoints of a mirror that is lost stay until its weights are
 * gone, and for a second at most: whoever writes weights may be away.
 */
export class WeightsFirst<F> {
  readonly #weighed: Pick<WeighedServices, 'has' | 'isServing'>;
  readonly #clock: Clock;
  readonly #usable = new Map<string, Usable<F>>();

  constructor(weighed: Pick<WeighedServices, 'has' | 'isServing'>, clock: Clock) {
    this.#weighed = weighed;
    this.#clock = clock;
  }

  /**
   * What a mirror is to look like meanwhile.
   * @param service the mirror, `namespace/name`
   * @param facts as they are
   * @param lost whether it cannot be used any more
   * @returns undefined: as it is; else what it was like, and for how long, milliseconds
   */
  hold(service: string, facts: F, lost: boolean): { readonly facts: F; readonly ms: number } | undefined {
    if (!this.#weighed.has(service)) {
      this.#usable.delete(service);
      return undefined;
    }
    if (!lost) {
      this.#usable.set(service, { facts, lostAt: undefined });
      return undefined;
    }
    const before = this.#usable.get(service);
    if (before === undefined) return undefined;
    const now = this.#clock.monotonic();
    before.lostAt ??= now;
    const ms = before.lostAt + PATIENCE_MS - now;
    if (ms > 0 && this.#weighed.isServing(service)) return { facts: before.facts, ms };
    this.#usable.delete(service);
    return undefined;
  }
}

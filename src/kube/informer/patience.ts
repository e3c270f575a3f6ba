import { codeOf } from '../../api/errors/linkspan-error.ts';
import type { Clock } from '../../base/clock.ts';

/**
 * How long is waited for an API server that gives no answer before what it would have said is done without.
 */
export const PATIENCE_MS = 30_000;

/**
 * How long somebody who starts waits for what is not known. A refusal (401, 403) is an answer: it is said
 * again however often is asked. An error of any other kind is none, and says nothing of what there is; but
 * one group that is broken for good must not keep a program from serving all others for ever.
 */
export class Patience {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #since: number;

  /** Waits from now on. */
  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
    this.#since = clock.monotonic();
  }

  /** Whether it has to do without what this error has kept from it; undefined: there was none. */
  livesWith(error: unknown): boolean {
    if (error === undefined) return false;
    const code = codeOf(error);
    if (code === 'KUBE_UNAUTHORIZED' || code === 'KUBE_FORBIDDEN') return true;
    return this.#clock.monotonic() - this.#since >= PATIENCE_MS;
  }
}

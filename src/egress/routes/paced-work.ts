import type { Clock, Timer } from '../../base/clock.ts';
import { Pace } from '../../kube/budget/pace.ts';

export interface PacedWorkOptions {
  readonly clock: Clock;
  readonly work: () => void;
  /** Whether work has to wait for its turn; until then it is done as soon as it is asked for. */
  readonly isPaced: () => boolean;
}

/** A tenth of the time, in milliseconds of work for each second, and half a second of work at once. */
const SHARE = { perSecond: 100, burst: 500 } as const;
/** Longest wait, milliseconds, however much has been done that could not wait. */
const MAX_WAIT_MS = 5000;

/**
 * Work that many changes ask for: it is done once for all of one turn of the event loop, such as a first
 * list, and where they go on and on for no more than a tenth of the time. What cannot wait is done at once,
 * and paid for like the rest.
 */
export class PacedWork {
  readonly #options: PacedWorkOptions;
  readonly #pace: Pace;
  /** It will be done at the end of this turn. */
  #pending = false;
  #later: Timer | undefined;
  #stopped = false;

  constructor(options: PacedWorkOptions) {
    this.#options = options;
    this.#pace = new Pace(SHARE, options.clock);
  }

  /** Asks for it. @param isUrgent whether it cannot wait */
  soon(isUrgent = false): void {
    if (this.#pending || this.#stopped) return;
    const { clock, isPaced } = this.#options;
    const waitMs = isUrgent || !isPaced() ? 0 : Math.min(MAX_WAIT_MS, this.#pace.waitMs);
    if (waitMs > 0) {
      this.#later ??= clock.after(waitMs, () => this.soon(true), { unref: true });
      return;
    }
    this.#later?.cancel();
    this.#later = undefined;
    this.#pending = true;
    queueMicrotask(() => this.#do());
  }

  /** It is not done any more. */
  stop(): void {
    this.#stopped = true;
    this.#later?.cancel();
  }

  #do(): void {
    this.#pending = false;
    if (this.#stopped) return;
    const { clock, work, isPaced } = this.#options;
    const begun = clock.monotonic();
    try {
      work();
    } finally {
      // What is done before is no debt: nobody has to wait then.
      if (isPaced()) this.#pace.spend(clock.monotonic() - begun);
    }
  }
}

import type { Clock, Timer } from '../../base/clock.ts';

/** From so many milliseconds on, keys that wait are a backlog. */
const LASTING_MS = 1000;

/** The queues that are watched, and who hears of a backlog. */
export interface BacklogOptions {
  /** How many keys wait or are being worked on. */
  readonly depth: () => number;
  readonly clock: Clock;
  /** `lasting` has changed. */
  readonly onLasting: () => void;
  /** No key waits any more. */
  readonly onIdle: () => void;
}

/**
 * Whether keys of a Link have been waiting for a second or more. Its status shows that, and must not change
 * to and fro for keys that are reconciled within a moment.
 */
export class Backlog {
  readonly #options: BacklogOptions;
  #timer: Timer | undefined;
  #lasting = false;
  #stopped = false;

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  /** Whether keys have been waiting for a second or more. */
  get lasting(): boolean {
    return this.#lasting;
  }

  /** A queue has got its first key, or has none any more. */
  changed(): void {
    const { depth, clock, onLasting, onIdle } = this.#options;
    if (this.#stopped) return;
    if (depth() > 0) {
      if (!this.#lasting) this.#timer ??= clock.after(LASTING_MS, () => this.#lasts(), { unref: true });
      return;
    }
    this.#timer?.cancel();
    this.#timer = undefined;
    const lasted = this.#lasting;
    this.#lasting = false;
    if (lasted) onLasting();
    onIdle();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #lasts(): void {
    this.#timer = undefined;
    this.#lasting = true;
    this.#options.onLasting();
  }
}

import type { Clock, Timer } from '../../base/clock.ts';

/** What is worked off sooner than this is no news: milliseconds. */
const LASTING_MS = 1000;

export interface BacklogOptions {
  /** Keys that wait or are being worked on. */
  readonly depth: () => number;
  readonly clock: Clock;
  /** `lasting` has changed. */
  readonly onLasting: () => void;
  /** Nothing waits any more. */
  readonly onIdle: () => void;
}

/**
 * Whether a Link has more to do than it does in passing: keys that are looked at and done within a second
 * would otherwise turn its status to and fro.
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

  /** A queue has begun to have keys, or has none any more. */
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

import type { Clock, Timer } from '../../base/clock.ts';

export interface KeepAliveOptions {
  readonly clock: Clock;
  /** Silence after which the peer is asked whether it is still there. */
  readonly periodMs: number;
  /** How long it may take to answer. */
  readonly timeoutMs: number;
  readonly ask: () => void;
  readonly onDead: () => void;
}

/**
 * Notices a peer that is gone without a word: a node that lost its power, a firewall that forgot the
 * connection.
 */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  #timer: Timer | undefined;
  #heard = false;
  #asked = false;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    this.#wait(options.periodMs);
  }

  /** Something came. */
  heard(): void {
    this.#heard = true;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #wait(ms: number): void {
    this.#timer = this.#options.clock.after(ms, () => this.#look(), { unref: true });
  }

  #look(): void {
    const { periodMs, timeoutMs, ask, onDead } = this.#options;
    if (!this.#heard && this.#asked) return onDead();
    this.#asked = !this.#heard;
    this.#heard = false;
    if (this.#asked) ask();
    this.#wait(this.#asked ? timeoutMs : periodMs);
  }
}

import type { Clock, Timer } from '../../../base/clock.ts';

/** The timers of one request, by what they are for. */
export type DeadlineKind = 'request' | 'head' | 'response' | 'idle' | 'try' | 'pause';

/** Deadlines of one request. All of them end with it. */
export class RequestTimeouts {
  readonly #clock: Clock;
  readonly #expired: (kind: DeadlineKind) => void;
  readonly #timers = new Map<DeadlineKind, Timer>();
  #idleMs = 0;
  #activeAt = 0;

  constructor(clock: Clock, expired: (kind: DeadlineKind) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** Begins one; nothing where there is no limit, or it runs already. */
  begin(kind: DeadlineKind, ms: number | undefined): void {
    if (ms === undefined || this.#timers.has(kind)) return;
    this.#timers.set(
      kind,
      this.#clock.after(ms, () => {
        this.#timers.delete(kind);
        this.#expired(kind);
      }),
    );
  }

  end(kind: DeadlineKind): void {
    this.#timers.get(kind)?.cancel();
    this.#timers.delete(kind);
  }

  endAll(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  /** Begins to watch for silence. */
  watchIdle(ms: number | undefined): void {
    if (ms === undefined) return;
    this.#idleMs = ms;
    this.#activeAt = this.#clock.monotonic();
    this.#waitIdle(ms);
  }

  /** Something moved. A timer for each byte would cost more than a look at the end of the time. */
  touch(): void {
    if (this.#idleMs > 0) this.#activeAt = this.#clock.monotonic();
  }

  #waitIdle(ms: number): void {
    const timer = this.#clock.after(ms, () => {
      const left = this.#activeAt + this.#idleMs - this.#clock.monotonic();
      if (left > 0) return this.#waitIdle(left);
      this.#timers.delete('idle');
      this.#expired('idle');
    });
    this.#timers.set('idle', timer);
  }
}

import type { Clock, Timer } from '../../../base/clock.ts';
import { type FailureKind, ProxyFailure } from '../../http/failures.ts';

/**
 * The timers of one request. `request`: until the response is complete; `head`: until its head, as a route of
 * a ServiceProfile says; `response`: of one attempt, as `TimeoutRules.responseMs`; `idle`: as long as no byte
 * passes; `try`: of one attempt, as `RetryConfig.tryTimeoutMs`; `pause`: until the next attempt.
 */
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

  /** Begins a deadline, unless it has no limit or runs already. */
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

  /** A byte has passed. A timer for each byte would cost more than a check at the end of the time. */
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

const WHAT = {
  request: 'no complete response',
  head: 'no response',
  response: 'no end of the response',
  idle: 'nothing moved',
} as const;
const FAILURE: Readonly<Record<keyof typeof WHAT, FailureKind>> = {
  request: 'request timeout',
  head: 'request timeout',
  response: 'response timeout',
  idle: 'idle timeout',
};

/** The failure for a deadline that has passed. @param within milliseconds, as the rules say */
export function timeoutFailure(
  kind: keyof typeof WHAT,
  label: string,
  within: number | undefined,
): ProxyFailure {
  return new ProxyFailure(FAILURE[kind], `${label}: ${WHAT[kind]} within ${within} ms`);
}

/**
 * Time, injected: back-off, probes, leases and everything else that waits or measures takes a `Clock`, so
 * that tests run in virtual time (`test/support/virtual-clock.ts`). Beside this file only the time-outs of
 * sockets are the runtime's own, and the age of a token file that was read (`kube/client/auth.ts`).
 */

/** A pending timer; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/** Source of time and timers. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. */
  now(): number;
  /** Monotonic milliseconds; only differences mean anything. */
  monotonic(): number;
  /**
   * Runs `fn` once after `ms` milliseconds. The timer never keeps the process alive on its own when `unref`.
   */
  after(ms: number, fn: () => void, options?: { unref?: boolean }): Timer;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn, options) {
    const timer = setTimeout(fn, Math.max(0, ms));
    if (options?.unref === true) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Resolves when the signal is aborted; at once where it has been. Never rejects. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/**
 * A clock whose timers never throw: no caller is left who could catch it, and the process would end with all
 * that it carries.
 * @param caught told of what a timer threw; must not throw
 */
export function containedClock(clock: Clock, caught: (error: unknown) => void): Clock {
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: (ms, fn, options) =>
      clock.after(
        ms,
        () => {
          try {
            fn();
          } catch (error) {
            caught(error);
          }
        },
        options,
      ),
  };
}

/**
 * Time, injected: back-off, probes, leases and everything else that waits or measures takes a `Clock`, so
 * that tests run in virtual time (`test/support/virtual-clock.ts`). Beside this file only the time-outs of
 * sockets are the runtime's own, and the age of a token file that was read (`kube/client/auth.ts`).
 */

/** A timer that has not fired yet; `cancel` may be called again, and after it has fired. */
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
   * Runs `fn` once after `ms` milliseconds. With `unref` the timer alone does not keep the process alive;
   * default: it does.
   */
  after(ms: number, fn: () => void, options?: { unref?: boolean }): Timer;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn, options) {
    let timer: NodeJS.Timeout;
    const wait = (left: number): void => {
      timer = setTimeout(left > MAX_TIMEOUT ? () => wait(left - MAX_TIMEOUT) : fn, timeoutOf(left));
      if (options?.unref === true) timer.unref();
    };
    wait(ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Longest time that `setTimeout` takes, 25 days; a longer one it takes for 1 ms. */
const MAX_TIMEOUT = 2 ** 31 - 1;

function timeoutOf(ms: number): number {
  return Math.min(MAX_TIMEOUT, Math.max(0, ms));
}

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
 * A clock whose timers never throw: nobody could catch what a timer's function throws, and the process would
 * end with all its connections.
 * @param caught called with what a timer's function threw; must not throw itself
 */
export function containedClock(clock: Clock, caught: (error: unknown) => void): Clock {
  return {
    now: clock.now.bind(clock),
    monotonic: clock.monotonic.bind(clock),
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

import type { Clock } from './clock.ts';

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

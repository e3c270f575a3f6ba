/** Where contained internal errors are reported; see `reportContainedTo`. */
type Sink = (error: unknown, fields: Readonly<Record<string, string>>) => void;

/** While no sink is set: raised as uncaught, which ends the process unless it has a handler. */
const toProcess: Sink = (error) =>
  queueMicrotask(() => {
    throw error;
  });

let sink: Sink = toProcess;

/**
 * Sets where contained internal errors are reported: the last resort of the process
 * (`telemetry/last-resort.ts`), which logs and counts them.
 * @param next must not throw
 * @returns what puts the former sink back
 */
export function reportContainedTo(next: Sink): () => void {
  const former = sink;
  sink = next;
  return () => {
    sink = former;
  };
}

/**
 * Reports an internal error, an exception that is a bug of ours, to be logged with its stack and counted; the
 * caller then goes on. Never throws.
 * @param what the part of the program it happened in, a constant, for the log
 */
export function reportContained(
  error: unknown,
  what: string,
  fields: Readonly<Record<string, string>> = {},
): void {
  sink(error, { what, ...fields });
}

/**
 * Calls `work` for each item so that an exception at one of them does not keep the others from their turn.
 * For items that belong to different Services, connections or clusters.
 * @param what constant, for the log
 * @param caught gets what an item threw; must not throw itself; default `reportContained`
 */
export function forEachIsolated<T>(
  what: string,
  items: Iterable<T>,
  work: (item: T) => void,
  caught: (error: unknown, item: T) => void = (error) => reportContained(error, what),
): void {
  for (const item of items) {
    try {
      work(item);
    } catch (error) {
      caught(error, item);
    }
  }
}

/**
 * Calls every listener; one that throws does not affect the others.
 * @param what whose listeners they are, a constant, for the log
 */
export function notifyAll<A extends unknown[]>(
  what: string,
  listeners: Iterable<(...args: A) => void>,
  ...args: A
): void {
  forEachIsolated(what, listeners, (listener) => listener(...args));
}

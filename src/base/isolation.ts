/** Where mistakes go that nobody else is told of; see `surfaceTo`. */
type Sink = (error: unknown, fields: Readonly<Record<string, string>>) => void;

/** Without anybody to tell: the process is told, and ends unless it knows better. */
const toProcess: Sink = (error) =>
  queueMicrotask(() => {
    throw error;
  });

let sink: Sink = toProcess;

/**
 * Says who hears of mistakes that were contained: the last resort of the process
 * (`telemetry/last-resort.ts`), which logs and counts them. Must not throw.
 * @returns what puts the former one back
 */
export function surfaceTo(next: Sink): () => void {
  const former = sink;
  sink = next;
  return () => {
    sink = former;
  };
}

/**
 * Hands a mistake of ours on, so that it is in the log with its stack and counted, and goes on. Never throws.
 * @param what whose it is, constant, for the log
 */
export function surface(error: unknown, what: string, fields: Readonly<Record<string, string>> = {}): void {
  sink(error, { what, ...fields });
}

/**
 * Does something for each of the items, which are different people's: what one of them throws keeps no other
 * from its turn.
 * @param what constant, for the log
 * @param caught default: `surface`; must not throw
 */
export function eachAlone<T>(
  what: string,
  items: Iterable<T>,
  work: (item: T) => void,
  caught: (error: unknown, item: T) => void = (error) => surface(error, what),
): void {
  for (const item of items) {
    try {
      work(item);
    } catch (error) {
      caught(error, item);
    }
  }
}

/** Tells listeners; one that throws harms only itself. @param what whose listeners, constant, for the log */
export function tellAll<A extends unknown[]>(
  what: string,
  listeners: Iterable<(...args: A) => void>,
  ...args: A
): void {
  eachAlone(what, listeners, (listener) => listener(...args));
}

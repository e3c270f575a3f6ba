import { pino } from 'pino';
import type { Clock, Timer } from '../base/clock.ts';
import type { MetricFamily } from './exposition.ts';

/** Bytes that are gathered before a write. */
const GATHERED = 8 * 1024;
/** Most bytes that wait for a slow reader; lines beyond it are dropped. */
const WAITING = 4 * 1024 * 1024;
/** Longest time that gathered lines wait, milliseconds. */
const FLUSH_MS = 500;

/** How many lines were dropped. */
export const droppedLinesFamily = {
  name: 'linkspan_access_log_dropped_total',
  type: 'counter',
  labels: [],
  help: 'Lines of the access log that were left out because nobody took them fast enough.',
} as const satisfies MetricFamily;

/** Writes many lines to standard output without ever blocking the process on their reader. */
export class LineWriter {
  /** Lines that were dropped because the reader was too slow or gone. */
  dropped = 0;
  readonly #clock: Clock;
  readonly #destination = pino.destination({ dest: 1, sync: false, minLength: GATHERED, maxLength: WAITING });
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#destination.on('drop', () => this.dropped++);
    // The reader has gone; traffic goes on.
    this.#destination.on('error', () => this.dropped++);
  }

  write(line: string): void {
    this.#destination.write(line);
    this.#timer ??= this.#clock.after(
      FLUSH_MS,
      () => {
        this.#timer = undefined;
        this.#destination.flush();
      },
      { unref: true },
    );
  }

  /** Writes the gathered lines, synchronously. For the end of the process, where blocking does no harm. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#destination.flushSync();
  }
}

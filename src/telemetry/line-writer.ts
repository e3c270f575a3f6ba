import { pino } from 'pino';
import type { Clock, Timer } from '../base/clock.ts';

/** Bytes that are gathered before they are written. */
const GATHERED = 8 * 1024;
/** Bytes that wait for a slow reader; lines beyond it are left out. */
const WAITING = 4 * 1024 * 1024;
/** Time after which gathered lines are written however few they are. */
const FLUSH_MS = 500;

/** Writes many lines to standard output without ever making the process wait for whoever reads them. */
export class LineWriter {
  /** Lines that were left out because nobody took them fast enough. */
  dropped = 0;
  readonly #clock: Clock;
  readonly #destination = pino.destination({ dest: 1, sync: false, minLength: GATHERED, maxLength: WAITING });
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#destination.on('drop', () => this.dropped++);
    // Whoever read them has gone; the traffic goes on.
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

  /** Writes what is waiting. For the end of the process, where waiting does no harm. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#destination.flushSync();
  }
}

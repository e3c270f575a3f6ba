import type { Clock } from '../base/clock.ts';
import { codeOf } from '../api/errors/linkspan-error.ts';
import type { Logger } from './log.ts';

/** Lines in one window, whatever they say. */
const MAX_LINES = 20;
const WINDOW_MS = 60_000;
/** Places that have their first line although the window is full, so that one mistake cannot hide another. */
const MAX_PLACES = 100;

export interface InternalErrorLogOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** Lines a minute; default 20. */
  readonly internalErrorLines?: number;
}

/**
 * The log of exceptions that nobody foresaw. Whoever has found one in the data path can cause it as often as
 * he likes, so there are 20 lines a minute, and one for each place in the code that has not been heard of;
 * those left out are counted, and said at the end of the minute. With texts as long as a log takes
 * (`errorFields`) that is 3 MB an hour at the most, and some hundred kB in practice.
 */
export class InternalErrorLog {
  readonly #options: InternalErrorLogOptions;
  readonly #places = new Set<string>();
  #inWindow = 0;
  #leftOut = 0;
  #open = false;

  constructor(options: InternalErrorLogOptions) {
    this.#options = options;
  }

  /**
   * Writes a line with the stack, or counts it. Never throws, whatever it is given: nobody is left to catch
   * it.
   * @param message constant: what became of what it happened in
   */
  say(error: unknown, message: string, fields: Readonly<Record<string, string>> = {}): void {
    try {
      this.#window();
      this.#inWindow++;
      if (!this.#isNew(placeOf(error)) && this.#inWindow > (this.#options.internalErrorLines ?? MAX_LINES)) {
        this.#leftOut++;
        return;
      }
      // Errors with a code have no stack in `err`: they are foreseen, where they are thrown.
      const stack = codeOf(error) === undefined ? {} : { stack: (error as Error).stack };
      this.#options.log.error({ code: 'INTERNAL_ERROR', ...fields, err: error, ...stack }, message);
    } catch {
      // Something that cannot even be written, or a log that cannot be written to. The counters have it.
      this.#leftOut++;
    }
  }

  #isNew(place: string): boolean {
    if (this.#places.has(place) || this.#places.size >= MAX_PLACES) return false;
    this.#places.add(place);
    return true;
  }

  #window(): void {
    if (this.#open) return;
    this.#open = true;
    this.#options.clock.after(WINDOW_MS, () => this.#close(), { unref: true });
  }

  #close(): void {
    const leftOut = this.#leftOut;
    this.#open = false;
    this.#inWindow = 0;
    this.#leftOut = 0;
    if (leftOut === 0) return;
    try {
      this.#options.log.error({ code: 'INTERNAL_ERROR', leftOut }, 'internal errors left out of the log');
    } catch {
      this.#leftOut += leftOut;
      this.#window();
    }
  }
}

/** For flows: what is thrown ended the one in which it happened (`proxy/http/failure-boundary.ts`). */
export function flowErrors(options: InternalErrorLogOptions): (error: unknown) => void {
  const lines = new InternalErrorLog(options);
  return (error) => lines.say(error, 'internal error, its flow was ended');
}

/**
 * Where it was thrown: the line of its stack behind the text, which a peer may have written, lines and all.
 */
function placeOf(error: unknown): string {
  if (!(error instanceof Error) || error.stack === undefined) return typeof error;
  const { message, name, stack } = error;
  const at = stack.indexOf(message);
  return at < 0
    ? name
    : (stack
        .slice(at + message.length)
        .split('\n', 2)[1]
        ?.trim() ?? name);
}

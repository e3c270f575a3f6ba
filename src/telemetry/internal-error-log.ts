import type { Clock } from '../base/clock.ts';
import { codeOf } from '../api/errors/linkspan-error.ts';
import type { Logger } from './log.ts';

/** Most lines in a window of one minute; default. */
const MAX_LINES = 20;
const WINDOW_MS = 60_000;
/**
 * Most places in the code whose first error is logged even when the window is full, so that one bug cannot
 * hide another.
 */
const MAX_PLACES = 100;

export interface InternalErrorLogOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** Lines a minute; default 20. */
  readonly internalErrorLines?: number;
}

/**
 * Logs unforeseen exceptions, with a limit: a peer that has found one in the data path can cause it as often
 * as it likes. There are 20 lines a minute, and one more for each place in the code that has not been logged
 * yet; the number of omitted ones is logged at the end of the minute. With texts of the greatest length
 * (`errorFields`) that is 3 MB an hour at most, and some hundred kB in practice.
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
   * Logs an error with its stack, or counts it as omitted. Never throws, whatever value was thrown, because
   * no caller could catch it.
   * @param message a constant that says what happened to the flow or task in which it was thrown
   */
  say(error: unknown, message: string, fields: Readonly<Record<string, string>> = {}): void {
    try {
      this.#window();
      this.#inWindow++;
      if (!this.#isNew(placeOf(error)) && this.#inWindow > (this.#options.internalErrorLines ?? MAX_LINES)) {
        this.#leftOut++;
        return;
      }
      // `errorFields` omits the stack of errors with a code, as they are expected; here they are not.
      const stack = codeOf(error) === undefined ? {} : { stack: (error as Error).stack };
      this.#options.log.error({ code: 'INTERNAL_ERROR', ...fields, err: error, ...stack }, message);
    } catch {
      // The value cannot be serialised, or the log cannot be written; the counters still have it.
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

/**
 * A handler for exceptions in the data path, each of which has ended its flow
 * (`proxy/http/failure-boundary.ts`).
 */
export function flowErrors(options: InternalErrorLogOptions): (error: unknown) => void {
  const lines = new InternalErrorLog(options);
  return (error) => lines.say(error, 'internal error, its flow was ended');
}

/**
 * Where it was thrown: the first stack frame. The message before it is skipped, because a peer may have
 * written it, line breaks included.
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

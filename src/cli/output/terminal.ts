import { styleText } from 'node:util';

/** Colours and styles of text on a terminal. */
export type Tone = 'green' | 'yellow' | 'red' | 'bold' | 'dim';

/**
 * The text in a colour where `stream` is a terminal with colours; unchanged elsewhere and with `NO_COLOR`
 * (https://no-color.org).
 */
export function toned(tone: Tone, text: string, stream: NodeJS.WritableStream = process.stdout): string {
  return styleText(tone, text, { stream });
}

/**
 * One line that says what is being waited for, rewritten in place; on a terminal only, so that logs and pipes
 * stay clean.
 */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #shown = false;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /**
   * Replaces what was shown. Longer texts are cut to the terminal's width: a line that wraps cannot be
   * rewritten.
   */
  show(text: string): void {
    if (!this.#stream.isTTY) return;
    this.#stream.write(`\r\u001b[K${text.slice(0, Math.max(1, this.#stream.columns - 1))}`);
    this.#shown = true;
  }

  /** Removes the line; to be called before anything else is printed, and at the end. */
  clear(): void {
    if (this.#shown) this.#stream.write('\r\u001b[K');
    this.#shown = false;
  }
}

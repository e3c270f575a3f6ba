/** Output of processes that run at the same time, kept apart. */

/** The counting reporter writes it behind every suite at the top of a file. */
export const END_OF_PIECE = '\x1e';

/**
 * Cuts a stream of text into what one suite said each; the rest, mocha's list of failures, is kept until the
 * end.
 */
export class Pieces {
  #rest = '';
  readonly #print: (piece: string) => void;

  constructor(print: (piece: string) => void) {
    this.#print = print;
  }

  /** What a process has written. */
  take(text: string): void {
    const pieces = (this.#rest + text).split(END_OF_PIECE);
    this.#rest = pieces.pop() ?? '';
    for (const piece of pieces) this.#print(piece);
  }

  /** What came after the last suite; call it when the process has ended. */
  rest(): string {
    return this.#rest;
  }
}

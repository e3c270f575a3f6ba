/** Most problems that are reported of one text. */
const MAX_LINES = 16;
/** How much of the text is quoted in a message, characters. */
const MAX_QUOTE = 60;

/** Gathers the problems of an annotation, no more than fit into an Event. */
export class Problems {
  readonly #name: string;
  readonly #lines: string[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  add(what: string): void {
    if (this.#lines.length < MAX_LINES) this.#lines.push(`${this.#name}: ${what}`);
  }
}

/** A word of an annotation, shortened so that it can be quoted. */
export function shortened(word: string): string {
  return word.length <= MAX_QUOTE ? word : `${word.slice(0, MAX_QUOTE)}…`;
}

import { systemClock, sleep } from '../../base/clock.ts';
import { plainText } from '../../base/text.ts';

/** Clears a terminal and goes to its first place, and what is behind what was written. */
const HOME = '\u001b[H';
const CLEAR_BELOW = '\u001b[J';
const CLEAR_LINE = '\u001b[K';

/**
 * Where readings are shown: once, or in live mode each over the one before on a terminal, and one behind the
 * other elsewhere.
 */
export class Screen {
  readonly #stream: NodeJS.WriteStream;
  readonly #everyMs: number | undefined;
  readonly #ended = new AbortController();
  readonly #end = () => this.#ended.abort();
  /** When somebody has ended it. */
  readonly ended: Promise<undefined>;
  #shown = 0;

  /** @param everyMs undefined: once */
  constructor(stream: NodeJS.WriteStream, everyMs: number | undefined) {
    this.#stream = stream;
    this.#everyMs = everyMs;
    this.ended = new Promise((resolve) => {
      this.#ended.signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    if (everyMs === undefined) return;
    process.once('SIGINT', this.#end);
    process.once('SIGTERM', this.#end);
  }

  /** @param notes for stderr; on a live terminal they stand below */
  async show(text: string, notes: readonly string[]): Promise<void> {
    const lines = notes.map((note) => `linkspan: ${plainText(note)}\n`).join('');
    const isLive = this.#everyMs !== undefined && this.#stream.isTTY;
    if (!isLive) {
      process.stderr.write(lines);
      await this.#write(`${this.#shown > 0 && !text.startsWith('[') ? '\n' : ''}${text}`);
    } else {
      const first = this.#shown === 0 ? `${HOME}${CLEAR_BELOW}` : HOME;
      const { rows, columns } = this.#stream;
      const below = lines === '' ? [] : ['', ...lines.trimEnd().split('\n')];
      // What wraps could not be written over, and a table that is long must not hide who is not in it.
      const room = Math.max(1, rows - 1 - below.length);
      const all = [...text.trimEnd().split('\n', room), ...below].slice(0, Math.max(1, rows - 1));
      const fitting = all.map((line) => line.slice(0, columns));
      await this.#write(`${first}${fitting.map((line) => line + CLEAR_LINE).join('\n')}${CLEAR_BELOW}`);
    }
    this.#shown++;
  }

  /** Waits until it is time for another reading. @returns false: there is none */
  async next(): Promise<boolean> {
    if (this.#everyMs === undefined || this.#ended.signal.aborted) return false;
    try {
      await sleep(systemClock, this.#everyMs, this.#ended.signal);
    } catch (error) {
      if (!this.#ended.signal.aborted) throw error;
    }
    return !this.#ended.signal.aborted;
  }

  close(): void {
    process.off('SIGINT', this.#end);
    process.off('SIGTERM', this.#end);
    if (this.#everyMs !== undefined && this.#stream.isTTY && this.#shown > 0) this.#stream.write('\n');
  }

  /** A reader that is slow slows down the readings. */
  #write(text: string): Promise<void> {
    return new Promise((resolve) => this.#stream.write(text, () => resolve()));
  }
}

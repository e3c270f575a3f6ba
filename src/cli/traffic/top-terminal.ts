import { emitKeypressEvents } from 'node:readline';
import { type Clock, systemClock } from '../../base/clock.ts';
import type { Key } from '../output/top-screen.ts';

/** Another screen, so that the one before is there again afterwards; no cursor. */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
/** Least time between two pictures, milliseconds. */
const REDRAW_MS = 250;

/** What a terminal of `top` tells. */
export interface TopEvents {
  readonly key: (key: Key) => void;
  /** It has another size, or it is time: what is to be shown. */
  readonly lines: () => readonly string[];
  readonly end: () => void;
}

/**
 * A terminal that is ours as a whole: keys come one by one, pictures are drawn over each other, four times a
 * second at most. It is given back as it was, however the program ends.
 */
export class TopTerminal {
  readonly #input: NodeJS.ReadStream;
  readonly #output: NodeJS.WriteStream;
  readonly #events: TopEvents;
  readonly #clock: Clock;
  #drawnAt = -Infinity;
  #waiting = false;
  #open = true;

  constructor(input: NodeJS.ReadStream, output: NodeJS.WriteStream, events: TopEvents, clock = systemClock) {
    this.#input = input;
    this.#output = output;
    this.#events = events;
    this.#clock = clock;
    process.on('exit', this.#restore);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, events.end);
    emitKeypressEvents(input);
    input.setRawMode(true);
    input.on('keypress', this.#onKey);
    input.resume();
    output.on('resize', this.redraw);
    output.write(ENTER);
  }

  get columns(): number {
    return this.#output.columns;
  }

  get rows(): number {
    return this.#output.rows;
  }

  /** Draws soon. */
  readonly redraw = (): void => {
    if (this.#waiting || !this.#open) return;
    const wait = this.#drawnAt + REDRAW_MS - this.#clock.monotonic();
    if (wait <= 0) return this.#draw();
    this.#waiting = true;
    this.#clock.after(wait, () => {
      this.#waiting = false;
      if (this.#open) this.#draw();
    });
  };

  close(): void {
    this.#restore();
    process.off('exit', this.#restore);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, this.#events.end);
    this.#input.off('keypress', this.#onKey);
    this.#input.pause();
    this.#output.off('resize', this.redraw);
  }

  readonly #onKey = (text: string | undefined, key: { name?: string; ctrl?: boolean } = {}): void => {
    this.#events.key({ name: key.name, ctrl: key.ctrl, text: text ?? '' });
  };

  /** Also when the program ends by a mistake. */
  readonly #restore = (): void => {
    if (!this.#open) return;
    this.#open = false;
    this.#input.setRawMode(false);
    this.#output.write(LEAVE);
  };

  #draw(): void {
    this.#drawnAt = this.#clock.monotonic();
    const lines = this.#events.lines().map((line) => line + CLEAR_LINE);
    this.#output.write(`${HOME}${lines.join('\r\n')}${CLEAR_BELOW}`);
  }
}

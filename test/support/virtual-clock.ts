import type { Clock, Timer } from '../../src/base/clock.ts';

interface Entry {
  at: number;
  seq: number;
  fn: () => void;
}

/** A clock that stands still until `advance` is called; timers run in order of time, then of creation. */
export class VirtualClock implements Clock {
  #now: number;
  /** How far the wall clock is from where it would be if nobody had set it, milliseconds. */
  #stepped = 0;
  #seq = 0;
  readonly #entries = new Set<Entry>();

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start;
  }

  now(): number {
    return this.#now + this.#stepped;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, fn: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, ms), seq: this.#seq++, fn };
    this.#entries.add(entry);
    return { cancel: () => void this.#entries.delete(entry) };
  }

  /** Somebody sets the wall clock: no time passes, and monotonic time and timers know nothing of it. */
  step(ms: number): void {
    this.#stepped += ms;
  }

  /** Number of timers that are waiting. */
  get pending(): number {
    return this.#entries.size;
  }

  /** Moves time forward, running timers as they fall due and letting promises settle between them. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#entries.delete(next);
      this.#now = next.at;
      next.fn();
      await settle();
    }
    this.#now = end;
  }

  #next(end: number): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of this.#entries) {
      if (entry.at > end) continue;
      if (best === undefined || entry.at < best.at || (entry.at === best.at && entry.seq < best.seq))
        best = entry;
    }
    return best;
  }
}

/** Lets pending promise callbacks and immediate I/O callbacks run. */
export async function settle(turns = 3): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

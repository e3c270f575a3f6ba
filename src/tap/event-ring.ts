/** Most events that wait for one who taps. */
const SIZE = 1000;

/**
 * Events that wait for somebody to take them. Whoever puts them in never waits: the oldest go when there is
 * no room, and are counted.
 */
export class EventRing<T> {
  readonly #slots: (T | undefined)[];
  #first = 0;
  #length = 0;
  #lost = 0;

  constructor(size = SIZE) {
    this.#slots = Array.from({ length: size }, () => undefined);
  }

  get length(): number {
    return this.#length;
  }

  /** @returns whether all are still there */
  put(event: T): boolean {
    const size = this.#slots.length;
    this.#slots[(this.#first + this.#length) % size] = event;
    if (this.#length < size) {
      this.#length++;
      return true;
    }
    this.#first = (this.#first + 1) % size;
    this.#lost++;
    return false;
  }

  /** The oldest; undefined: there is none. */
  take(): T | undefined {
    if (this.#length === 0) return undefined;
    const event = this.#slots[this.#first];
    this.#slots[this.#first] = undefined;
    this.#first = (this.#first + 1) % this.#slots.length;
    this.#length--;
    return event;
  }

  /** Counts some that never came here. */
  lose(count: number): void {
    this.#lost += count;
  }

  /** How many are missing since this was last asked. */
  takeLost(): number {
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }
}

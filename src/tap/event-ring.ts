/** Most events that wait for one who taps. */
const SIZE = 1000;

/**
 * Events that wait for somebody to take them. Whoever puts them in never waits: the oldest go when there is
 * no room.
 */
export class EventRing<T> {
  readonly #slots: (T | undefined)[];
  #first = 0;
  #length = 0;

  constructor(size = SIZE) {
    this.#slots = Array.from({ length: size }, () => undefined);
  }

  get length(): number {
    return this.#length;
  }

  /** @returns the one that had to go; undefined: there was room */
  put(event: T): T | undefined {
    const size = this.#slots.length;
    const at = (this.#first + this.#length) % size;
    const gone = this.#slots[at];
    this.#slots[at] = event;
    if (this.#length < size) this.#length++;
    else this.#first = (this.#first + 1) % size;
    return gone;
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
}

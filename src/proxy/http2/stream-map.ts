/** A stream, as far as the table is concerned. */
interface Numbered {
  readonly id: number;
}

/**
 * The open streams of a connection by their id: a hash table with linear probing. It is no `Map`, because V8
 * keeps a pointer from each table that a `Map` has outgrown to the next one: with streams coming and going,
 * dead tables in the old generation kept half of all requests alive through every young collection.
 */
export class StreamMap<S extends Numbered> {
  #slots: (S | undefined)[] = Array.from({ length: 64 });
  #size = 0;
  /**
   * How many streams are not in the slot that their id asks for. As a rule none: a peer counts its ids up, so
   * that one is in the way of another only when it has been open for as many streams as there are slots.
   */
  #displaced = 0;

  get size(): number {
    return this.#size;
  }

  /** The open stream with this id. */
  get(id: number): S | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = homeOf(id, mask); ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** Adds a stream whose id is not there. */
  add(stream: S): void {
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    this.#put(stream);
    this.#size++;
  }

  /** Removes a stream, if it is there. */
  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const ownHome = homeOf(id, mask);
    let at = ownHome;
    for (let stream = slots[at]; stream?.id !== id; stream = slots[at]) {
      if (stream === undefined) return;
      at = (at + 1) & mask;
    }
    this.#size--;
    if (this.#displaced === 0) {
      slots[at] = undefined;
      return;
    }
    if (at !== ownHome) this.#displaced--;
    // Streams behind the hole move up where that brings them nearer to their home, so that no search for them
    // ends at the hole.
    let hole = at;
    for (let next = (at + 1) & mask; slots[next] !== undefined; next = (next + 1) & mask) {
      const home = homeOf(slots[next]?.id ?? 0, mask);
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      slots[hole] = slots[next];
      if (hole === home) this.#displaced--;
      hole = next;
    }
    slots[hole] = undefined;
  }

  /** All streams, in no particular order; a copy. */
  values(): S[] {
    const found: S[] = [];
    for (const stream of this.#slots) if (stream !== undefined) found.push(stream);
    return found;
  }

  #put(stream: S): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const home = homeOf(stream.id, mask);
    let at = home;
    while (slots[at] !== undefined) at = (at + 1) & mask;
    slots[at] = stream;
    if (at !== home) this.#displaced++;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = Array.from({ length: before.length * 2 });
    this.#displaced = 0;
    for (const stream of before) if (stream !== undefined) this.#put(stream);
  }
}

/** The slot at which the search for an id begins. The lowest bit is the same for all ids of one side. */
function homeOf(id: number, mask: number): number {
  return (id >>> 1) & mask;
}

/** What the table keeps. */
interface Numbered {
  readonly id: number;
}

/**
 * The open streams of a connection by their id: a hash table with linear probing. Not a `Map`, which leaves a
 * trail: V8 keeps a pointer from each table that it has outgrown to the next, and with streams coming and
 * going dead tables of the old generation held half of all requests through every young collection.
 */
export class StreamMap<S extends Numbered> {
  #slots: (S | undefined)[] = Array.from({ length: 64 });
  #size = 0;

  get size(): number {
    return this.#size;
  }

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

  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = homeOf(id, mask);
    for (let stream = slots[at]; stream?.id !== id; stream = slots[at]) {
      if (stream === undefined) return;
      at = (at + 1) & mask;
    }
    this.#size--;
    // Those behind it move up where that brings them nearer to their place, so that no search ends too early.
    let hole = at;
    for (let next = (at + 1) & mask; slots[next] !== undefined; next = (next + 1) & mask) {
      const home = homeOf(slots[next]?.id ?? 0, mask);
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      slots[hole] = slots[next];
      hole = next;
    }
    slots[hole] = undefined;
  }

  /** All of them now, in no order. */
  values(): S[] {
    const found: S[] = [];
    for (const stream of this.#slots) if (stream !== undefined) found.push(stream);
    return found;
  }

  #put(stream: S): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = homeOf(stream.id, mask);
    while (slots[at] !== undefined) at = (at + 1) & mask;
    slots[at] = stream;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = Array.from({ length: before.length * 2 });
    for (const stream of before) if (stream !== undefined) this.#put(stream);
  }
}

/** Ids of one side are all odd or all even. */
function homeOf(id: number, mask: number): number {
  return (id >>> 1) & mask;
}

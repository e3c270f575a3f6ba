import type { Field } from '../../http/fields.ts';

/** What a field counts beyond its bytes (RFC 7541 section 4.1). */
export const FIELD_OVERHEAD = 32;

/** The size of a field as tables and header lists count it: bytes of name and value, and `FIELD_OVERHEAD`. */
export function fieldSize(field: Field): number {
  return field.about.text.length + field.value.length + FIELD_OVERHEAD;
}

/**
 * The dynamic table (RFC 7541 section 2.3.2): a first-in, first-out list of bounded size, kept as a ring
 * buffer so that nothing is moved.
 */
export class DynamicTable {
  #ring: (Field | undefined)[] = Array.from({ length: 64 });
  #head = 0;
  #count = 0;
  #size = 0;
  #capacity: number;
  readonly #onEvict: ((field: Field) => void) | undefined;

  /** @param capacity bytes, as `fieldSize` counts them */
  constructor(capacity: number, onEvict?: (field: Field) => void) {
    this.#capacity = capacity;
    this.#onEvict = onEvict;
  }

  get length(): number {
    return this.#count;
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** The field at an index; the newest has 0. */
  get(index: number): Field | undefined {
    if (index < 0 || index >= this.#count) return undefined;
    return this.#ring[(this.#head - index) & (this.#ring.length - 1)];
  }

  /**
   * Adds a field as the newest, and evicts old ones for it. A field that is larger than the table empties it
   * and is not added, which is no error (RFC 7541 section 4.4).
   * @returns whether it was added
   */
  add(field: Field): boolean {
    const size = fieldSize(field);
    while (this.#size + size > this.#capacity && this.#count > 0) this.#evict();
    if (size > this.#capacity) return false;
    if (this.#count === this.#ring.length) this.#grow();
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#ring[this.#head] = field;
    this.#count++;
    this.#size += size;
    return true;
  }

  /** Changes the capacity, evicting what no longer fits. */
  resize(capacity: number): void {
    this.#capacity = capacity;
    while (this.#size > capacity && this.#count > 0) this.#evict();
  }

  #evict(): void {
    const at = (this.#head - this.#count + 1) & (this.#ring.length - 1);
    const field = this.#ring[at];
    this.#ring[at] = undefined;
    this.#count--;
    if (field === undefined) return;
    this.#size -= fieldSize(field);
    this.#onEvict?.(field);
  }

  #grow(): void {
    const next: (Field | undefined)[] = Array.from({ length: this.#ring.length * 2 });
    for (let index = 0; index < this.#count; index++) next[this.#count - 1 - index] = this.get(index);
    this.#ring = next;
    this.#head = this.#count - 1;
  }
}

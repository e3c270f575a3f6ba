/** Numbers of one row: calls `put` with the number of each field that is not 0. */
export type EachField = (put: (field: number, value: number) => void) => void;

/** Bytes that a row takes beside its numbers: a reference to its key, and where its numbers begin. */
const ROW_BYTES = 16;
const FIRST_BYTES = 4096;

/**
 * Rows of numbers, packed: of each its fields and their values, seven bits to a byte. There are thousands of
 * rows in dozens of steps, with some dozens of numbers in each: as objects they would be a hundred megabytes.
 */
export class PackedRows {
  readonly keys: readonly string[];
  readonly #starts: readonly number[];
  readonly #bytes: Uint8Array;

  /** For `RowPacker`. */
  constructor(keys: readonly string[], starts: readonly number[], bytes: Uint8Array) {
    this.keys = keys;
    this.#starts = starts;
    this.#bytes = bytes;
  }

  /** What all rows take, their keys not counted. */
  get size(): number {
    return this.#bytes.length + this.keys.length * ROW_BYTES;
  }

  /** What one row takes. @param at its place in `keys` */
  sizeOf(at: number): number {
    return (this.#starts[at + 1] ?? this.#bytes.length) - (this.#starts[at] ?? 0) + ROW_BYTES;
  }

  /** Reads one row. @param at its place in `keys` */
  each(at: number, put: (field: number, value: number) => void): void {
    const bytes = this.#bytes;
    const end = this.#starts[at + 1] ?? bytes.length;
    let [place, field, value, unit] = [this.#starts[at] ?? end, -1, 0, 1];
    while (place < end) {
      const byte = bytes[place++] ?? 0;
      value += (byte & 0x7f) * unit;
      unit *= 0x80;
      if (byte >= 0x80) continue;
      if (field < 0) field = value;
      else {
        put(field, value);
        field = -1;
      }
      [value, unit] = [0, 1];
    }
  }
}

/** No rows. */
export const NO_ROWS = new PackedRows([], [], new Uint8Array(0));

/** Packs rows, one after the other. */
export class RowPacker {
  readonly #keys: string[] = [];
  readonly #starts: number[] = [];
  #bytes = new Uint8Array(FIRST_BYTES);
  #end = 0;

  /** Adds a row. @param each whole numbers, not below 0 */
  add(key: string, each: EachField): void {
    this.#keys.push(key);
    this.#starts.push(this.#end);
    each((field, value) => {
      this.#number(field);
      this.#number(value);
    });
  }

  rows(): PackedRows {
    return new PackedRows(this.#keys, this.#starts, this.#bytes.slice(0, this.#end));
  }

  #number(value: number): void {
    if (this.#end + 8 > this.#bytes.length) {
      const longer = new Uint8Array(this.#bytes.length * 2);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    let left = value;
    for (; left >= 0x80; left = Math.floor(left / 0x80)) this.#bytes[this.#end++] = (left % 0x80) + 0x80;
    this.#bytes[this.#end++] = left;
  }
}

/** Adds up the numbers of rows, field by field; used again for each row. */
export class FieldSums {
  readonly #sums: Float64Array;
  readonly #touched: number[] = [];
  /** The highest field that may not be 0; -1: none. */
  highest = -1;

  /** @param fields how many there can be */
  constructor(fields: number) {
    this.#sums = new Float64Array(fields);
  }

  readonly add = (field: number, value: number): void => this.#change(field, value);
  readonly subtract = (field: number, value: number): void => this.#change(field, -value);

  get(field: number): number {
    return Math.max(0, this.#sums[field] ?? 0);
  }

  /** A part of them, to be read at once. */
  part(from: number, to: number): Float64Array {
    return this.#sums.subarray(from, to);
  }

  /** Whether any sum is above 0. */
  get any(): boolean {
    for (const field of this.#touched) if ((this.#sums[field] ?? 0) > 0) return true;
    return false;
  }

  /** The sums above 0, each once. Below 0 is what has gone back: a worker that has ended takes it along. */
  readonly each: EachField = (put) => {
    const sums = this.#sums;
    for (const field of this.#touched) {
      const sum = sums[field] ?? 0;
      if (sum <= 0) continue;
      put(field, sum);
      // Touched twice, told once.
      sums[field] = 0;
    }
    this.clear();
  };

  /** Sums below 0 become 0. */
  floor(): void {
    for (const field of this.#touched) this.#sums[field] = this.get(field);
  }

  clear(): void {
    for (const field of this.#touched) this.#sums[field] = 0;
    this.#touched.length = 0;
    this.highest = -1;
  }

  #change(field: number, by: number): void {
    const sum = this.#sums[field] ?? 0;
    if (sum === 0) this.#touched.push(field);
    if (field > this.highest) this.highest = field;
    this.#sums[field] = sum + by;
  }
}

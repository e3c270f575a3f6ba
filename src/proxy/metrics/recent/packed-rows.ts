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

  /** What the texts of the keys take. */
  get keyBytes(): number {
    // The text, and what V8 keeps beside it.
    return this.keys.reduce((sum, key) => sum + key.length + 16, 0);
  }

  /** What one row takes. @param at its place in `keys` */
  sizeOf(at: number): number {
    return (this.#starts[at + 1] ?? this.#bytes.length) - (this.#starts[at] ?? 0) + ROW_BYTES;
  }

  /**
   * Adds one row to sums. There are tens of thousands in an answer, so nothing is called for a number.
   * @param at its place in `keys`
   * @param sign -1: takes it off
   */
  sumInto(sums: FieldSums, at: number, sign: 1 | -1): void {
    const bytes = this.#bytes;
    const { values } = sums;
    const end = this.#starts[at + 1] ?? bytes.length;
    let place = this.#starts[at] ?? end;
    let field = 0;
    while (place < end) {
      field = 0;
      for (let unit = 1; ; unit *= 0x80) {
        const byte = bytes[place++] ?? 0;
        field += (byte & 0x7f) * unit;
        if (byte < 0x80) break;
      }
      let value = 0;
      for (let unit = sign as number; ; unit *= 0x80) {
        const byte = bytes[place++] ?? 0;
        value += (byte & 0x7f) * unit;
        if (byte < 0x80) break;
      }
      if (field > sums.highest) sums.highest = field;
      values[field] = (values[field] ?? 0) + value;
    }
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

/**
 * Adds up the numbers of rows, field by field; used again for each row. Below 0 is what has gone back: a
 * worker that has ended takes it along.
 */
export class FieldSums {
  /** By field. */
  readonly values: Float64Array;
  /** The highest field that may not be 0; -1: none. */
  highest = -1;

  /** @param fields how many there can be */
  constructor(fields: number) {
    this.values = new Float64Array(fields);
  }

  readonly add = (field: number, value: number): void => {
    if (field > this.highest) this.highest = field;
    this.values[field] = (this.values[field] ?? 0) + value;
  };

  get(field: number): number {
    return Math.max(0, this.values[field] ?? 0);
  }

  /** Whether any sum is above 0. */
  get any(): boolean {
    for (let field = 0; field <= this.highest; field++) if ((this.values[field] ?? 0) > 0) return true;
    return false;
  }

  /** The sums above 0, which are 0 then. */
  readonly each: EachField = (put) => {
    for (let field = 0; field <= this.highest; field++) {
      const sum = this.values[field] ?? 0;
      if (sum > 0) put(field, sum);
    }
    this.clear();
  };

  /** Sums below 0 become 0. */
  floor(): void {
    for (let field = 0; field <= this.highest; field++)
      if ((this.values[field] ?? 0) < 0) this.values[field] = 0;
  }

  clear(): void {
    this.values.fill(0, 0, this.highest + 1);
    this.highest = -1;
  }
}

/**
 * Finds the rows of a table by their keys. Who asks in the order of the table costs no look-up: tables of the
 * same things have them in the same order, as a rule.
 */
export class RowFinder {
  readonly rows: PackedRows;
  readonly #found: Uint8Array;
  #next = 0;
  #places: ReadonlyMap<string, number> | undefined;

  constructor(rows: PackedRows) {
    this.rows = rows;
    this.#found = new Uint8Array(rows.keys.length);
  }

  /** @returns its place; -1: there is none */
  find(key: string): number {
    const { keys } = this.rows;
    let place = this.#next;
    if (keys[place] !== key) {
      if (keys.length === 0) return -1;
      this.#places ??= new Map(keys.map((one, at) => [one, at]));
      place = this.#places.get(key) ?? -1;
      if (place < 0) return -1;
    }
    this.#found[place] = 1;
    this.#next = place + 1;
    return place;
  }

  /** The places of rows that nobody has asked for, and that nobody need ask for. */
  *unfound(): Generator<number> {
    for (let place = this.#found.indexOf(0); place >= 0; place = this.#found.indexOf(0, place + 1))
      yield place;
  }
}

import { About, type Field, type FieldName } from '../../http/fields.ts';
import { DynamicTable, fieldSize } from './dynamic-table.ts';
import { encodeHuffman, huffmanLength } from './huffman.ts';
import { FIRST_DYNAMIC } from './static-table.ts';

/** Largest dynamic table that we use, whatever the peer allows; bytes as `fieldSize` counts them. */
const MAX_CAPACITY = 4096;
const EMPTY = Buffer.alloc(0);
/** Up to this many characters, a loop writes a string faster than `Buffer.write`. */
const SHORT = 24;
/** Of a block's fields, so many are compared with those at the same places of the block before. */
const MAX_FORMER = 16;

/** Encodes the header blocks of one connection (RFC 7541). */
export class HpackEncoder {
  readonly #table: DynamicTable;
  /** The number of each insertion into the dynamic table, by name and value; the index follows from it. */
  readonly #inserted = new Map<FieldName, Map<string, number>>();
  #insertions = 0;
  /**
   * The fields of the blocks before that are in a table, by their place in the block, and where: the number
   * of the insertion, or the index in the static table with a minus. Most of a head stands at the same place
   * of the next one, as the very same object, and to look it up by name and value was most of what it cost.
   */
  readonly #former: (Field | undefined)[] = [];
  readonly #formerAt: number[] = [];
  /**
   * Table sizes that the next block has to announce: the smallest since the last block, then the present one
   * (RFC 7541 section 4.2).
   */
  #announce: number[] = [];
  #out: Buffer = EMPTY;
  #at = 0;

  constructor() {
    this.#table = new DynamicTable(MAX_CAPACITY, (field) => this.#evicted(field));
  }

  /**
   * Takes in the peer's SETTINGS_HEADER_TABLE_SIZE.
   * @param least the smallest of the values that the SETTINGS frame had, where it had several
   */
  setMaxCapacity(size: number, least = size): void {
    if (least < size) this.setMaxCapacity(least);
    const capacity = Math.min(size, MAX_CAPACITY);
    if (capacity === this.#table.capacity) return;
    const smallest = Math.min(capacity, ...this.#announce);
    this.#announce = smallest < capacity ? [smallest, capacity] : [capacity];
    this.#table.resize(capacity);
  }

  /** The most bytes that the block of these fields may take. */
  bound(fields: readonly Field[]): number {
    let bytes = 16;
    // The index and the two lengths of a field take 5 bytes each at most.
    for (const { about, value } of fields) bytes += about.text.length + value.length + 16;
    return bytes;
  }

  /** Writes a header block, which takes at most its `bound`. @returns the offset behind it */
  encode(fields: readonly Field[], into: Buffer, offset: number): number {
    this.#out = into;
    this.#at = offset;
    if (this.#announce.length > 0) {
      for (const size of this.#announce) this.#integer(size, 5, 0x20);
      this.#announce = [];
    }
    let place = 0;
    for (const field of fields) this.#field(field, place++);
    return this.#at;
  }

  #field(field: Field, place: number): void {
    if (place < MAX_FORMER && this.#former[place] === field && this.#asBefore(place)) return;
    const { about, value } = field;
    const { bits } = about;
    const whole = about.staticValues?.get(value);
    if (whole !== undefined) {
      this.#integer(whole, 7, 0x80);
      this.#remember(field, place, -whole);
    } else if (field.sensitive || bits & About.SECRET) {
      this.#literal(field, 4, 0x10);
    } else if (bits & About.UNREPEATED) {
      this.#literal(field, 4, 0);
    } else {
      this.#repeated(field, place);
    }
  }

  #remember(field: Field, place: number, at: number): void {
    if (place >= MAX_FORMER) return;
    this.#former[place] = field;
    this.#formerAt[place] = at;
  }

  /** Writes the index of the field at a place of the blocks before. @returns whether it still has one */
  #asBefore(place: number): boolean {
    const at = this.#formerAt[place] ?? 0;
    const age = this.#insertions - at;
    // What was inserted before the oldest entry has been evicted.
    if (at >= 0 && age >= this.#table.length) return false;
    this.#integer(at < 0 ? -at : FIRST_DYNAMIC + age, 7, 0x80);
    return true;
  }

  #repeated(field: Field, place: number): void {
    const inserted = this.#inserted.get(field.about)?.get(field.value);
    if (inserted !== undefined) {
      this.#integer(FIRST_DYNAMIC + this.#insertions - inserted, 7, 0x80);
      this.#remember(field, place, inserted);
    } else if (fieldSize(field) > this.#table.capacity / 2) {
      this.#literal(field, 4, 0);
    } else {
      this.#literal(field, 6, 0x40, true);
      this.#insert(field);
    }
  }

  #insert(field: Field): void {
    if (!this.#table.add(field)) return;
    const values = this.#inserted.get(field.about);
    const number = ++this.#insertions;
    if (values === undefined) this.#inserted.set(field.about, new Map([[field.value, number]]));
    else values.set(field.value, number);
  }

  #evicted(field: Field): void {
    const values = this.#inserted.get(field.about);
    values?.delete(field.value);
    if (values?.size === 0) this.#inserted.delete(field.about);
  }

  /**
   * A field in full (RFC 7541 section 6.2).
   * @param indexed whether it goes into the table, so that it is written in full this once. Only then is it
   * Huffman coded: for what is written each time, coding costs more time than the bytes are worth.
   */
  #literal({ about, value }: Field, bits: number, pattern: number, indexed = false): void {
    this.#integer(about.staticIndex, bits, pattern);
    if (about.staticIndex === 0) this.#string(about.text, indexed);
    this.#string(value, indexed);
  }

  #string(text: string, coded: boolean): void {
    const { length } = text;
    const size = coded ? huffmanLength(text) : length;
    if (size < length) {
      this.#integer(size, 7, 0x80);
      this.#at = encodeHuffman(text, this.#out, this.#at);
      return;
    }
    this.#integer(length, 7, 0);
    if (length > SHORT) {
      this.#at += this.#out.write(text, this.#at, 'latin1');
      return;
    }
    for (let index = 0; index < length; index++) this.#out[this.#at++] = text.charCodeAt(index);
  }

  #integer(value: number, bits: number, pattern: number): void {
    const mask = (1 << bits) - 1;
    if (value < mask) {
      this.#out[this.#at++] = pattern | value;
      return;
    }
    this.#out[this.#at++] = pattern | mask;
    let rest = value - mask;
    while (rest >= 0x80) {
      this.#out[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    this.#out[this.#at++] = rest;
  }
}

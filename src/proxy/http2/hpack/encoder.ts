import type { Field } from '../../field.ts';
import { DynamicTable, fieldSize } from './dynamic-table.ts';
import { encodeHuffman, huffmanLength } from './huffman.ts';
import { FIRST_DYNAMIC, STATIC_NAMES, STATIC_PAIRS } from './static-table.ts';

/** Fields whose values hardly come again: they would push out of the table what does. */
const UNREPEATED = new Set([
  ':path',
  'content-length',
  'content-range',
  'date',
  'etag',
  'age',
  'location',
  'if-none-match',
  'if-modified-since',
  'last-modified',
  'set-cookie',
  'range',
  'grpc-timeout',
  'grpc-message',
  'traceparent',
  'x-request-id',
  'x-b3-traceid',
  'x-b3-spanid',
]);
/** Never put into a table, by us or by who passes it on: short secrets could be guessed by what compresses (RFC 7541 section 7.1.3). */
const SECRET = new Set(['authorization', 'proxy-authorization', 'cookie']);
const MAX_CAPACITY = 4096;

/** Encodes header blocks of one connection (RFC 7541). */
export class HpackEncoder {
  readonly #table: DynamicTable;
  /** Insertion numbers of the fields in the dynamic table, by name and value. */
  readonly #inserted = new Map<string, Map<string, number>>();
  #insertions = 0;
  /** Sizes to announce at the start of the next block: the smallest since the last one, then the present (RFC 7541 section 4.2). */
  #announce: number[] = [];
  #out = Buffer.allocUnsafe(8192);
  #at = 0;

  constructor() {
    this.#table = new DynamicTable(MAX_CAPACITY, (field) => this.#evicted(field));
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setMaxCapacity(size: number): void {
    const capacity = Math.min(size, MAX_CAPACITY);
    if (capacity === this.#table.capacity) return;
    const smallest = Math.min(capacity, ...this.#announce);
    this.#announce = smallest < capacity ? [smallest, capacity] : [capacity];
    this.#table.resize(capacity);
  }

  /** A header block of its own memory. */
  encode(fields: readonly Field[]): Buffer {
    this.#at = 0;
    if (this.#announce.length > 0) {
      this.#room(16);
      for (const size of this.#announce) this.#integer(size, 5, 0x20);
      this.#announce = [];
    }
    for (const field of fields) this.#field(field);
    return Buffer.from(this.#out.subarray(0, this.#at));
  }

  #field(field: Field): void {
    const { lower, value } = field;
    this.#room(lower.length + value.length + 32);
    const whole = STATIC_PAIRS.get(lower)?.get(value);
    if (whole !== undefined) {
      this.#integer(whole, 7, 0x80);
      return;
    }
    const inserted = this.#inserted.get(lower)?.get(value);
    if (inserted !== undefined) {
      this.#integer(FIRST_DYNAMIC + this.#insertions - inserted, 7, 0x80);
      return;
    }
    const name = STATIC_NAMES.get(lower) ?? 0;
    if (field.sensitive === true || SECRET.has(lower)) {
      this.#literal(field, name, 4, 0x10);
    } else if (UNREPEATED.has(lower) || fieldSize(field) > this.#table.capacity / 2) {
      this.#literal(field, name, 4, 0);
    } else {
      this.#literal(field, name, 6, 0x40);
      this.#insert(field);
    }
  }

  #insert(field: Field): void {
    if (!this.#table.add(field)) return;
    const values = this.#inserted.get(field.lower);
    const number = ++this.#insertions;
    if (values === undefined) this.#inserted.set(field.lower, new Map([[field.value, number]]));
    else values.set(field.value, number);
  }

  #evicted(field: Field): void {
    const values = this.#inserted.get(field.lower);
    values?.delete(field.value);
    if (values?.size === 0) this.#inserted.delete(field.lower);
  }

  #literal({ lower, value }: Field, nameIndex: number, bits: number, pattern: number): void {
    this.#integer(nameIndex, bits, pattern);
    if (nameIndex === 0) this.#string(lower);
    this.#string(value);
  }

  #string(text: string): void {
    const coded = huffmanLength(text);
    if (coded < text.length) {
      this.#integer(coded, 7, 0x80);
      this.#at = encodeHuffman(text, this.#out, this.#at);
    } else {
      this.#integer(text.length, 7, 0);
      this.#at += this.#out.write(text, this.#at, 'latin1');
    }
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

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#out.length) return;
    const next = Buffer.allocUnsafe(Math.max(this.#out.length * 2, this.#at + bytes));
    this.#out.copy(next, 0, 0, this.#at);
    this.#out = next;
  }
}

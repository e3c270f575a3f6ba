import {
  About,
  Field,
  type FieldName,
  fieldName,
  hasBlankEnds,
  isFieldValue,
  isLowerToken,
} from '../../http/fields.ts';
import { DynamicTable, fieldSize } from './dynamic-table.ts';
import { HuffmanDecoder } from './huffman.ts';
import { plainLiterals, secretLiterals } from './literal-cache.ts';
import { FIRST_DYNAMIC, STATIC_FIELDS } from './static-table.ts';

/**
 * A header block cannot be decoded. Both ends' tables are out of step from then on, so that the connection
 * has to end with COMPRESSION_ERROR (RFC 9113 section 4.3).
 */
export class HpackError extends Error {
  override readonly name = 'HpackError';
}

/** The fields of a header block. */
export interface DecodedFields {
  readonly fields: Field[];
  /** Whether the list was larger than allowed; `fields` has its beginning only. */
  readonly tooLarge: boolean;
  /**
   * Why the list is malformed (RFC 9113 section 8.2.1), if it is: a name with upper case, a control character
   * in a value. The tables are in step all the same, so that only the stream has to end.
   */
  readonly malformed: string | undefined;
}

/**
 * Decodes the header blocks of one connection (RFC 7541). Fields that come from a table are the same objects
 * each time, so that a request like the one before costs one look-up per field.
 */
export class HpackDecoder {
  readonly #table: DynamicTable;
  readonly #maxCapacity: number;
  readonly #maxListSize: number;
  readonly #huffman = new HuffmanDecoder();
  readonly #secrets = secretLiterals();
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  #malformed: string | undefined;

  /**
   * @param maxCapacity largest dynamic table that the peer may use, our SETTINGS_HEADER_TABLE_SIZE; bytes as
   * RFC 7541 section 4.1 counts them
   * @param maxListSize largest header list, bytes as RFC 9113 section 6.5.2 counts them
   */
  constructor(maxCapacity = 4096, maxListSize = 65_536) {
    this.#table = new DynamicTable(maxCapacity);
    this.#maxCapacity = maxCapacity;
    this.#maxListSize = maxListSize;
  }

  /** @param block has a whole header block in `[start, end)` @throws HpackError */
  decode(block: Buffer, start = 0, end = block.length): DecodedFields {
    this.#bytes = block;
    this.#at = start;
    this.#end = end;
    this.#malformed = undefined;
    const fields: Field[] = [];
    let size = 0;
    while (this.#at < this.#end) {
      const field = this.#next(fields.length === 0 && size === 0);
      if (field === undefined) continue;
      size += fieldSize(field);
      // Beyond the limit it is decoded only to keep the tables in step.
      if (size <= this.#maxListSize) fields.push(field);
    }
    return { fields, tooLarge: size > this.#maxListSize, malformed: this.#malformed };
  }

  /** The next field; undefined: it was a table size update. @param first whether no field came before it */
  #next(first: boolean): Field | undefined {
    const byte = this.#bytes[this.#at] ?? 0;
    if (byte & 0x80) return this.#indexed(this.#integer(7));
    if (byte & 0x40) {
      const field = this.#literal(6, false);
      this.#table.add(field);
      return field;
    }
    if (byte & 0x20) {
      if (!first) throw new HpackError('a table size update stands behind a field');
      const capacity = this.#integer(5);
      if (capacity > this.#maxCapacity) throw new HpackError('the dynamic table is larger than allowed');
      this.#table.resize(capacity);
      return undefined;
    }
    return this.#literal(4, (byte & 0x10) !== 0);
  }

  #indexed(index: number): Field {
    const field = index < FIRST_DYNAMIC ? STATIC_FIELDS[index] : this.#table.get(index - FIRST_DYNAMIC);
    if (field === undefined || index === 0) throw new HpackError(`there is no field ${index} in the tables`);
    return field;
  }

  #literal(prefix: number, sensitive: boolean): Field {
    const index = this.#integer(prefix);
    let about: FieldName;
    if (index === 0) {
      const name = this.#string();
      if (!isLowerToken(name)) this.#malformed ??= 'a field name is malformed';
      about = fieldName(name);
    } else {
      ({ about } = this.#indexed(index));
    }
    return this.#valued(about, sensitive);
  }

  /** The field of a name and of the value that comes next. */
  #valued(about: FieldName, sensitive: boolean): Field {
    const coded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const end = this.#stringEnd();
    const start = this.#at;
    this.#at = end;
    const secret = sensitive || (about.bits & About.SECRET) !== 0;
    const literals = secret ? this.#secrets : plainLiterals;
    const known = literals.get(about, coded, sensitive, this.#bytes, start, end);
    if (known !== undefined) return known;
    const value = this.#text(coded, start, end);
    const field = new Field(about.text, value, about, sensitive);
    const sound = coded ? !this.#huffman.control && !hasBlankEnds(value) : isFieldValue(value);
    if (!sound) this.#malformed ??= `the value of the field ${about.text} is malformed`;
    else if (this.#malformed === undefined) literals.put(field, coded, this.#bytes, start, end);
    return field;
  }

  /**
   * An integer with a prefix of `bits` bits (RFC 7541 section 5.1). Numbers over about 2^28 are refused: no
   * length or index that is meant honestly is so large.
   */
  #integer(bits: number): number {
    const mask = (1 << bits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw new HpackError('an integer is too large');
  }

  #string(): string {
    const coded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const end = this.#stringEnd();
    const start = this.#at;
    this.#at = end;
    return this.#text(coded, start, end);
  }

  /** Reads a string's length. @returns the offset at which the string ends; it begins at `#at` */
  #stringEnd(): number {
    const length = this.#integer(7);
    const end = this.#at + length;
    if (end > this.#end) throw new HpackError('a string goes beyond the header block');
    return end;
  }

  #text(coded: boolean, start: number, end: number): string {
    if (!coded) return this.#bytes.toString('latin1', start, end);
    const text = this.#huffman.decode(this.#bytes, start, end);
    if (text === undefined) throw new HpackError('a string is not Huffman code');
    return text;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new HpackError('the header block is cut short');
    return this.#bytes[this.#at++] ?? 0;
  }
}

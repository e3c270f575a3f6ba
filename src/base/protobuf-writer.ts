/** Bytes that a writer begins with, and how much it grows at least. */
const FIRST_BYTES = 1024;
/** Longest varint of 64 bits. */
const VARINT_BYTES = 10;

/**
 * Writes messages into one growing buffer: for those of many fields, where `bytesField` and its like of
 * `protobuf.ts` would make a buffer for each.
 */
export class ProtobufWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #at = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#at;
  }

  /** What was written, as a buffer of its own; the writer is empty then. */
  take(): Buffer {
    const written = Buffer.from(this.#bytes.subarray(0, this.#at));
    this.#at = 0;
    return written;
  }

  /** @param value a whole number from 0 to 2^53 */
  varint(field: number, value: number): this {
    this.#room(2 * VARINT_BYTES);
    this.#tag(field, 0);
    this.#number(value);
    return this;
  }

  fixed32(field: number, value: number): this {
    this.#room(VARINT_BYTES + 4);
    this.#tag(field, 5);
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
    return this;
  }

  fixed64(field: number, value: bigint): this {
    this.#room(VARINT_BYTES + 8);
    this.#tag(field, 1);
    this.#at = this.#bytes.writeBigUInt64LE(value, this.#at);
    return this;
  }

  text(field: number, value: string): this {
    const length = Buffer.byteLength(value, 'utf8');
    this.#room(2 * VARINT_BYTES + length);
    this.#tag(field, 2);
    this.#number(length);
    this.#at += this.#bytes.write(value, this.#at, 'utf8');
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#room(2 * VARINT_BYTES + value.length);
    this.#tag(field, 2);
    this.#number(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** A message. @param write writes its fields */
  message(field: number, write: (to: this) => void): this {
    this.#room(2 * VARINT_BYTES);
    this.#tag(field, 2);
    const from = this.#at;
    // Most are shorter than 128 bytes, whose length takes one.
    this.#at = from + 1;
    write(this);
    const length = this.#at - from - 1;
    const prefix = varintLength(length);
    if (prefix > 1) {
      this.#room(prefix);
      this.#bytes.copyWithin(from + prefix, from + 1, this.#at);
    }
    this.#at = from;
    this.#number(length);
    this.#at += length;
    return this;
  }

  #tag(field: number, type: number): void {
    this.#number(field * 8 + type);
  }

  #number(value: number): void {
    let left = value;
    while (left >= 0x80) {
      this.#bytes[this.#at++] = (left % 0x80) + 0x80;
      left = Math.floor(left / 0x80);
    }
    this.#bytes[this.#at++] = left;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + bytes));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }
}

function varintLength(value: number): number {
  let length = 1;
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) length++;
  return length;
}

/** Bytes that are no protobuf message: cut short, a varint of more than 64 bits, or the deprecated groups. */
export class ProtobufError extends Error {
  override readonly name = 'ProtobufError';
}

/** A field of a message; its value is taken with `varintOf` or `bytesOf`, by what its number means. */
export interface ProtobufField {
  readonly number: number;
  /** Of a varint; int64 values are two's complement in 64 bits, as on the wire. */
  readonly varint: bigint | undefined;
  /** Of a length-delimited field. */
  readonly bytes: Buffer | undefined;
}

/**
 * The value of a field that is known to be a varint.
 * @throws ProtobufError when it is of another wire type: what it means to its sender is not known
 */
export function varintOf({ number, varint }: ProtobufField): bigint {
  if (varint === undefined) throw new ProtobufError(`field ${number} is no varint`);
  return varint;
}

/**
 * The value of a field that is known to be bytes, a string or a message.
 * @throws ProtobufError as `varintOf`
 */
export function bytesOf({ number, bytes }: ProtobufField): Buffer {
  if (bytes === undefined) throw new ProtobufError(`field ${number} is not length-delimited`);
  return bytes;
}

const MAX_FIELD = 0x1fff_ffff;

/**
 * The fields of a message in their order, unknown ones included: a reader skips numbers that it does not know
 * (protobuf encoding guide).
 * @throws ProtobufError
 */
export function* readFields(message: Buffer): Generator<ProtobufField> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('a varint is cut short or too long');
  };
  while (at < message.length) {
    const tag = Number(varint());
    const number = Math.floor(tag / 8);
    if (number < 1 || number > MAX_FIELD) throw new ProtobufError(`there is no field ${number}`);
    if (tag % 8 === 0) {
      yield { number, varint: varint(), bytes: undefined };
      continue;
    }
    const type = tag % 8;
    const length = lengthOf(type, varint);
    if (length > message.length - at) throw new ProtobufError(`field ${number} is cut short`);
    const bytes = message.subarray(at, at + length);
    at += length;
    yield { number, varint: undefined, bytes: type === 2 ? bytes : undefined };
  }
}

function lengthOf(type: number, varint: () => bigint): number {
  if (type === 2) return Number(varint());
  if (type === 1) return 8;
  if (type === 5) return 4;
  throw new ProtobufError(`there is no wire type ${type}`);
}

/** A length-delimited field: bytes, a string, or a message that is encoded already. */
export function bytesField(number: number, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([encodeVarint(BigInt(number * 8 + 2)), encodeVarint(BigInt(bytes.length)), bytes]);
}

/** A varint field; negative numbers as int64 has them. */
export function varintField(number: number, value: bigint): Buffer {
  return Buffer.concat([encodeVarint(BigInt(number * 8)), encodeVarint(BigInt.asUintN(64, value))]);
}

function encodeVarint(value: bigint): Buffer {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80n) {
    bytes.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  }
  bytes.push(Number(left));
  return Buffer.from(bytes);
}

const FIRST_BYTES = 16 * 1024;

/**
 * Writes messages field by field into one buffer, for those that are many and long: `bytesField` copies a
 * field once for each message that it is nested in.
 */
export class ProtobufWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #end = 0;

  /** How many bytes have been written since `take`. */
  get length(): number {
    return this.#end;
  }

  /** What was written, which is the caller's from now on. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#end));
    this.#end = 0;
    return taken;
  }

  /** A varint field. @param value a whole number from 0 to 2^53 */
  uint(number: number, value: number): void {
    this.#tag(number, 0);
    this.#varint(value);
  }

  /** A `sint32` or `sint64` field (zigzag). @param value a whole number, of less than 2^52 */
  sint(number: number, value: number): void {
    this.uint(number, value < 0 ? -2 * value - 1 : 2 * value);
  }

  double(number: number, value: number): void {
    this.#tag(number, 1);
    this.#room(8);
    this.#end = this.#bytes.writeDoubleLE(value, this.#end);
  }

  fixed32(number: number, value: number): void {
    this.#tag(number, 5);
    this.#room(4);
    this.#end = this.#bytes.writeUInt32LE(value, this.#end);
  }

  fixed64(number: number, value: bigint): void {
    this.#tag(number, 1);
    this.#room(8);
    this.#end = this.#bytes.writeBigUInt64LE(value, this.#end);
  }

  /** Bytes, or a message that is encoded already. */
  bytes(number: number, value: Uint8Array): void {
    this.#tag(number, 2);
    this.#varint(value.length);
    this.#room(value.length);
    this.#bytes.set(value, this.#end);
    this.#end += value.length;
  }

  string(number: number, value: string): void {
    this.message(number, () => {
      this.#room(3 * value.length);
      this.#end += this.#bytes.write(value, this.#end, 'utf8');
    });
  }

  /** A nested message. @param write writes its fields here */
  message(number: number, write: () => void): void {
    this.#tag(number, 2);
    this.delimited(write);
  }

  /** What is written, with its length before it. */
  delimited(write: () => void): void {
    this.#room(1);
    const start = this.#end++;
    write();
    const length = this.#end - start - 1;
    const more = varintLength(length) - 1;
    if (more > 0) {
      this.#room(more);
      this.#bytes.copyWithin(start + 1 + more, start + 1, this.#end);
    }
    this.#end = start;
    this.#varint(length);
    this.#end += length;
  }

  #tag(number: number, type: number): void {
    this.#varint(number * 8 + type);
  }

  #varint(value: number): void {
    this.#room(8);
    let left = value;
    for (; left >= 0x80; left = Math.floor(left / 0x80)) this.#bytes[this.#end++] = (left % 0x80) | 0x80;
    this.#bytes[this.#end++] = left;
  }

  #room(more: number): void {
    if (this.#end + more <= this.#bytes.length) return;
    const longer = Buffer.allocUnsafe(2 * Math.max(this.#bytes.length, this.#end + more));
    this.#bytes.copy(longer, 0, 0, this.#end);
    this.#bytes = longer;
  }
}

/** Bytes that a number takes as a varint. */
function varintLength(value: number): number {
  let length = 1;
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) length++;
  return length;
}

/** A length as it stands before a message in a stream of them. */
export function delimiter(length: number): Buffer {
  return encodeVarint(BigInt(length));
}

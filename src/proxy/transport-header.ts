/**
 * Linkerd's transport header: the first bytes of a connection whose ALPN is `transport.l5d.io/v1`, saying which service the whole connection is for
 * (linkerd2-proxy `transport-header`): a fixed preface, a big-endian u32 length, and a protobuf message.
 */
export type SessionProtocol = 'http1' | 'http2' | 'opaque';

export interface TransportHeader {
  /** DNS name of the service; empty when the sender gave none. */
  readonly name: string;
  readonly port: number;
  /** Of the connection, not of the application; opaque when the header says none. */
  readonly protocol: SessionProtocol;
}

/** A header that is not one; the connection is closed without an answer, since nobody agreed on a protocol. */
export class HeaderError extends Error {
  override readonly name = 'HeaderError';
}

const PREFACE = Buffer.from('transport.l5d.io/v1\r\n\r\n', 'latin1');
const FIXED = PREFACE.length + 4;
/** Linkerd's read buffer: a longer message is refused. */
const MAX_MESSAGE = 64 * 1024;
const MAX_DNS_NAME = 253;
const DNS_NAME = /^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*$/i;

/** Encodes a header, preface and length included. */
export function encodeTransportHeader(header: TransportHeader): Buffer {
  const name = Buffer.from(header.name, 'utf8');
  const message = Buffer.concat([
    Buffer.from([0x08, ...varint(header.port)]),
    ...(name.length === 0 ? [] : [Buffer.from([0x12, ...varint(name.length)]), name]),
    ...(header.protocol === 'opaque'
      ? []
      : [Buffer.from([0x1a, 0x02, header.protocol === 'http1' ? 0x0a : 0x12, 0x00])]),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([PREFACE, length, message]);
}

/** Collects the header from bytes that may come in any pieces. */
export class TransportHeaderDecoder {
  #held: Buffer = Buffer.alloc(0);

  /**
   * Takes the next bytes.
   * @returns the header and what follows it, or undefined while it is incomplete
   * @throws HeaderError as soon as it cannot become a valid header
   */
  push(chunk: Buffer): { header: TransportHeader; rest: Buffer } | undefined {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const held = this.#held;
    const seen = Math.min(held.length, PREFACE.length);
    if (held.compare(PREFACE, 0, seen, 0, seen) !== 0)
      throw new HeaderError('the connection does not begin with a transport header');
    if (held.length < FIXED) return undefined;
    const length = held.readUInt32BE(PREFACE.length);
    if (length > MAX_MESSAGE) throw new HeaderError(`a transport header of ${length} bytes is too long`);
    if (held.length < FIXED + length) return undefined;
    const header = decodeMessage(held.subarray(FIXED, FIXED + length));
    return { header, rest: held.subarray(FIXED + length) };
  }
}

function decodeMessage(message: Buffer): TransportHeader {
  let port = 0;
  let name = '';
  let protocol: SessionProtocol = 'opaque';
  for (const field of fields(message)) {
    if (field.number === 1 && field.value !== undefined) port = field.value;
    if (field.number === 2 && field.bytes !== undefined) name = decodeName(field.bytes);
    if (field.number === 3 && field.bytes !== undefined) protocol = decodeProtocol(field.bytes);
  }
  if (port < 1 || port > 65_535) throw new HeaderError(`the transport header names port ${port}`);
  return { name, port, protocol };
}

function decodeName(bytes: Buffer): string {
  const name = bytes.toString('utf8');
  if (name === '') return '';
  const host = plainHost(name);
  if (host === undefined) throw new HeaderError('the transport header names no valid host');
  return host;
}

/** A DNS name in the one spelling that look-ups use: lower case, without the dot at its end; undefined for what is none. */
export function plainHost(name: string): string | undefined {
  const plain = name.endsWith('.') ? name.slice(0, -1) : name;
  return plain.length <= MAX_DNS_NAME && DNS_NAME.test(plain) ? plain.toLowerCase() : undefined;
}

function decodeProtocol(bytes: Buffer): SessionProtocol {
  let protocol: SessionProtocol = 'opaque';
  for (const { number, bytes: body } of fields(bytes)) {
    if (body !== undefined && number === 1) protocol = 'http1';
    if (body !== undefined && number === 2) protocol = 'http2';
  }
  return protocol;
}

interface Field {
  readonly number: number;
  /** Of a varint field. */
  readonly value: number | undefined;
  /** Of a length-delimited field. */
  readonly bytes: Buffer | undefined;
}

/** The fields of a protobuf message; unknown ones come too and are skipped by whoever does not know them. */
function* fields(message: Buffer): Generator<Field> {
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new HeaderError('the transport header is cut short');
  };
  while (at < message.length) {
    const tag = readVarint();
    const type = tag % 8;
    const number = Math.floor(tag / 8);
    if (number === 0) throw new HeaderError('the transport header has a field 0');
    if (type === 0) {
      yield { number, value: readVarint(), bytes: undefined };
      continue;
    }
    const length = lengthOf(type, readVarint);
    if (at + length > message.length) throw new HeaderError('the transport header is cut short');
    const bytes = message.subarray(at, at + length);
    at += length;
    yield { number, value: undefined, bytes: type === 2 ? bytes : undefined };
  }
}

function lengthOf(type: number, readVarint: () => number): number {
  if (type === 2) return readVarint();
  if (type === 1) return 8;
  if (type === 5) return 4;
  throw new HeaderError(`the transport header has a field of wire type ${type}`);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
  bytes.push(left);
  return bytes;
}

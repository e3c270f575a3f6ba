import { TRANSPORT_HEADER_ALPN } from '../../api/names.ts';
import { withoutFinalDot } from '../../base/dns-name.ts';
import {
  bytesField,
  bytesOf,
  ProtobufError,
  readFields,
  varintField,
  varintOf,
} from '../../base/protobuf.ts';
import type { SessionProtocol } from '../http/messages.ts';

/**
 * Linkerd's transport header (linkerd2-proxy `transport-header`): the first bytes of a connection whose ALPN
 * is `transport.l5d.io/v1`. It says which service the whole connection is for. On the wire: a fixed preface,
 * a big-endian u32 length, and a protobuf message.
 */
export interface TransportHeader {
  /** DNS name of the service; empty when the sender gave none. */
  readonly name: string;
  readonly port: number;
  /** What is spoken on this connection, which need not be the application's protocol; `opaque` by default. */
  readonly protocol: SessionProtocol;
}

/**
 * Why the first bytes are no valid header. The connection is closed without an answer, because no protocol
 * has been agreed on to answer in.
 */
export class HeaderError extends Error {
  override readonly name = 'HeaderError';
}

const PREFACE = Buffer.from(`${TRANSPORT_HEADER_ALPN}\r\n\r\n`, 'latin1');
const FIXED = PREFACE.length + 4;
/** Longest message, bytes: the size of Linkerd's read buffer. */
const MAX_MESSAGE = 64 * 1024;
const MAX_DNS_NAME = 253;
const DNS_NAME = /^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*$/i;

/** Encodes a header, preface and length included. */
export function encodeTransportHeader(header: TransportHeader): Buffer {
  const { name, port, protocol } = header;
  const session = bytesField(protocol === 'http1' ? 1 : 2, '');
  const message = Buffer.concat([
    varintField(1, BigInt(port)),
    ...(name === '' ? [] : [bytesField(2, name)]),
    ...(protocol === 'opaque' ? [] : [bytesField(3, session)]),
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

/**
 * @throws HeaderError also where a field has another wire type than it has at Linkerd, as `prost` refuses it
 * there
 */
function decodeMessage(message: Buffer): TransportHeader {
  try {
    return readMessage(message);
  } catch (error) {
    if (error instanceof ProtobufError) throw new HeaderError(`the transport header: ${error.message}`);
    throw error;
  }
}

function readMessage(message: Buffer): TransportHeader {
  let port = 0;
  let name = '';
  let protocol: SessionProtocol = 'opaque';
  for (const field of readFields(message)) {
    if (field.number === 1) port = Number(varintOf(field));
    if (field.number === 2) name = decodeName(bytesOf(field));
    if (field.number === 3) protocol = decodeProtocol(bytesOf(field));
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

/**
 * A DNS name in the spelling that look-ups use: lower case, without the dot at its end. Undefined: the text
 * is no DNS name.
 */
export function plainHost(name: string): string | undefined {
  const plain = withoutFinalDot(name);
  return plain.length <= MAX_DNS_NAME && DNS_NAME.test(plain) ? plain.toLowerCase() : undefined;
}

function decodeProtocol(bytes: Buffer): SessionProtocol {
  let protocol: SessionProtocol = 'opaque';
  for (const field of readFields(bytes)) {
    if (field.number !== 1 && field.number !== 2) continue;
    protocol = field.number === 1 ? 'http1' : 'http2';
    // The message has no fields that we know; reading them checks that it is one.
    for (const _ of readFields(bytesOf(field)));
  }
  return protocol;
}

import {
  bytesField,
  bytesOf,
  ProtobufError,
  readFields,
  varintField,
  varintOf,
} from '../../base/protobuf.ts';

/** `io.linkerd.proxy.identity.CertifyRequest` (linkerd2-proxy-api 0.20.0). */
export interface CertifyRequest {
  readonly identity: string;
  /** A service account token, as in its file. */
  readonly token: Uint8Array;
  /** PKCS#10, DER: the API's text says PEM, its only server reads DER. */
  readonly csr: Uint8Array;
}

/** `io.linkerd.proxy.identity.CertifyResponse`. */
export interface CertifyResponse {
  /** DER. */
  readonly leaf: Buffer;
  readonly intermediates: readonly Buffer[];
  /** Milliseconds since the epoch; undefined when none was given. */
  readonly validUntil: number | undefined;
}

export const CERTIFY_PATH = '/io.linkerd.proxy.identity.Identity/Certify';

export function encodeCertifyRequest({ identity, token, csr }: CertifyRequest): Buffer {
  return Buffer.concat([bytesField(1, identity), bytesField(2, token), bytesField(3, csr)]);
}

/** @throws ProtobufError */
export function decodeCertifyRequest(message: Buffer): CertifyRequest {
  const found: { identity: string; token: Buffer; csr: Buffer } = {
    identity: '',
    token: Buffer.alloc(0),
    csr: Buffer.alloc(0),
  };
  for (const field of readFields(message)) {
    if (field.number === 1) found.identity = bytesOf(field).toString('utf8');
    if (field.number === 2) found.token = bytesOf(field);
    if (field.number === 3) found.csr = bytesOf(field);
  }
  return found;
}

export function encodeCertifyResponse({ leaf, intermediates, validUntil }: CertifyResponse): Buffer {
  return Buffer.concat([
    bytesField(1, leaf),
    ...intermediates.map((der) => bytesField(2, der)),
    ...(validUntil === undefined ? [] : [bytesField(3, encodeTimestamp(validUntil))]),
  ]);
}

/** @throws ProtobufError also when there is no leaf */
export function decodeCertifyResponse(message: Buffer): CertifyResponse {
  let leaf: Buffer | undefined;
  const intermediates: Buffer[] = [];
  let validUntil: number | undefined;
  for (const field of readFields(message)) {
    if (field.number === 1) leaf = bytesOf(field);
    if (field.number === 2) intermediates.push(bytesOf(field));
    if (field.number === 3) validUntil = decodeTimestamp(bytesOf(field));
  }
  if (leaf === undefined || leaf.length === 0) throw new ProtobufError('there is no leaf certificate');
  return { leaf, intermediates, validUntil };
}

/** `google.protobuf.Timestamp`: seconds = 1, nanos = 2. */
function encodeTimestamp(ms: number): Buffer {
  const seconds = Math.floor(ms / 1000);
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  return Buffer.concat([
    ...(seconds === 0 ? [] : [varintField(1, BigInt(seconds))]),
    ...(nanos === 0 ? [] : [varintField(2, BigInt(nanos))]),
  ]);
}

function decodeTimestamp(message: Buffer): number {
  let ms = 0;
  for (const field of readFields(message)) {
    if (field.number === 1) ms += Number(BigInt.asIntN(64, varintOf(field))) * 1000;
    if (field.number === 2) ms += Number(BigInt.asIntN(64, varintOf(field))) / 1e6;
  }
  return ms;
}

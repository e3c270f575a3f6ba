/**
 * One DER element (X.690 section 8.1): its tag byte and the bounds of its content inside the buffer it was
 * read from.
 */
export interface DerElement {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

export const TAG_BOOLEAN = 0x01;
export const TAG_OCTET_STRING = 0x04;
export const TAG_OID = 0x06;
export const TAG_SEQUENCE = 0x30;

/**
 * The element at `offset` that ends at or before `limit`; undefined for anything that is not one well-formed
 * element of definite length there: DER allows no other form, and malformed input is not guessed at.
 */
export function readElement(bytes: Uint8Array, offset: number, limit: number): DerElement | undefined {
  const tag = bytes[offset];
  const first = bytes[offset + 1];
  if (tag === undefined || first === undefined || offset + 2 > limit) return undefined;
  // Tag numbers above 30 take more bytes; nothing in a certificate has them.
  if ((tag & 0x1f) === 0x1f) return undefined;
  if (first < 0x80) return bounded(tag, offset + 2, first, limit);
  const count = first & 0x7f;
  if (count === 0 || count > 4 || offset + 2 + count > limit) return undefined;
  let length = 0;
  for (let i = 0; i < count; i++) length = length * 256 + (bytes[offset + 2 + i] ?? 0);
  return bounded(tag, offset + 2 + count, length, limit);
}

function bounded(tag: number, start: number, length: number, limit: number): DerElement | undefined {
  return start + length <= limit ? { tag, start, end: start + length } : undefined;
}

/** The elements that fill `start..end` exactly; undefined when something else is there. */
export function readElements(bytes: Uint8Array, start: number, end: number): DerElement[] | undefined {
  const found: DerElement[] = [];
  let offset = start;
  while (offset < end) {
    const element = readElement(bytes, offset, end);
    if (element === undefined) return undefined;
    found.push(element);
    offset = element.end;
  }
  return found;
}

/** An element with this tag whose content is `parts`, one after the other. */
export function encodeElement(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, ...encodeLength(content.length)]), content]);
}

function encodeLength(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let left = length; left > 0; left = Math.floor(left / 256)) bytes.unshift(left % 256);
  return [0x80 | bytes.length, ...bytes];
}

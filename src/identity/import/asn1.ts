import forge from 'node-forge';

/**
 * Thrown where an ASN.1 structure is not as expected; the caller adds the file's name. This file reads BER,
 * because PKCS#12 files of some programs have indefinite lengths and octet strings in pieces, which the
 * strict reader of certificates (`../x509/der.ts`) refuses.
 */
export class Asn1Error extends Error {
  override readonly name = 'Asn1Error';
}

export type Asn1Node = forge.asn1.Asn1;

/** The one element that these bytes hold, with nothing behind it. @throws Asn1Error */
export function parse(bytes: Uint8Array): Asn1Node {
  try {
    return forge.asn1.fromDer(Buffer.from(bytes).toString('latin1'));
  } catch (cause) {
    throw new Asn1Error('no ASN.1', { cause });
  }
}

/** The elements inside a constructed one. @throws Asn1Error */
export function children(node: Asn1Node): readonly Asn1Node[] {
  if (typeof node.value === 'string') throw new Asn1Error('a value where a structure has to be');
  return node.value;
}

/** The element at this place inside a constructed one. @throws Asn1Error when there is none */
export function child(node: Asn1Node, ...path: readonly number[]): Asn1Node {
  let at = node;
  for (const index of path) {
    const next = children(at)[index];
    if (next === undefined) throw new Asn1Error(`no element ${index}`);
    at = next;
  }
  return at;
}

/** Bytes of an octet string, whole or in pieces (X.690 section 8.7.3). @throws Asn1Error */
export function octets(node: Asn1Node): Buffer {
  if (typeof node.value === 'string') return Buffer.from(node.value, 'latin1');
  return Buffer.concat(node.value.map(octets));
}

/** An object identifier in dots, such as `1.2.840.113549.1.5.13`. @throws Asn1Error */
export function identifier(node: Asn1Node): string {
  if (node.type !== forge.asn1.Type.OID || typeof node.value !== 'string')
    throw new Asn1Error('no identifier');
  try {
    return forge.asn1.derToOid(node.value);
  } catch (cause) {
    throw new Asn1Error('an identifier with a number that is too large', { cause });
  }
}

/** An integer from 0 to 2^53; infinity for a larger one. @throws Asn1Error */
export function natural(node: Asn1Node): number {
  const bytes = octets(node);
  if (node.type !== forge.asn1.Type.INTEGER || bytes.length === 0 || (bytes[0] ?? 0) >= 0x80)
    throw new Asn1Error('no positive integer');
  const value = BigInt(`0x${bytes.toString('hex')}`);
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(value);
}

/** DER of an element. */
export function encoded(node: Asn1Node): Buffer {
  return Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1');
}

import {
  type DerElement,
  readElement,
  readElements,
  TAG_OCTET_STRING,
  TAG_OID,
  TAG_SEQUENCE,
} from './der.ts';

/** `[3]` of TBSCertificate: the extensions. */
const TAG_EXTENSIONS = 0xa3;
/**
 * GeneralName choices, RFC 5280 section 4.2.1.6: dNSName `[2]` and uniformResourceIdentifier `[6]`, both
 * IA5String.
 */
export const TAG_DNS_NAME = 0x82;
export const TAG_URI = 0x86;

/**
 * The value of an extension of a certificate (DER): the SEQUENCE in its OCTET STRING. `malformed` where the
 * extension has another form; undefined where it is missing, and for bytes that are no certificate.
 * @param oid content of its OID
 */
export function extensionValue(
  der: Uint8Array,
  oid: readonly number[],
): DerElement | 'malformed' | undefined {
  for (const extension of extensions(der)) {
    const parts = readElements(der, extension.start, extension.end) ?? [];
    const id = parts[0];
    const value = parts.at(-1);
    if (id?.tag !== TAG_OID || !holds(der, id, oid)) continue;
    if (value?.tag !== TAG_OCTET_STRING) return 'malformed';
    const content = readElement(der, value.start, value.end);
    return content?.tag === TAG_SEQUENCE && content.end === value.end ? content : 'malformed';
  }
  return undefined;
}

/** An element's content as text, one character per byte. */
export function latin1(der: Uint8Array, { start, end }: DerElement): string {
  return Buffer.from(der.buffer, der.byteOffset + start, end - start).toString('latin1');
}

/** Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { …, [3] SEQUENCE OF Extension }, … } */
function extensions(der: Uint8Array): DerElement[] {
  const certificate = readElement(der, 0, der.length);
  if (certificate?.tag !== TAG_SEQUENCE) return [];
  const tbs = readElement(der, certificate.start, certificate.end);
  if (tbs?.tag !== TAG_SEQUENCE) return [];
  const fields = readElements(der, tbs.start, tbs.end) ?? [];
  const tagged = fields.find((field) => field.tag === TAG_EXTENSIONS);
  const list = tagged === undefined ? undefined : readElement(der, tagged.start, tagged.end);
  return list?.tag === TAG_SEQUENCE ? (readElements(der, list.start, list.end) ?? []) : [];
}

function holds(der: Uint8Array, element: DerElement, content: readonly number[]): boolean {
  return (
    element.end - element.start === content.length &&
    content.every((byte, index) => der[element.start + index] === byte)
  );
}

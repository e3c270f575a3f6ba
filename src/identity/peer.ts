import type { TLSSocket } from 'node:tls';
import {
  type DerElement,
  readElement,
  readElements,
  TAG_OCTET_STRING,
  TAG_OID,
  TAG_SEQUENCE,
} from './der.ts';

/** Content of the OID 2.5.29.17, subjectAltName. */
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];
/** `[3]` of TBSCertificate: the extensions. */
const TAG_EXTENSIONS = 0xa3;
/** GeneralName choices, RFC 5280 section 4.2.1.6: dNSName `[2]` and uniformResourceIdentifier `[6]`, both IA5String. */
const TAG_DNS_NAME = 0x82;
const TAG_URI = 0x86;

const MAX_DNS_NAME = 253;
const MAX_URI = 2100;
/** A host name in ASCII; no wildcard, which names a set and identifies nobody. */
const DNS_NAME = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/i;
/** A URI with a scheme and an authority, printable ASCII only: `spiffe://domain/path`. */
const URI = /^[a-z][a-z0-9+.-]*:\/\/[\x21-\x7e]+$/i;

/**
 * The identities in a certificate (DER): its DNS and URI SANs in the order in which the certificate has them. By Linkerd's rule the
 * first one is who the peer is. Names that could not be told from another identity in a log or a pattern (wildcards, control
 * characters) are left out. Empty for a certificate without such a name and for bytes that are no certificate.
 *
 * Only meaningful for a certificate whose chain has been verified. Read straight from the DER: it happens once per connection,
 * and text forms such as `subjectAltName` of node:crypto have been ambiguous (CVE-2021-44532).
 */
export function peerIdentities(der: Uint8Array): string[] {
  const names = subjectAltNames(der);
  const found: string[] = [];
  for (const name of names) {
    const text = Buffer.from(der.buffer, der.byteOffset + name.start, name.end - name.start).toString(
      'latin1',
    );
    if (name.tag === TAG_DNS_NAME && text.length <= MAX_DNS_NAME && DNS_NAME.test(text))
      found.push(text.toLowerCase());
    else if (name.tag === TAG_URI && text.length <= MAX_URI && URI.test(text)) found.push(text);
  }
  return found;
}

/**
 * The peer's certificate (DER); undefined when it has shown none. Each runtime has a cheap way and a dear one: Node's old object form costs more than its handshake's own JavaScript, Bun makes its
 * X509Certificate out of just that object.
 */
export function peerCertificate(socket: TLSSocket): Uint8Array | undefined {
  if (process.versions.bun === undefined) return socket.getPeerX509Certificate()?.raw;
  // Without a certificate it is an empty object.
  return (socket.getPeerCertificate() as { readonly raw?: Buffer }).raw;
}

/** The GeneralName elements of the subjectAltName extension. */
function subjectAltNames(der: Uint8Array): DerElement[] {
  for (const extension of extensions(der)) {
    const parts = readElements(der, extension.start, extension.end) ?? [];
    const id = parts[0];
    const value = parts.at(-1);
    if (id?.tag !== TAG_OID || !holds(der, id, SUBJECT_ALT_NAME)) continue;
    if (value?.tag !== TAG_OCTET_STRING) return [];
    const names = readElement(der, value.start, value.end);
    if (names?.tag !== TAG_SEQUENCE) return [];
    return readElements(der, names.start, names.end) ?? [];
  }
  return [];
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

/**
 * Does `identity` fall under `pattern`? A pattern is an identity itself (`web.demo.serviceaccount.identity.linkerd.cluster.local`,
 * `spiffe://domain/path`), `*` for every identity, or `*.rest` for every DNS-like identity that has at least one label in front of
 * `rest`, as in Linkerd's MeshTLSAuthentication. DNS-like identities compare without case, URIs exactly. A URI never matches a
 * DNS pattern, whatever its path ends with.
 */
export function matchesIdentity(pattern: string, identity: string): boolean {
  if (identity === '') return false;
  if (pattern === '*' || pattern === identity) return true;
  if (pattern.includes('://') || identity.includes('://')) return false;
  const wanted = pattern.toLowerCase();
  const name = identity.toLowerCase();
  if (!wanted.startsWith('*.')) return wanted === name;
  const rest = wanted.slice(1);
  return rest.length > 1 && name.length > rest.length && name.endsWith(rest);
}

import type { TLSSocket } from 'node:tls';
import { type DerElement, readElements } from './der.ts';
import { extensionValue, latin1, TAG_DNS_NAME, TAG_URI } from './extensions.ts';

/** Content of the OID 2.5.29.17, subjectAltName. */
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];

const MAX_DNS_NAME = 253;
const MAX_URI = 2100;
/** A host name in ASCII; no wildcard, because that names a set and not one identity. */
const DNS_NAME = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/i;
/** A URI with a scheme and an authority, printable ASCII only: `spiffe://domain/path`. */
const URI = /^[a-z][a-z0-9+.-]*:\/\/[\x21-\x7e]+$/i;

/**
 * The names in a certificate (DER): its DNS and URI SANs in their order. The first one is the peer's identity
 * (`identityIn`); the others do not count. Names that could be confused with another identity in a log or a
 * pattern (wildcards, control characters) are left out. Empty for a certificate without such a name and for
 * bytes that are no certificate.
 *
 * Only meaningful for a certificate whose chain has been verified. Read straight from the DER: it happens
 * once per connection, and text forms such as `subjectAltName` of node:crypto have been ambiguous
 * (CVE-2021-44532).
 */
export function peerIdentities(der: Uint8Array): string[] {
  const names = subjectAltNames(der);
  const found: string[] = [];
  for (const name of names) {
    const text = latin1(der, name);
    if (name.tag === TAG_DNS_NAME && text.length <= MAX_DNS_NAME && DNS_NAME.test(text))
      found.push(text.toLowerCase());
    else if (name.tag === TAG_URI && text.length <= MAX_URI && URI.test(text)) found.push(text);
  }
  return found;
}

/**
 * The identity in a certificate (DER): its first DNS or URI SAN and no other of its names; undefined when it
 * has none. The same rule holds at both ends of a connection, and is that of Linkerd's proxies for their
 * clients: with several identities a peer could choose between them.
 */
export function identityIn(der: Uint8Array): string | undefined {
  const { length } = der;
  if (length > MAX_REMEMBERED || length < 2) return peerIdentities(der)[0];
  // Both bytes are of the signature, and so as good as random.
  const slot = (der[length - 1] ?? 0) ^ (der[length - 2] ?? 0);
  const known = remembered[slot];
  if (known !== undefined && Buffer.compare(known.der, der) === 0) return known.identity;
  const [identity] = peerIdentities(der);
  // A copy: a view would hold the whole memory that it came in.
  remembered[slot] = { der: Buffer.from(der), identity };
  return identity;
}

/**
 * The identities of certificates that were read last, one for each value of a byte: clients connect again and
 * again with the same certificate, and comparing it takes a tenth of the time of reading it.
 */
const remembered: ({ readonly der: Buffer; readonly identity: string | undefined } | undefined)[] =
  Array.from({ length: 256 });
/** Longest certificate that is kept, bytes: those of workloads have some 500 to 900. */
const MAX_REMEMBERED = 2048;

/** Whether a certificate (DER) has the expected identity; `expected` is a name, never a pattern. */
export function isIdentity(der: Uint8Array, expected: string): boolean {
  const found = identityIn(der);
  return found !== undefined && !expected.includes('*') && matchesIdentity(expected, found);
}

/**
 * The peer's certificate (DER); undefined when it has shown none. The cheap way differs by runtime: Node's
 * legacy object form costs more than all other JavaScript of a handshake, while Bun makes its X509Certificate
 * from that object.
 */
export function peerCertificate(socket: TLSSocket): Uint8Array | undefined {
  if (process.versions.bun === undefined) return socket.getPeerX509Certificate()?.raw;
  // Without a certificate Bun returns an empty object.
  return (socket.getPeerCertificate(false) as { readonly raw?: Buffer }).raw;
}

/** The GeneralName elements of the subjectAltName extension. */
function subjectAltNames(der: Uint8Array): DerElement[] {
  const names = extensionValue(der, SUBJECT_ALT_NAME);
  if (names === undefined || names === 'malformed') return [];
  return readElements(der, names.start, names.end) ?? [];
}

/**
 * Whether `identity` matches `pattern`. A pattern is an identity
 * (`web.demo.serviceaccount.identity.linkerd.cluster.local`, `spiffe://domain/path`), `*` for every identity,
 * or `*.rest` for every DNS-like identity that has at least one label in front of `rest`, as in Linkerd's
 * MeshTLSAuthentication. DNS-like identities compare without case, URIs exactly. A URI never matches a DNS
 * pattern, whatever its path ends with.
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

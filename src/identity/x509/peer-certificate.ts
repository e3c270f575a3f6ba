import type { TLSSocket } from 'node:tls';
import { type DerElement, readElements } from './der.ts';
import { extensionValue, latin1, TAG_DNS_NAME, TAG_URI } from './extensions.ts';

/** Content of the OID 2.5.29.17, subjectAltName. */
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];

const MAX_DNS_NAME = 253;
const MAX_URI = 2100;
/** A host name in ASCII; no wildcard, which names a set and identifies nobody. */
const DNS_NAME = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/i;
/** A URI with a scheme and an authority, printable ASCII only: `spiffe://domain/path`. */
const URI = /^[a-z][a-z0-9+.-]*:\/\/[\x21-\x7e]+$/i;

/**
 * The names in a certificate (DER): its DNS and URI SANs in the order in which the certificate has them. The
 * first one is who the peer is (`identityIn`), the others only say what else its issuer has written. Names
 * that could not be told from another identity in a log or a pattern (wildcards, control characters) are left
 * out. Empty for a certificate without such a name and for bytes that are no certificate.
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
 * Who the holder of a certificate (DER) is: its first DNS or URI SAN, and no other of its names; undefined
 * when it has none. The one rule for both ends of a connection, which is that of Linkerd's proxies for their
 * clients: a certificate that could be either of two would be whom the other side wants it to be.
 */
export function identityIn(der: Uint8Array): string | undefined {
  return peerIdentities(der)[0];
}

/** Whether a certificate (DER) is that of whom we mean; `expected` is a name here, never a pattern. */
export function isIdentity(der: Uint8Array, expected: string): boolean {
  const found = identityIn(der);
  return found !== undefined && !expected.includes('*') && matchesIdentity(expected, found);
}

/**
 * The peer's certificate (DER); undefined when it has shown none. Each runtime has a cheap way and a dear
 * one: Node's old object form costs more than its handshake's own JavaScript, Bun makes its X509Certificate
 * out of just that object.
 */
export function peerCertificate(socket: TLSSocket): Uint8Array | undefined {
  if (process.versions.bun === undefined) return socket.getPeerX509Certificate()?.raw;
  // Without a certificate it is an empty object.
  return (socket.getPeerCertificate() as { readonly raw?: Buffer }).raw;
}

/** The GeneralName elements of the subjectAltName extension. */
function subjectAltNames(der: Uint8Array): DerElement[] {
  const names = extensionValue(der, SUBJECT_ALT_NAME);
  if (names === undefined || names === 'malformed') return [];
  return readElements(der, names.start, names.end) ?? [];
}

/**
 * Does `identity` fall under `pattern`? A pattern is an identity itself
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

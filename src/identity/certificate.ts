import { type KeyObject, X509Certificate } from 'node:crypto';
import { LinkspanError } from '../base/errors.ts';
import { peerIdentities } from './peer.ts';
import { pemBlocks } from './pem-blocks.ts';

/** A parsed certificate and the file it came from, for messages. */
export interface Certificate {
  readonly x509: X509Certificate;
  readonly where: string;
  /** Validity, milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Longest chain that is followed from a leaf to an anchor; real ones have one or two intermediates. */
const MAX_CHAIN = 8;

/**
 * All certificates of a PEM file, in order.
 * @throws LinkspanError IDENTITY_INVALID when there is none or one does not parse
 */
export function parseCertificates(text: string, where: string): Certificate[] {
  const blocks = pemBlocks(text, ['CERTIFICATE']);
  if (blocks.length === 0) {
    throw new LinkspanError('IDENTITY_INVALID', `${where}: no PEM block "CERTIFICATE" in it`);
  }
  return blocks.map((block, index) => {
    try {
      const x509 = new X509Certificate(block);
      return { x509, where, notBefore: Date.parse(x509.validFrom), notAfter: Date.parse(x509.validTo) };
    } catch (cause) {
      const which = blocks.length === 1 ? 'the certificate' : `certificate ${index + 1} of ${blocks.length}`;
      throw new LinkspanError('IDENTITY_INVALID', `${where}: ${which} does not parse`, { cause });
    }
  });
}

/**
 * The name that peers will see: first DNS or URI SAN.
 * @throws LinkspanError IDENTITY_INVALID when there is none
 */
export function identityOf(leaf: Certificate): string {
  const name = peerIdentities(leaf.x509.raw)[0];
  if (name !== undefined) return name;
  throw new LinkspanError('IDENTITY_INVALID', `${leaf.where}: the certificate has no DNS or URI name (SAN)`);
}

/**
 * Checks that a certificate's time has come and has not passed.
 * @throws LinkspanError IDENTITY_NOT_YET_VALID, IDENTITY_EXPIRED
 */
export function checkValidity(certificate: Certificate, now: number, what: string): void {
  const { where, notBefore, notAfter } = certificate;
  if (now > notAfter) {
    const text = `${where}: ${what} expired at ${iso(notAfter)}`;
    throw new LinkspanError('IDENTITY_EXPIRED', text, { fields: { notAfter: iso(notAfter) } });
  }
  if (now < notBefore) {
    const text = `${where}: ${what} is valid from ${iso(notBefore)}, and it is ${iso(now)} here`;
    throw new LinkspanError('IDENTITY_NOT_YET_VALID', text, { fields: { notBefore: iso(notBefore) } });
  }
}

/**
 * Checks that the key belongs to the leaf, and that both are of a kind that Linkerd's proxies can do a handshake with: their TLS
 * has no RSA-PSS, so an RSA leaf never works with them.
 * @throws LinkspanError IDENTITY_KEY_MISMATCH, IDENTITY_INVALID
 */
export function checkKey(leaf: Certificate, key: KeyObject, keyFile: string): void {
  const kind = leaf.x509.publicKey.asymmetricKeyType;
  if (kind !== 'ec' && kind !== 'ed25519') {
    const text = `${leaf.where}: the certificate's key is ${kind ?? 'of an unknown kind'}, and the mesh needs ECDSA`;
    throw new LinkspanError('IDENTITY_INVALID', text, {
      hint: 'Issue it with an ECDSA P-256 key (cert-manager: `privateKey.algorithm: ECDSA`, `size: 256`).',
    });
  }
  if (!leaf.x509.checkPrivateKey(key)) {
    throw new LinkspanError('IDENTITY_KEY_MISMATCH', `${keyFile} is not the private key of ${leaf.where}`);
  }
}

/**
 * Follows the signatures from `leaf` through `intermediates` to one of `anchors`, every certificate valid at `now`. A wrong chain
 * would fail in every handshake with a message that says much less.
 * @throws LinkspanError IDENTITY_UNTRUSTED, IDENTITY_EXPIRED, IDENTITY_NOT_YET_VALID
 */
export function checkChain(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly Certificate[],
  now: number,
): void {
  let at = leaf;
  let refused: unknown;
  for (let depth = 0; depth <= MAX_CHAIN; depth++) {
    const child = at;
    const trusted = anchors.filter((candidate) => signed(candidate, child) || equal(candidate, child));
    for (const anchor of trusted) {
      refused = failureOf(() => checkValidity(anchor, now, 'the trust anchor'));
      if (refused === undefined) return;
    }
    const next = intermediates.find((candidate) => candidate !== child && signed(candidate, child));
    if (next === undefined) break;
    checkValidity(next, now, `the intermediate "${oneLine(next.x509.subject)}"`);
    at = next;
  }
  if (refused !== undefined) throw refused;
  const text = `${leaf.where}: its chain ends at issuer "${oneLine(at.x509.issuer)}", which is not in ${anchors[0]?.where ?? 'the trust bundle'}`;
  throw new LinkspanError('IDENTITY_UNTRUSTED', text);
}

function signed(issuer: Certificate, child: Certificate): boolean {
  return issuer.x509.ca && child.x509.checkIssued(issuer.x509) && child.x509.verify(issuer.x509.publicKey);
}

function equal(a: Certificate, b: Certificate): boolean {
  return a.x509.raw.equals(b.x509.raw);
}

function failureOf(check: () => void): unknown {
  try {
    check();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** A distinguished name as node:crypto gives it (a line per part), on one line. */
export function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ');
}

/** An instant as people and logs read it, without milliseconds. */
export function iso(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}

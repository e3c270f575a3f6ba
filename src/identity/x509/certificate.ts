import { type KeyObject, X509Certificate } from 'node:crypto';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { nameConstraintsOf, permits } from './name-constraints.ts';
import { identityIn, peerIdentities } from './peer-certificate.ts';
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
  const name = identityIn(leaf.x509.raw);
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
    const text = `${where}: ${what} expired at ${isoTime(notAfter)}`;
    throw new LinkspanError('IDENTITY_EXPIRED', text, { fields: { notAfter: isoTime(notAfter) } });
  }
  if (now < notBefore) {
    const text = `${where}: ${what} is valid from ${isoTime(notBefore)}, and it is ${isoTime(now)} here`;
    throw new LinkspanError('IDENTITY_NOT_YET_VALID', text, { fields: { notBefore: isoTime(notBefore) } });
  }
}

/**
 * Checks that the key belongs to the leaf, and that both are of a kind that Linkerd's proxies can do a
 * handshake with: their TLS has no RSA-PSS, so an RSA leaf never works with them.
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
  checkKeyBelongs(leaf, key, keyFile);
}

/**
 * Checks that a private key is that of the certificate, of whatever kind.
 * @throws LinkspanError IDENTITY_KEY_MISMATCH
 */
export function checkKeyBelongs(certificate: Certificate, key: KeyObject, keyFile: string): void {
  if (certificate.x509.checkPrivateKey(key)) return;
  throw new LinkspanError(
    'IDENTITY_KEY_MISMATCH',
    `${keyFile} is not the private key of ${certificate.where}`,
  );
}

/** A certification path from a leaf to a trust anchor. */
export interface AnchorPath {
  readonly anchor: Certificate;
  /** The intermediates between leaf and anchor, beginning at the leaf. */
  readonly between: readonly Certificate[];
}

/**
 * Every path by signatures from `leaf` through `intermediates` to one of `anchors`. Each certificate is
 * visited once, so that a chain crafted to be expensive to search costs little.
 */
export function anchorPaths(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly Certificate[],
): {
  readonly paths: readonly AnchorPath[] /** The last one that was reached. */;
  readonly end: Certificate;
} {
  const left = new Set(intermediates.slice(0, MAX_CHAIN));
  const walks: Certificate[][] = [[leaf]];
  const paths: AnchorPath[] = [];
  for (const walk of walks) {
    const at = walk.at(-1) ?? leaf;
    for (const anchor of anchors)
      if (hasSigned(anchor, at) || equal(anchor, at)) paths.push({ anchor, between: walk.slice(1) });
    for (const next of left) {
      if (!hasSigned(next, at)) continue;
      left.delete(next);
      walks.push([...walk, next]);
    }
  }
  return { paths, end: walks.at(-1)?.at(-1) ?? leaf };
}

/**
 * Checks one path to an anchor: every certificate on it valid at `now`, and every name of the leaf permitted
 * by each authority's name constraints. The runtime's TLS checks the same, but only along the path that it
 * has found itself.
 * @throws LinkspanError IDENTITY_EXPIRED, IDENTITY_NOT_YET_VALID, IDENTITY_UNTRUSTED
 */
export function checkPath(leaf: Certificate, { anchor, between }: AnchorPath, now: number): void {
  for (const one of between) checkValidity(one, now, `the intermediate "${nameOnOneLine(one.x509.subject)}"`);
  checkValidity(anchor, now, 'the trust anchor');
  const names = peerIdentities(leaf.x509.raw);
  for (const { x509 } of [...between, anchor]) {
    const constraints = nameConstraintsOf(x509.raw);
    const foreign = names.find((name) => constraints !== undefined && !permits(constraints, name));
    if (foreign === undefined) continue;
    throw new LinkspanError(
      'IDENTITY_UNTRUSTED',
      `${leaf.where}: authority "${nameOnOneLine(x509.subject)}" may not name ${foreign} (name constraints)`,
    );
  }
}

/**
 * Follows the signatures from `leaf` through `intermediates` to one of `anchors`, every certificate valid at
 * `now`, every name permitted. A wrong chain would otherwise fail in every handshake, with a less helpful
 * message.
 * @throws LinkspanError IDENTITY_UNTRUSTED, IDENTITY_EXPIRED, IDENTITY_NOT_YET_VALID
 */
export function checkChain(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly Certificate[],
  now: number,
): void {
  const { paths, end } = anchorPaths(leaf, intermediates, anchors);
  const failures = paths.map((path) => failureOf(() => checkPath(leaf, path, now)));
  if (failures.includes(undefined)) return;
  if (failures.length > 0) throw failures[0];
  const text = `${leaf.where}: its chain ends at issuer "${nameOnOneLine(end.x509.issuer)}", which is not in ${anchors[0]?.where ?? 'the trust bundle'}`;
  throw new LinkspanError('IDENTITY_UNTRUSTED', text);
}

/** Whether `child` is signed by `issuer`, and that is an authority. */
export function hasSigned(issuer: Certificate, child: Certificate): boolean {
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
export function nameOnOneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ');
}

/** An instant as people and logs read it, without milliseconds. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}

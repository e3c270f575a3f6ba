import type { KeyObject } from 'node:crypto';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import {
  type Certificate,
  checkValidity,
  nameOnOneLine,
  parseCertificates,
  hasSigned,
} from '../x509/certificate.ts';
import { type Authority, parseAuthority } from '../authority/issue.ts';
import { verifiedIssuer } from '../authority/issuer-dir.ts';
import { signingKey } from '../x509/keys.ts';
import type { KeyMaterial } from './pkcs12.ts';

export type AuthorityKind = 'anchor' | 'issuer';

export interface ImportOptions {
  /** The file that keys and certificates come from, for messages. */
  readonly where: string;
  /**
   * Trust bundle (PEM) in which the authority's chain must end; default: the self-signed certificate at the
   * end of its chain.
   */
  readonly bundle?: { readonly path: string; readonly text: string };
  /** Default: an anchor where it is self-signed, an issuer where it is not. */
  readonly as?: AuthorityKind;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface ImportedAuthority {
  readonly kind: AuthorityKind;
  readonly authority: Authority;
  /** Subjects of the file's certificates that are neither the authority's own nor part of its chain. */
  readonly leftOut: readonly string[];
}

/** Longest chain that is followed. */
const MAX_CHAIN = 8;
/**
 * Digests of signatures that TLS libraries refuse above a leaf, as OpenSSL's names of algorithms hold them.
 */
const BROKEN_DIGESTS = ['sha1', 'md5', 'md4', 'md2'];

/**
 * Finds the authority among keys and certificates, and its chain: its own certificate is the one of its key,
 * and those above are found by signature, never by order or name. The result passes the same checks as what
 * `linkspan identity anchor` and `issuer` make.
 * @throws LinkspanError IDENTITY_INVALID, IDENTITY_KEY_MISMATCH, IDENTITY_AMBIGUOUS, IDENTITY_UNTRUSTED,
 * IDENTITY_EXPIRED, IDENTITY_NOT_YET_VALID
 */
export async function importedAuthority(
  material: KeyMaterial,
  options: ImportOptions,
): Promise<ImportedAuthority> {
  const { where, now, bundle } = options;
  const { own, key } = ownPair(pairsOf(material, where), options);
  const kind = options.as ?? (selfSigned(own) ? 'anchor' : 'issuer');
  const keyPem = { path: where, text: key.export({ format: 'pem', type: 'pkcs8' }) };
  // Checks the key first: its error is more useful than one about the chain.
  await signingKey(keyPem.text, where);
  checkValidity(own, now, kind === 'anchor' ? 'the trust anchor' : 'the issuer');
  const all = material.certificates.map(({ x509 }) => certificate(x509, where));
  if (kind === 'anchor') {
    const authority = parseAuthority({ cert: { path: where, text: pemOf([own]) }, key: keyPem });
    return { kind, authority, leftOut: subjectsBut(all, [own]) };
  }
  const anchors = bundle === undefined ? [] : parseCertificates(bundle.text, bundle.path);
  const { between, root } = chainOf(own, all, anchors);
  for (const one of [own, ...between]) requireSoundSignature(one, anchors);
  const ca = bundle ?? { path: where, text: pemOf(root === undefined ? [] : [root]) };
  if (bundle === undefined && root === undefined) throw chainMissing(own, between, where);
  const cert = { path: where, text: pemOf([own, ...between]) };
  const authority = await verifiedIssuer({ cert, key: keyPem, ca }, now);
  return {
    kind,
    authority,
    leftOut: subjectsBut(all, [own, ...between, ...(root === undefined ? [] : [root])]),
  };
}

interface Pair {
  readonly own: Certificate;
  readonly key: KeyObject;
}

/** Each key with the certificates that are its own. */
function pairsOf({ keys, certificates }: KeyMaterial, where: string): Pair[] {
  if (keys.length === 0) {
    throw new LinkspanError('IDENTITY_INVALID', `${where}: there are certificates in it and no private key`, {
      hint: 'Export it together with its key. A trust anchor that shall issue nothing here needs no import: it is a certificate in ca.crt.',
    });
  }
  if (certificates.length === 0) {
    throw new LinkspanError('IDENTITY_INVALID', `${where}: there is a private key in it and no certificate`, {
      hint: "Export it together with the authority's certificate and those above it, or give these with --cert.",
    });
  }
  for (const { key, id } of keys) {
    const named = certificates.find((one) => id !== undefined && one.id === id);
    if (named === undefined || named.x509.checkPrivateKey(key)) continue;
    const subject = nameOnOneLine(named.x509.subject);
    throw new LinkspanError(
      'IDENTITY_KEY_MISMATCH',
      `${where}: the private key is not that of "${subject}", beside which it is kept`,
    );
  }
  const pairs = keys.flatMap(({ key, id }) => {
    const own = distinct(certificates.filter(({ x509 }) => x509.checkPrivateKey(key)));
    // Several certificates of one key come from renewals; localKeyID says which one is in use.
    const named = own.filter((one) => id !== undefined && one.id === id);
    return (named.length === 1 ? named : own).map(({ x509 }) => ({ own: certificate(x509, where), key }));
  });
  if (pairs.length > 0) return pairs;
  throw new LinkspanError(
    'IDENTITY_KEY_MISMATCH',
    `${where}: the private key is that of none of its ${certificates.length} certificates`,
  );
}

/**
 * Without duplicates: a file that was made from a key, its certificate and a whole chain holds the
 * certificate twice.
 */
function distinct(certificates: KeyMaterial['certificates']): KeyMaterial['certificates'] {
  return certificates.filter(
    ({ x509 }, index) => certificates.findIndex((other) => other.x509.raw.equals(x509.raw)) === index,
  );
}

/** The one that is an authority of the kind that is wanted. */
function ownPair(pairs: readonly Pair[], { where, as }: ImportOptions): Pair {
  const authorities = pairs.filter(({ own }) => own.x509.ca);
  const subjects = (of: readonly Pair[]) =>
    of.map(({ own }) => `"${nameOnOneLine(own.x509.subject)}"`).join(', ');
  if (authorities.length === 0) {
    throw new LinkspanError(
      'IDENTITY_INVALID',
      `${where}: ${subjects(pairs)} is no certificate authority (basicConstraints, keyUsage)`,
      {
        hint: 'Ask for a certificate with CA:TRUE and keyCertSign. A leaf goes into an identity directory as it is.',
      },
    );
  }
  const wanted =
    authorities.length === 1 || as === undefined
      ? authorities
      : authorities.filter(({ own }) => selfSigned(own) === (as === 'anchor'));
  const [one] = wanted;
  if (one !== undefined && wanted.length === 1) return one;
  const text = `${where}: there are several authorities with their keys in it: ${subjects(authorities)}`;
  throw new LinkspanError('IDENTITY_AMBIGUOUS', text);
}

/**
 * The certificates from an issuer up to one of the bundle, or to the self-signed one at the end where there
 * is no bundle.
 */
function chainOf(
  own: Certificate,
  all: readonly Certificate[],
  anchors: readonly Certificate[],
): { readonly between: readonly Certificate[]; readonly root: Certificate | undefined } {
  const between: Certificate[] = [];
  for (let at = own; between.length < MAX_CHAIN; ) {
    if (anchors.some((anchor) => same(anchor, at) || hasSigned(anchor, at))) break;
    if (selfSigned(at)) return { between: between.slice(0, -1), root: at };
    const next = all.find((one) => hasSigned(one, at) && !same(one, at) && !between.includes(one));
    if (next === undefined) break;
    between.push(next);
    at = next;
  }
  return { between, root: undefined };
}

function chainMissing(own: Certificate, between: readonly Certificate[], where: string): LinkspanError {
  const end = between.at(-1) ?? own;
  return new LinkspanError(
    'IDENTITY_UNTRUSTED',
    `${where}: its chain ends at issuer "${nameOnOneLine(end.x509.issuer)}", whose certificate is not in it`,
    { hint: 'Export it with its whole chain, or give the trust anchors with --ca.' },
  );
}

/** Refuses signatures with broken digests. Not for anchors: nobody verifies an anchor's own signature. */
function requireSoundSignature(one: Certificate, anchors: readonly Certificate[]): void {
  const algorithm = one.x509.signatureAlgorithm ?? '';
  const broken = BROKEN_DIGESTS.some((digest) => algorithm.toLowerCase().includes(digest));
  if (!broken || selfSigned(one) || anchors.some((anchor) => same(anchor, one))) return;
  throw new LinkspanError(
    'IDENTITY_INVALID',
    `${one.where}: "${nameOnOneLine(one.x509.subject)}" is signed with ${algorithm}, which peers refuse`,
    { hint: 'Have it issued anew with SHA-256 or better.' },
  );
}

function certificate(x509: Certificate['x509'], where: string): Certificate {
  return { x509, where, notBefore: Date.parse(x509.validFrom), notAfter: Date.parse(x509.validTo) };
}

function selfSigned(one: Certificate): boolean {
  return hasSigned(one, one);
}

function same(a: Certificate, b: Certificate): boolean {
  return a.x509.raw.equals(b.x509.raw);
}

function pemOf(certificates: readonly Certificate[]): string {
  return certificates.map(({ x509 }) => x509.toString()).join('');
}

function subjectsBut(all: readonly Certificate[], used: readonly Certificate[]): string[] {
  return all
    .filter((one) => !used.some((other) => same(one, other)))
    .map(({ x509 }) => nameOnOneLine(x509.subject));
}

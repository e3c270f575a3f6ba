// The decorators of @peculiar/x509's dependency tsyringe need the Reflect metadata API to be there first.
import 'reflect-metadata';
import { randomBytes, type webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { type Clock, systemClock } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { DEFAULT_CLUSTER_DOMAIN } from '../../api/names.ts';
import { checkKeyBelongs, checkValidity, nameOnOneLine, parseCertificates } from '../x509/certificate.ts';
import type { Identity } from '../sources/identity.ts';
import { identityKind, requireDomain } from '../names/identity-name.ts';
import {
  encodeNameConstraints,
  NAME_CONSTRAINTS_OID,
  nameConstraintsOf,
  permits,
} from '../x509/name-constraints.ts';
import {
  generateKeys,
  P256_SHA256,
  parsePrivateKey,
  privateKeyPem,
  signatureOf,
  signingKey,
} from '../x509/keys.ts';

/** A certificate authority: a trust anchor, or an issuer under one. */
export interface Authority {
  /** PEM of its own certificate. */
  readonly cert: string;
  /** PEM of its PKCS#8 private key. */
  readonly key: string;
  /**
   * PEM of the certificates that a leaf is sent with: this one and those above it, without the anchor. Empty
   * for an anchor.
   */
  readonly chain: string;
  /** PEM bundle of the trust anchors. */
  readonly ca: string;
  /** End of its certificate's validity, milliseconds since the epoch. */
  readonly notAfter: number;
}

export interface AuthorityOptions {
  /**
   * Common name; default `root.linkerd.<trust domain>` or `identity.linkerd.<trust domain>`, as Linkerd's
   * documentation makes them.
   */
  readonly name?: string;
  /** Default `cluster.local`. */
  readonly trustDomain?: string;
  /**
   * Whether it, and what it signs, may name only identities of the trust domain and of domains below it
   * (critical nameConstraints, RFC 5280 section 4.2.1.10); default false.
   */
  readonly constrained?: boolean;
  /**
   * Milliseconds from now, cut to the signer's own end; default 10 years for an anchor, 1 year for an issuer.
   */
  readonly lifetimeMs?: number;
  readonly clock?: Clock;
}

export interface LeafOptions {
  /** DNS-like (`identityName`) or `spiffe://…`. */
  readonly identity: string;
  /** Milliseconds from now, cut to the issuer's own end; default 24 hours, as in Linkerd. */
  readonly lifetimeMs?: number;
  /** Extended key usages: which ends of a connection it is for; default both. */
  readonly uses?: { readonly server: boolean; readonly client: boolean };
  readonly clock?: Clock;
}

/** A certificate whose private key is not known here. */
export type IssuedCertificate = Omit<Identity, 'key'>;

/** Peers' clocks may be behind ours by this much; Linkerd's issuer allows 20 s too (`clockSkewAllowance`). */
const CLOCK_SKEW_MS = 20_000;
const DAY_MS = 86_400_000;
const DEFAULT_LIFETIME_MS = { anchor: 3650 * DAY_MS, issuer: 365 * DAY_MS, leaf: DAY_MS } as const;
const MAX_LIFETIME_MS = 100 * 365 * DAY_MS;

/**
 * A self-signed trust anchor (P-256, path length 1), fit for `linkerd install --identity-trust-anchors-file`.
 */
export async function createAnchor(options: AuthorityOptions = {}): Promise<Authority> {
  const keys = await generateKeys();
  const times = validity('anchor', options);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: commonName(options.name ?? `root.linkerd.${options.trustDomain ?? DEFAULT_CLUSTER_DOMAIN}`),
    keys,
    signingAlgorithm: P256_SHA256,
    ...times,
    extensions: [
      ...authorityUse(1),
      ...constraints(options),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const cert = pemOf(certificate);
  return {
    cert,
    key: await privateKeyPem(keys.privateKey),
    chain: '',
    ca: cert,
    notAfter: times.notAfter.getTime(),
  };
}

/**
 * An issuer under `anchor` (P-256, path length 0: it signs leaves and nothing else).
 * @throws LinkspanError IDENTITY_EXPIRED when the anchor has; CONFIG_INVALID when it may not sign issuers
 */
export async function createIssuer(anchor: Authority, options: AuthorityOptions = {}): Promise<Authority> {
  requireRoomBelow(anchor);
  const keys = await generateKeys();
  const name = options.name ?? `identity.linkerd.${options.trustDomain ?? DEFAULT_CLUSTER_DOMAIN}`;
  const { cert, notAfter } = await sign(anchor, {
    publicKey: keys.publicKey,
    subject: commonName(name),
    extensions: [...authorityUse(0), ...constraints(options)],
    times: validity('issuer', options, anchor),
  });
  return {
    cert,
    key: await privateKeyPem(keys.privateKey),
    chain: cert + anchor.chain,
    ca: anchor.ca,
    notAfter,
  };
}

/**
 * A leaf certificate for both ends of a connection. Without `publicKey` a new key pair is made and returned
 * with the certificate; with it only the certificate is returned.
 * @throws LinkspanError CONFIG_INVALID for a name that is no identity, IDENTITY_EXPIRED when the issuer has
 */
export function issueLeaf(issuer: Authority, options: LeafOptions): Promise<Identity>;
export function issueLeaf(
  issuer: Authority,
  options: LeafOptions & { publicKey: webcrypto.CryptoKey },
): Promise<IssuedCertificate>;
export async function issueLeaf(
  issuer: Authority,
  options: LeafOptions & { publicKey?: webcrypto.CryptoKey },
): Promise<IssuedCertificate | Identity> {
  const kind = identityKind(options.identity);
  requirePermitted(issuer, options.identity);
  const times = validity('leaf', options, issuer);
  const keys = options.publicKey === undefined ? await generateKeys() : undefined;
  const publicKey = options.publicKey ?? keys?.publicKey;
  if (publicKey === undefined) throw new TypeError('a key pair without public key');
  const issued = await sign(issuer, {
    publicKey,
    extensions: leafUse(kind, options.identity, options.uses ?? { server: true, client: true }),
    times,
  });
  const leaf = {
    name: options.identity,
    cert: issued.cert + issuer.chain,
    ca: issuer.ca,
    notAfter: issued.notAfter,
  };
  return keys === undefined ? leaf : { ...leaf, key: await privateKeyPem(keys.privateKey) };
}

/** PEM files of an authority, with their paths for messages. */
export interface AuthorityFiles {
  readonly cert: { readonly path: string; readonly text: string };
  readonly key: { readonly path: string; readonly text: string };
  /** The trust bundle; absent for an anchor, which is its own. */
  readonly ca?: { readonly path: string; readonly text: string };
}

/**
 * An authority from files: an anchor, or an issuer with its certificate (and any intermediates behind it) and
 * the trust bundle.
 * @throws LinkspanError IDENTITY_INVALID, IDENTITY_KEY_MISMATCH
 */
export function parseAuthority(files: AuthorityFiles): Authority {
  const [own, ...above] = parseCertificates(files.cert.text, files.cert.path);
  if (own === undefined) throw new TypeError('parseCertificates returns at least one');
  if (!own.x509.ca) {
    throw new LinkspanError('IDENTITY_INVALID', `${files.cert.path}: not a certificate authority`);
  }
  const key = parsePrivateKey(files.key.text, files.key.path);
  checkKeyBelongs(own, key, files.key.path);
  const pemText = (certificates: readonly { x509: { toString(): string } }[]) =>
    certificates.map((certificate) => certificate.x509.toString()).join('');
  return {
    cert: pemText([own]),
    key: key.export({ format: 'pem', type: 'pkcs8' }),
    chain: files.ca === undefined ? '' : pemText([own, ...above]),
    ca: files.ca === undefined ? pemText([own]) : pemText(parseCertificates(files.ca.text, files.ca.path)),
    notAfter: own.notAfter,
  };
}

interface ToSign {
  readonly publicKey: webcrypto.CryptoKey;
  readonly subject?: string;
  readonly extensions: readonly Extension[];
  readonly times: Validity;
}

async function sign(signer: Authority, request: ToSign): Promise<{ cert: string; notAfter: number }> {
  const parent = new X509Certificate(signer.cert);
  const key = await signingKey(signer.key, "the issuer's key");
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    // The Name object, not its text: some verifiers compare issuer and subject byte by byte.
    issuer: parent.subjectName,
    ...(request.subject === undefined ? {} : { subject: request.subject }),
    publicKey: request.publicKey,
    signingKey: key,
    signingAlgorithm: signatureOf(key),
    ...request.times,
    extensions: [
      ...request.extensions,
      await SubjectKeyIdentifierExtension.create(request.publicKey),
      ...authorityKeyIdentifier(parent),
    ],
  });
  return { cert: pemOf(certificate), notAfter: request.times.notAfter.getTime() };
}

/** An authority of path length 0 may sign leaves only: every verifier would refuse an issuer under it. */
function requireRoomBelow(anchor: Authority): void {
  const limits = new X509Certificate(anchor.cert).getExtension(BasicConstraintsExtension);
  if (limits?.pathLength !== 0) return;
  throw new LinkspanError('CONFIG_INVALID', 'anchor: it may sign leaf certificates only (path length 0)');
}

/**
 * The extension that names the issuer's key: it must repeat the issuer's own identifier, however that was
 * computed.
 */
function authorityKeyIdentifier(parent: X509Certificate): Extension[] {
  const identifier = parent.getExtension(SubjectKeyIdentifierExtension);
  return identifier === null ? [] : [new AuthorityKeyIdentifierExtension(identifier.keyId)];
}

function authorityUse(pathLength: number): Extension[] {
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
  ];
}

function constraints({ constrained = false, trustDomain }: AuthorityOptions): Extension[] {
  if (!constrained) return [];
  const value = encodeNameConstraints(requireDomain(trustDomain ?? DEFAULT_CLUSTER_DOMAIN));
  return [new Extension(NAME_CONSTRAINTS_OID, true, Uint8Array.from(value))];
}

/**
 * Checks that the issuer's name constraints permit the name: verifiers would refuse the leaf otherwise.
 * @throws LinkspanError CONFIG_INVALID
 */
function requirePermitted(issuer: Authority, identity: string): void {
  for (const { x509 } of parseCertificates(issuer.chain || issuer.cert, "the issuer's certificate")) {
    const limits = nameConstraintsOf(x509.raw);
    if (limits === undefined || permits(limits, identity)) continue;
    const domains = limits.permitted.dns.join(', ') || 'no domain at all';
    throw new LinkspanError(
      'CONFIG_INVALID',
      `identity: "${identity}": authority "${nameOnOneLine(x509.subject)}" may only name identities of ${domains}`,
    );
  }
}

/**
 * The SAN is critical because the subject is empty (RFC 5280 section 4.2.1.6); an identity may be longer than
 * a common name's 64.
 */
function leafUse(
  kind: 'dns' | 'uri',
  identity: string,
  uses: { readonly server: boolean; readonly client: boolean },
): Extension[] {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([
      ...(uses.server ? [ExtendedKeyUsage.serverAuth] : []),
      ...(uses.client ? [ExtendedKeyUsage.clientAuth] : []),
    ]),
    new SubjectAlternativeNameExtension([{ type: kind === 'dns' ? 'dns' : 'url', value: identity }], true),
  ];
}

interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * From `CLOCK_SKEW_MS` before now to `lifetimeMs` from now, cut to the signer's own end: a certificate that
 * outlives its issuer is refused after that anyway.
 */
function validity(
  kind: keyof typeof DEFAULT_LIFETIME_MS,
  options: { lifetimeMs?: number; clock?: Clock },
  signer?: Authority,
): Validity {
  const now = (options.clock ?? systemClock).now();
  const lifetimeMs = options.lifetimeMs ?? DEFAULT_LIFETIME_MS[kind];
  if (!(lifetimeMs > 0 && lifetimeMs <= MAX_LIFETIME_MS)) {
    throw new LinkspanError('CONFIG_INVALID', 'lifetime: must be positive and at most 100 years');
  }
  const [issuing] = signer === undefined ? [] : parseCertificates(signer.cert, "the issuer's certificate");
  if (issuing !== undefined) checkValidity(issuing, now, 'the issuer');
  const end = Math.min(now + lifetimeMs, signer?.notAfter ?? Number.POSITIVE_INFINITY);
  const wholeSeconds = (ms: number) => new Date(Math.floor(ms / 1000) * 1000);
  return { notBefore: wholeSeconds(now - CLOCK_SKEW_MS), notAfter: wholeSeconds(end) };
}

/** 127 random bits, positive and never zero (RFC 5280 section 4.1.2.2), as hexadecimal. */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function commonName(name: string): string {
  if (!/^[A-Za-z0-9 ._-]{1,64}$/.test(name)) {
    throw new LinkspanError(
      'CONFIG_INVALID',
      `name: "${name}" is not 1 to 64 letters, digits, dots and dashes`,
    );
  }
  return `CN=${name}`;
}

function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString('pem').trimEnd()}\n`;
}

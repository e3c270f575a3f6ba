import { describeError, type LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { Health } from '../../telemetry/admin.ts';
import {
  checkChain,
  checkKey,
  checkValidity,
  identityOf,
  isoTime,
  parseCertificates,
} from '../x509/certificate.ts';
import type { Identity } from './identity.ts';
import { parsePrivateKey } from '../x509/keys.ts';

/** Leaves are renewed at 70 % of their life; with less than this share left, renewal has failed. */
const EXPIRY_WARNING_SHARE = 0.2;

/**
 * An identity with the start of its leaf's validity, so that the share of its life that is left can be
 * computed.
 */
export interface LoadedIdentity {
  readonly identity: Identity;
  readonly notBefore: number;
}

/** PEM text and where it came from, for messages: a file, a service. */
export interface PemText {
  readonly path: string;
  readonly text: string;
}

export interface IdentityParts {
  /** Leaf, then intermediates. */
  readonly cert: PemText;
  readonly key: PemText;
  /** Trust anchors. */
  readonly ca: PemText;
}

/**
 * An identity verified as one set: it parses, the key belongs to the leaf, the leaf names an identity, and
 * its chain leads to the bundle, all of it valid at `now`.
 * @throws LinkspanError IDENTITY_…
 */
export function verifyIdentity({ cert, key, ca }: IdentityParts, now: number): LoadedIdentity {
  const [leaf, ...intermediates] = parseCertificates(cert.text, cert.path);
  if (leaf === undefined) throw new TypeError('parseCertificates returns at least one');
  checkKey(leaf, parsePrivateKey(key.text, key.path), key.path);
  const name = identityOf(leaf);
  checkValidity(leaf, now, 'the certificate');
  checkChain(leaf, intermediates, parseCertificates(ca.text, ca.path), now);
  const identity = { name, cert: cert.text, key: key.text, ca: ca.text, notAfter: leaf.notAfter };
  return { identity, notBefore: leaf.notBefore };
}

/** Why the set that is there now, or a new one, was refused. */
export interface IdentityRefusal {
  readonly error: LinkspanError;
  /** Whether it is the set in use, which verified once and has become invalid with time. */
  readonly inUse: boolean;
}

/**
 * What `/ready` says about an identity. Not ok without one and when it has expired; ok with a reason when
 * less than a fifth of its life is left, and while what should replace it is refused.
 * @param loaded the last good set
 * @param failed how the source says that a new set could not be had: `the new one was refused`
 */
export function identityHealth(
  loaded: LoadedIdentity | undefined,
  refusal: IdentityRefusal | undefined,
  now: number,
  failed: string,
): Health {
  const why = refusal === undefined ? '' : describeError(refusal.error);
  if (loaded === undefined) return { ok: false, reason: why === '' ? 'no identity yet' : why };
  if (refusal?.inUse === true) return { ok: false, reason: why };
  const { notAfter } = loaded.identity;
  const also = why === '' ? '' : `; ${failed}: ${why}`;
  if (now > notAfter)
    return { ok: false, reason: `the identity in use expired at ${isoTime(notAfter)}${also}` };
  if (expiresSoon(loaded, now)) {
    return {
      ok: true,
      reason: `the identity expires at ${isoTime(notAfter)} and has not been renewed${also}`,
    };
  }
  return { ok: true, reason: why === '' ? '' : `the last good identity is in use${also}` };
}

function expiresSoon(loaded: LoadedIdentity, now: number): boolean {
  const life = loaded.identity.notAfter - loaded.notBefore;
  return loaded.identity.notAfter - now < life * EXPIRY_WARNING_SHARE;
}

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import {
  Asn1Error,
  child,
  children,
  encoded,
  identifier,
  natural,
  type Asn1Node,
  octets,
  parse,
} from './asn1.ts';
import { decrypt, macAgrees, type Password, KeyDerivationBudget } from './password-based.ts';

/** Longest file that is read, bytes: a key and a chain of certificates take 10 KiB. */
export const MAX_CONTAINER = 1024 * 1024;
/** Most keys and certificates of a file: no authority has more, and each is compared with every other. */
const MAX_KEPT = 64;

/**
 * Private keys and certificates, and which of them the file's maker says belong together (attribute
 * localKeyID, in hex).
 */
export interface KeyMaterial {
  readonly keys: readonly { readonly key: KeyObject; readonly id: string | undefined }[];
  readonly certificates: readonly { readonly x509: X509Certificate; readonly id: string | undefined }[];
}

const DATA = '1.2.840.113549.1.7.1';
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6';
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1';
const LOCAL_KEY_ID = '1.2.840.113549.1.9.21';
/** SafeBags (RFC 7292 section 4.2). */
const BAG = '1.2.840.113549.1.12.10.1.';
const KEY_BAG = `${BAG}1`;
const SHROUDED_KEY_BAG = `${BAG}2`;
const CERTIFICATE_BAG = `${BAG}3`;
const NESTED_BAG = `${BAG}6`;

/**
 * Reads a PKCS#12 file (.p12, .pfx; RFC 7292). Without `password` an empty password and none at all are
 * tried, as files have them that hold no secret keys.
 * @param where the file, for messages
 * @throws LinkspanError IDENTITY_PASSWORD_MISSING, IDENTITY_PASSWORD_WRONG, IDENTITY_CONTAINER_INVALID,
 * IDENTITY_CONTAINER_UNSUPPORTED
 */
export function readPkcs12(bytes: Uint8Array, where: string, password: Password): KeyMaterial {
  const rounds = new KeyDerivationBudget(where);
  // Some programs write no password at all where an empty one was given.
  const tried = password === undefined || password === '' ? ['', undefined] : [password];
  try {
    const pfx = opened(bytes);
    for (const candidate of tried) {
      const found = new Reading(pfx, candidate, rounds).material();
      if (found !== undefined) return found;
    }
  } catch (cause) {
    if (!(cause instanceof Asn1Error)) throw cause;
    throw new LinkspanError('IDENTITY_CONTAINER_INVALID', `${where}: no PKCS#12 file, or a damaged one`, {
      cause,
    });
  }
  if (password === undefined) throw passwordMissing(where);
  throw new LinkspanError('IDENTITY_PASSWORD_WRONG', `${where}: the password does not open it`);
}

export function passwordMissing(where: string): LinkspanError {
  return new LinkspanError('IDENTITY_PASSWORD_MISSING', `${where}: it is protected by a password`);
}

/** The parts of a PKCS#12 file that can be read without a password. */
interface Pfx {
  readonly contents: Buffer;
  /** MacData; where it is missing, a wrong password shows only when decrypting fails. */
  readonly mac: Asn1Node | undefined;
}

function opened(bytes: Uint8Array): Pfx {
  if (bytes.length > MAX_CONTAINER) throw new Asn1Error(`more than ${MAX_CONTAINER} bytes`);
  const [version, authSafe, mac] = children(parse(bytes));
  if (version === undefined || authSafe === undefined || natural(version) !== 3) throw new Asn1Error('PFX');
  // Files in public-key integrity mode (signed instead of protected by a password) do not occur in practice.
  if (identifier(child(authSafe, 0)) !== DATA) throw new Asn1Error('contents are not bound by a password');
  return { contents: octets(child(authSafe, 1, 0)), mac };
}

/** Thrown while a file is read, when the password turns out to be wrong. */
class OtherPassword extends Error {
  override readonly name = 'OtherPassword';
}

class Reading {
  readonly #pfx: Pfx;
  readonly #password: Password;
  readonly #rounds: KeyDerivationBudget;
  readonly #keys: KeyMaterial['keys'][number][] = [];
  readonly #certificates: KeyMaterial['certificates'][number][] = [];

  constructor(pfx: Pfx, password: Password, rounds: KeyDerivationBudget) {
    this.#pfx = pfx;
    this.#password = password;
    this.#rounds = rounds;
  }

  /** Undefined when the password is wrong. @throws LinkspanError, Asn1Error */
  material(): KeyMaterial | undefined {
    const { mac, contents } = this.#pfx;
    if (mac !== undefined && !macAgrees(mac, contents, this.#password, this.#rounds)) return undefined;
    try {
      for (const info of children(parse(contents))) this.#contents(info);
    } catch (error) {
      if (error instanceof OtherPassword) return undefined;
      throw error;
    }
    return { keys: this.#keys, certificates: this.#certificates };
  }

  #contents(info: Asn1Node): void {
    const kind = identifier(child(info, 0));
    const value = child(info, 1, 0);
    if (kind === DATA) this.#bags(parse(octets(value)));
    else if (kind === ENCRYPTED_DATA) this.#bags(this.#decrypted(child(value, 1, 1), child(value, 1, 2)));
    else this.#rounds.unsupported(`content of kind ${kind}`);
  }

  #bags(list: Asn1Node): void {
    for (const bag of children(list)) this.#bag(bag);
  }

  /** Bags of other kinds (revocation lists, secrets) are skipped: an authority needs none of them. */
  #bag(bag: Asn1Node): void {
    const kind = identifier(child(bag, 0));
    const value = child(bag, 1, 0);
    const id = localKeyId(bag);
    if (kind === NESTED_BAG) this.#bags(value);
    else if (kind === KEY_BAG) this.#keys.push({ key: this.#key(value), id });
    else if (kind === SHROUDED_KEY_BAG)
      this.#keys.push({ key: this.#key(this.#decrypted(child(value, 0), child(value, 1))), id });
    else if (kind === CERTIFICATE_BAG && identifier(child(value, 0)) === X509_CERTIFICATE)
      this.#certificates.push({ x509: certificateOf(octets(child(value, 1, 0))), id });
    if (this.#keys.length + this.#certificates.length > MAX_KEPT)
      this.#rounds.unsupported(`a file with more than ${MAX_KEPT} keys and certificates`);
  }

  /** @throws OtherPassword where only a wrong password can be the reason */
  #decrypted(algorithm: Asn1Node, data: Asn1Node): Asn1Node {
    const plain = decrypt(algorithm, octets(data), this.#password, this.#rounds);
    try {
      if (plain !== undefined) return parse(plain);
    } catch (error) {
      // A wrong password whose padding happened to look right.
      if (!(error instanceof Asn1Error)) throw error;
    }
    if (this.#pfx.mac === undefined) throw new OtherPassword();
    throw new LinkspanError(
      'IDENTITY_PASSWORD_WRONG',
      `${this.#rounds.where}: the password opens the file, and not what is in it`,
      { hint: 'Give the key the same password as the file, and export it anew.' },
    );
  }

  /** Read by node:crypto, because node-forge knows RSA keys only. */
  #key(info: Asn1Node): KeyObject {
    try {
      return createPrivateKey({ key: encoded(info), format: 'der', type: 'pkcs8' });
    } catch (cause) {
      if (this.#pfx.mac === undefined) throw new OtherPassword();
      throw new LinkspanError(
        'IDENTITY_INVALID',
        `${this.#rounds.where}: a private key is of no kind that is known here`,
        { cause },
      );
    }
  }
}

function certificateOf(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw new Asn1Error('a certificate does not parse', { cause });
  }
}

function localKeyId(bag: Asn1Node): string | undefined {
  const [, , attributes] = children(bag);
  if (attributes === undefined) return undefined;
  const found = children(attributes).find((one) => identifier(child(one, 0)) === LOCAL_KEY_ID);
  return found === undefined ? undefined : octets(child(found, 1, 0)).toString('hex');
}

import { createDecipheriv, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto';
import forge from 'node-forge';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { Asn1Error, child, children, identifier, natural, type Asn1Node, octets } from './asn1.ts';

/**
 * Most rounds of key derivation for one file, over all of its keys and certificates: a million takes a few
 * seconds; OpenSSL writes 2,048 for each, OWASP advises 600,000.
 */
export const MAX_ROUNDS = 2_000_000;

/** A password, or undefined for none: PKCS#12 distinguishes that from an empty password. */
export type Password = string | undefined;

/**
 * Counts the rounds of key derivation for one file, so that a file that demands too many is refused before
 * the work is done.
 */
export class KeyDerivationBudget {
  readonly where: string;
  #left = MAX_ROUNDS;

  /** @param where the file, for messages */
  constructor(where: string) {
    this.where = where;
  }

  /**
   * Takes rounds from the budget.
   * @throws LinkspanError IDENTITY_CONTAINER_UNSUPPORTED when there are too many; Asn1Error for 0
   */
  spend(rounds: number): number {
    if (rounds < 1) throw new Asn1Error('no rounds of key derivation');
    this.#left -= rounds;
    if (this.#left >= 0) return rounds;
    throw new LinkspanError(
      'IDENTITY_CONTAINER_UNSUPPORTED',
      `${this.where}: its password is derived with more than ${MAX_ROUNDS} rounds, which are not done`,
    );
  }

  /** @throws LinkspanError IDENTITY_CONTAINER_UNSUPPORTED */
  unsupported(what: string): never {
    throw new LinkspanError('IDENTITY_CONTAINER_UNSUPPORTED', `${this.where}: ${what} is not read`);
  }
}

/** A part of node-forge that its type declarations lack. */
interface LegacyPbe {
  getCipherForPKCS12PBE(oid: string, params: Asn1Node, password: Password | null): forge.cipher.BlockCipher;
  generatePkcs12Key(
    password: Password | null,
    salt: forge.util.ByteBuffer,
    id: number,
    rounds: number,
    bytes: number,
    digest: forge.md.MessageDigest,
  ): forge.util.ByteBuffer;
}
const { pbe } = forge.pki as unknown as { readonly pbe: LegacyPbe };

const PBES2 = '1.2.840.113549.1.5.13';
const PBKDF2 = '1.2.840.113549.1.5.12';
/** Schemes of RFC 7292 appendix C, decrypted by node-forge; OpenSSL 3 has dropped the second. */
const LEGACY = new Set(['1.2.840.113549.1.12.1.3', '1.2.840.113549.1.12.1.6']);
/** Ciphers of PBES2 by object identifier: OpenSSL's name and the length of the key in bytes. */
const CIPHERS: Readonly<Record<string, readonly [name: string, bytes: number]>> = {
  '2.16.840.1.101.3.4.1.2': ['aes-128-cbc', 16],
  '2.16.840.1.101.3.4.1.22': ['aes-192-cbc', 24],
  '2.16.840.1.101.3.4.1.42': ['aes-256-cbc', 32],
  '1.2.840.113549.3.7': ['des-ede3-cbc', 24],
};
/** HMACs of PBKDF2 (RFC 8018 appendix B.1). */
const PRFS: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
};
/** Digests of a PKCS#12's MAC. */
const MAC_DIGESTS: Readonly<Record<string, () => forge.md.MessageDigest>> = {
  '1.3.14.3.2.26': () => forge.md.sha1.create(),
  '2.16.840.1.101.3.4.2.1': () => forge.md.sha256.create(),
  '2.16.840.1.101.3.4.2.2': () => forge.md.sha384.create(),
  '2.16.840.1.101.3.4.2.3': () => forge.md.sha512.create(),
};

/**
 * Decrypts what was encrypted with a password, by PBES2 (RFC 8018) or one of PKCS#12's own schemes.
 * @param algorithm AlgorithmIdentifier
 * @returns undefined when the password is wrong, as far as the padding shows
 * @throws LinkspanError IDENTITY_CONTAINER_UNSUPPORTED; Asn1Error
 */
export function decrypt(
  algorithm: Asn1Node,
  data: Buffer,
  password: Password,
  rounds: KeyDerivationBudget,
): Buffer | undefined {
  const scheme = identifier(child(algorithm, 0));
  const parameters = child(algorithm, 1);
  if (scheme === PBES2) return decryptPbes2(parameters, data, password, rounds);
  if (!LEGACY.has(scheme)) rounds.unsupported(`encryption ${scheme}`);
  // Key and initialization vector are derived one after the other.
  rounds.spend(natural(child(parameters, 1)) * 2);
  const cipher = legacyCipher(scheme, parameters, password);
  cipher.update(forge.util.createBuffer(data.toString('latin1')));
  return cipher.finish() ? Buffer.from(cipher.output.getBytes(), 'latin1') : undefined;
}

/** @throws Asn1Error for parameters that node-forge does not understand */
function legacyCipher(scheme: string, parameters: Asn1Node, password: Password): forge.cipher.BlockCipher {
  try {
    return pbe.getCipherForPKCS12PBE(scheme, parameters, password ?? null);
  } catch (cause) {
    throw new Asn1Error('parameters of the encryption', { cause });
  }
}

/**
 * Uses node:crypto: node-forge derives keys thirty times more slowly, and takes only passwords whose
 * characters are single bytes.
 */
function decryptPbes2(
  parameters: Asn1Node,
  data: Buffer,
  password: Password,
  rounds: KeyDerivationBudget,
): Buffer | undefined {
  const derivation = identifier(child(parameters, 0, 0));
  if (derivation !== PBKDF2) rounds.unsupported(`key derivation ${derivation}`);
  const encryption = identifier(child(parameters, 1, 0));
  const [cipher, keyBytes] = CIPHERS[encryption] ?? rounds.unsupported(`encryption ${encryption}`);
  const [salt, count, ...more] = children(child(parameters, 0, 1));
  if (salt === undefined || count === undefined) throw new Asn1Error('no salt or rounds');
  // Both are optional: the length of the key, which follows from the cipher, and the HMAC.
  const named = more.find((node) => node.constructed);
  const prf = named === undefined ? '1.2.840.113549.2.7' : identifier(child(named, 0));
  const digest = PRFS[prf] ?? rounds.unsupported(`key derivation with ${prf}`);
  const key = pbkdf2Sync(password ?? '', octets(salt), rounds.spend(natural(count)), keyBytes, digest);
  const iv = octets(child(parameters, 1, 1));
  if (iv.length !== (cipher === 'des-ede3-cbc' ? 8 : 16)) throw new Asn1Error('initialization vector');
  try {
    const decipher = createDecipheriv(cipher, key, iv);
    return Buffer.concat([decipher.update(data), decipher.final()]);
  } catch {
    // Wrong padding, or no whole number of blocks: the password is wrong.
    return undefined;
  }
}

/**
 * Whether a PKCS#12's MAC (RFC 7292 section 4, MacData) is that of its contents with this password.
 * @throws LinkspanError IDENTITY_CONTAINER_UNSUPPORTED; Asn1Error
 */
export function macAgrees(
  mac: Asn1Node,
  contents: Buffer,
  password: Password,
  rounds: KeyDerivationBudget,
): boolean {
  const algorithm = identifier(child(mac, 0, 0, 0));
  const digest = (MAC_DIGESTS[algorithm] ?? rounds.unsupported(`message authentication ${algorithm}`))();
  const expected = octets(child(mac, 0, 1));
  const salt = forge.util.createBuffer(octets(child(mac, 1)).toString('latin1'));
  const count = children(mac)[2];
  const spent = rounds.spend(count === undefined ? 1 : natural(count));
  const key = pbe.generatePkcs12Key(password ?? null, salt, 3, spent, digest.digestLength, digest);
  const found = createHmac(digest.algorithm, Buffer.from(key.getBytes(), 'latin1')).update(contents).digest();
  return found.length === expected.length && timingSafeEqual(found, expected);
}

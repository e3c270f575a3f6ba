import { createDecipheriv, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto';
import forge from 'node-forge';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { Asn1Error, child, children, identifier, natural, type Asn1Node, octets } from './asn1.ts';

/**
 * Rounds of key derivation that are done for one file, all its keys and certificates together: a million
 * takes a few seconds, OpenSSL writes 2,048 a piece, OWASP advises 600,000.
 */
export const MAX_ROUNDS = 2_000_000;

/** A password as text, or `undefined` for none at all, which PKCS#12 tells from the empty one. */
export type Password = string | undefined;

/**
 * What has been done for a file, so that one that asks for more than anybody waits for is refused before it
 * is begun.
 */
export class KeyDerivationBudget {
  readonly where: string;
  #left = MAX_ROUNDS;

  /** @param where the file, for messages */
  constructor(where: string) {
    this.where = where;
  }

  /** @throws LinkspanError IDENTITY_CONTAINER_UNSUPPORTED when it is too much; Asn1Error for none */
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

/** The part of node-forge that its types leave out. */
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
/** Schemes of RFC 7292 appendix C that node-forge does; OpenSSL 3 has the second no more. */
const LEGACY = new Set(['1.2.840.113549.1.12.1.3', '1.2.840.113549.1.12.1.6']);
/** Ciphers of PBES2 by identifier: name at OpenSSL and bytes of the key. */
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
 * What was encrypted with a password: by PBES2 (RFC 8018) or a scheme of PKCS#12 itself.
 * @param algorithm AlgorithmIdentifier
 * @returns undefined when the password is another one: padding is all that tells
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
 * By node:crypto: node-forge derives the key thirty times slower, and takes passwords of one byte a character
 * only.
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
  // Either may be left out: the length of the key, which the cipher says already, and the HMAC.
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
    // Padding, or no whole blocks: what another password gives.
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

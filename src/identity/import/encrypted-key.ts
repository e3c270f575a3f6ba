import { createPrivateKey, type KeyObject } from 'node:crypto';
import forge from 'node-forge';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { parsePrivateKey } from '../x509/keys.ts';
import { pemBlocks } from '../x509/pem-blocks.ts';
import { Asn1Error, child, encoded, octets, parse } from './asn1.ts';
import { decrypt, type Password, KeyDerivationBudget } from './password-based.ts';
import { passwordMissing } from './pkcs12.ts';

const ENCRYPTED = 'ENCRYPTED PRIVATE KEY';
/**
 * Header of OpenSSL's own encryption of PEM (RFC 1421 section 4.6.1.1, as `openssl rsa -aes256` writes it).
 */
const PROC_TYPE = '\nProc-Type: 4,ENCRYPTED';

/** Ciphers of the traditional form that node:crypto decrypts, for RSA and ECDSA keys. */
const BY_OPENSSL = new Set(['AES-128-CBC', 'AES-192-CBC', 'AES-256-CBC', 'DES-EDE3-CBC']);
/** Ciphers that OpenSSL 3 has dropped; node-forge decrypts them, for RSA keys only. */
const BY_NODE_FORGE = new Set(['DES-CBC', 'RC2-40-CBC', 'RC2-64-CBC', 'RC2-128-CBC']);

/**
 * A private key from PEM, encrypted or not: PKCS#8 (`ENCRYPTED PRIVATE KEY`) and OpenSSL's traditional form
 * (`Proc-Type: 4,ENCRYPTED`).
 * @param where the file, for messages
 * @throws LinkspanError IDENTITY_PASSWORD_MISSING, IDENTITY_PASSWORD_WRONG, IDENTITY_CONTAINER_INVALID,
 * IDENTITY_CONTAINER_UNSUPPORTED, IDENTITY_INVALID
 */
export function readKeyPem(text: string, where: string, password: Password): KeyObject {
  const [shrouded] = pemBlocks(text, [ENCRYPTED]);
  const traditional = pemBlocks(text, ['RSA PRIVATE KEY', 'EC PRIVATE KEY']).find((block) =>
    block.replaceAll('\r', '').includes(PROC_TYPE),
  );
  if (shrouded === undefined && traditional === undefined) return parsePrivateKey(text, where);
  if (password === undefined) throw passwordMissing(where);
  const key =
    shrouded === undefined
      ? readTraditional(traditional ?? '', where, password)
      : readPkcs8(shrouded, where, password);
  if (key !== undefined) return key;
  throw new LinkspanError('IDENTITY_PASSWORD_WRONG', `${where}: the password does not open it`);
}

/** Decrypts EncryptedPrivateKeyInfo (RFC 5958); undefined when the password is wrong. */
function readPkcs8(block: string, where: string, password: string): KeyObject | undefined {
  const base64 = block.split('\n').slice(1, -1).join('');
  let plain: Buffer | undefined;
  try {
    const info = parse(Buffer.from(base64, 'base64'));
    plain = decrypt(child(info, 0), octets(child(info, 1)), password, new KeyDerivationBudget(where));
  } catch (cause) {
    if (!(cause instanceof Asn1Error)) throw cause;
    throw new LinkspanError('IDENTITY_CONTAINER_INVALID', `${where}: the encrypted key is damaged`, {
      cause,
    });
  }
  try {
    if (plain === undefined) return undefined;
    return createPrivateKey({ key: encoded(parse(plain)), format: 'der', type: 'pkcs8' });
  } catch {
    // A wrong password whose padding happened to look right.
    return undefined;
  }
}

/** Decrypts OpenSSL's traditional form; undefined when the password is wrong. */
function readTraditional(block: string, where: string, passphrase: string): KeyObject | undefined {
  const [, cipher = ''] = /DEK-Info: ([A-Z0-9-]+)/.exec(block) ?? [];
  const rsa = block.includes('BEGIN RSA');
  const gone = BY_NODE_FORGE.has(cipher);
  if (!BY_OPENSSL.has(cipher) && !(gone && rsa)) {
    throw new LinkspanError(
      'IDENTITY_CONTAINER_UNSUPPORTED',
      `${where}: ${cipher || 'this encryption'} of ${rsa ? 'an RSA' : 'an EC'} key is not read`,
    );
  }
  try {
    if (!gone) return createPrivateKey({ key: block, passphrase });
    const bytes = Buffer.from(passphrase).toString('latin1');
    return createPrivateKey(forge.pki.privateKeyToPem(forge.pki.decryptRsaPrivateKey(block, bytes)));
  } catch {
    return undefined;
  }
}

import { createPrivateKey, type KeyObject, webcrypto } from 'node:crypto';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { pemBlocks } from './pem-blocks.ts';

/** The key type of the mesh: Linkerd's proxies present and prefer ECDSA P-256, and sign with SHA-256. */
export const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
export const P256_SHA256 = { ...P256, hash: 'SHA-256' } as const;

const KEY_LABELS = ['PRIVATE KEY', 'EC PRIVATE KEY', 'RSA PRIVATE KEY'];

/** How RSA authorities sign: Linkerd's proxies verify PKCS #1 v1.5 and no RSA-PSS. */
const RSA_SHA256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
/**
 * Bits of an RSA authority's modulus that Linkerd's proxies verify with (ring's RSA_PKCS1_2048_8192_SHA256).
 */
const RSA_BITS = { least: 2048, most: 8192 } as const;

/** A new P-256 key pair; the private key is extractable, because it is written to files and Secrets. */
export function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
}

/** PKCS#8 PEM of a private key. */
export async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return pem('PRIVATE KEY', new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', key)));
}

/**
 * The older form of a PKCS#8 PEM, SEC1 (`EC PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`): older Linkerds'
 * issuers read their key in no other (linkerd2 pkg/tls/codec.go).
 */
export function traditionalPem(pkcs8: string): string {
  const key = createPrivateKey(pkcs8);
  return key.export({ format: 'pem', type: key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1' });
}

/**
 * Reads a private key from PEM: PKCS#8 or the older SEC1 (`EC PRIVATE KEY`, openssl ecparam and step write
 * it) and PKCS#1 (`RSA PRIVATE KEY`, cert-manager writes it).
 * @param where the file, for the message
 * @throws LinkspanError IDENTITY_INVALID
 */
export function parsePrivateKey(text: string, where: string): KeyObject {
  if (/^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    throw new LinkspanError('IDENTITY_INVALID', `${where}: the private key is encrypted with a password`, {
      hint: 'Nobody is there to type it when a process starts. `linkspan identity import` takes it off an authority.',
    });
  }
  // SEC1 files from openssl begin with a block of curve parameters, which is no key.
  const [block] = pemBlocks(text, KEY_LABELS);
  if (block === undefined) {
    throw new LinkspanError(
      'IDENTITY_INVALID',
      `${where}: no PEM block "PRIVATE KEY", "EC PRIVATE KEY" or "RSA PRIVATE KEY" in it`,
    );
  }
  try {
    return createPrivateKey(block);
  } catch (cause) {
    throw new LinkspanError('IDENTITY_INVALID', `${where}: the private key does not parse`, { cause });
  }
}

/**
 * The key of an authority as WebCrypto signs with it.
 * @throws LinkspanError IDENTITY_INVALID for other keys than those that every peer can verify: ECDSA P-256,
 * RSA of 2048 to 8192 bits
 */
export function signingKey(text: string, where: string): Promise<webcrypto.CryptoKey> {
  const key = parsePrivateKey(text, where);
  const algorithm = issuingAlgorithm(key, where);
  const der = key.export({ format: 'der', type: 'pkcs8' });
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}

function issuingAlgorithm(key: KeyObject, where: string): typeof P256 | typeof RSA_SHA256 {
  const { asymmetricKeyType: kind, asymmetricKeyDetails: { namedCurve, modulusLength: bits = 0 } = {} } = key;
  if (kind === 'ec' && namedCurve === 'prime256v1') return P256;
  if (kind === 'rsa' && bits >= RSA_BITS.least && bits <= RSA_BITS.most) return RSA_SHA256;
  const found = kind === 'rsa' ? `RSA of ${bits} bits` : (namedCurve ?? kind ?? 'unknown');
  throw new LinkspanError(
    'IDENTITY_INVALID',
    `${where}: the key is ${found}; ECDSA P-256 or RSA of ${RSA_BITS.least} to ${RSA_BITS.most} bits is needed to issue`,
    { hint: 'Have the authority issued anew for such a key: peers verify no other.' },
  );
}

/** How certificates are signed with a key of `signingKey`. */
export function signatureOf({ algorithm }: webcrypto.CryptoKey): typeof P256_SHA256 | typeof RSA_SHA256 {
  return algorithm.name === RSA_SHA256.name ? RSA_SHA256 : P256_SHA256;
}

/** PEM of DER bytes. */
export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

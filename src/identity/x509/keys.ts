import { createPrivateKey, type KeyObject, webcrypto } from 'node:crypto';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { pemBlocks } from './pem-blocks.ts';

/** What the mesh uses throughout: Linkerd's proxies present and prefer ECDSA P-256, and sign with SHA-256. */
export const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
export const P256_SHA256 = { ...P256, hash: 'SHA-256' } as const;

/** A new P-256 key pair; the private key can be exported, because it has to be written down somewhere. */
export function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
}

/** PKCS#8 PEM of a private key. */
export async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return pem('PRIVATE KEY', new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', key)));
}

/** SEC1 PEM (`EC PRIVATE KEY`) of a PKCS#8 PEM: Linkerd's issuer reads its key in no other form (linkerd2 pkg/tls/codec.go). */
export function sec1Pem(pkcs8: string): string {
  return createPrivateKey(pkcs8).export({ format: 'pem', type: 'sec1' });
}

/**
 * Reads a private key from PEM: PKCS#8 or the older SEC1 (`EC PRIVATE KEY`, openssl ecparam and step write it).
 * @param where the file, for the message
 * @throws LinkspanError IDENTITY_INVALID
 */
export function parsePrivateKey(text: string, where: string): KeyObject {
  if (/^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    throw new LinkspanError('IDENTITY_INVALID', `${where}: the private key is encrypted with a password`);
  }
  // SEC1 files from openssl begin with a block of curve parameters, which is no key.
  const [block] = pemBlocks(text, ['PRIVATE KEY', 'EC PRIVATE KEY']);
  if (block === undefined) {
    throw new LinkspanError(
      'IDENTITY_INVALID',
      `${where}: no PEM block "PRIVATE KEY" or "EC PRIVATE KEY" in it`,
    );
  }
  try {
    return createPrivateKey(block);
  } catch (cause) {
    throw new LinkspanError('IDENTITY_INVALID', `${where}: the private key does not parse`, { cause });
  }
}

/**
 * The key as WebCrypto signs with it.
 * @throws LinkspanError IDENTITY_INVALID when it is no P-256 key
 */
export async function signingKey(text: string, where: string): Promise<webcrypto.CryptoKey> {
  const key = parsePrivateKey(text, where);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    const found = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? 'unknown';
    throw new LinkspanError(
      'IDENTITY_INVALID',
      `${where}: the key is ${found}, ECDSA P-256 is needed to issue`,
    );
  }
  const der = key.export({ format: 'der', type: 'pkcs8' });
  return webcrypto.subtle.importKey('pkcs8', der, P256, false, ['sign']);
}

/** PEM of DER bytes. */
export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

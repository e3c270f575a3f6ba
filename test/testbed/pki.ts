// The decorators of @peculiar/x509's dependency tsyringe need the Reflect metadata API to be there first.
import 'reflect-metadata';
import { generateKeyPairSync, KeyObject, randomBytes, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const LIFETIME_MS = 7 * 86_400_000;

/** A certificate and its key, PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** What one control plane needs; made in some milliseconds. */
export interface ClusterPki {
  readonly ca: Pair;
  /** Serves the API. */
  readonly server: Pair;
  /** `kubernetes-admin` of `system:masters`. */
  readonly admin: Pair;
  /** Signs service account tokens. */
  readonly serviceAccount: { readonly key: string; readonly publicKey: string };
}

/**
 * Makes the authority and certificates of a cluster that is reached at `addresses` and has `serviceIp` as
 * `kubernetes.default`.
 */
export async function clusterPki(
  name: string,
  addresses: readonly string[],
  serviceIp: string,
): Promise<ClusterPki> {
  const caKeys = await newKeys();
  const subject = `CN=testbed ${name}`;
  const sign = async (commonName: string, keys: webcrypto.CryptoKeyPair, extensions: Extension[]) => {
    const certificate = await X509CertificateGenerator.create({
      serialNumber: `00${randomBytes(15).toString('hex')}`,
      subject: commonName,
      issuer: subject,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + LIFETIME_MS),
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: P256,
      extensions,
    });
    return { cert: `${certificate.toString('pem')}\n`, key: pkcs8(keys.privateKey) };
  };
  const ips = [...new Set([...addresses, '127.0.0.1', serviceIp])].map((value) => ({
    type: 'ip' as const,
    value,
  }));
  const dns = [
    'localhost',
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
  ];
  const names = [...ips, ...dns.map((value) => ({ type: 'dns' as const, value }))];
  const tokens = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    ca: await sign(subject, caKeys, [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature, true),
    ]),
    server: await sign('CN=kube-apiserver', await newKeys(), [
      ...leafUse(ExtendedKeyUsage.serverAuth),
      new SubjectAlternativeNameExtension(names),
    ]),
    admin: await sign(
      'CN=kubernetes-admin, O=system:masters',
      await newKeys(),
      leafUse(ExtendedKeyUsage.clientAuth),
    ),
    serviceAccount: {
      key: tokens.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      publicKey: tokens.publicKey.export({ type: 'spki', format: 'pem' }),
    },
  };
}

function leafUse(usage: ExtendedKeyUsage): Extension[] {
  return [
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([usage]),
  ];
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

function pkcs8(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' });
}

// @peculiar/x509 needs the Reflect metadata API to be there first.
import 'reflect-metadata';
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { generateKeys, P256_SHA256, privateKeyPem, signingKey } from '../../src/identity/x509/keys.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { type Authority, createAnchor, createIssuer } from '../../src/identity/authority/issue.ts';

/**
 * The authority of one cluster as `identity anchor --cluster` and `identity issuer --cluster` make it: it may
 * name its own trust domain only.
 */
export async function ownAuthority(trustDomain: string): Promise<Authority> {
  const options = { trustDomain, constrained: true };
  return createIssuer(await createAnchor(options), options);
}

/** An authority that no certificate keeps from naming anybody. */
export async function freeAuthority(name = 'somebody'): Promise<Authority> {
  return createIssuer(await createAnchor({ name: `${name} root` }), { name: `${name} issuer` });
}

/** The identity of an account in Linkerd's form. */
export function accountIn(trustDomain: string, account = 'web', namespace = 'demo'): string {
  return `${account}.${namespace}.serviceaccount.identity.linkerd.${trustDomain}`;
}

/**
 * A leaf for a name that its issuer may not give, as somebody makes it who has stolen the key: our own code
 * refuses to.
 */
export function forgedLeaf(issuer: Authority, identity: string): Promise<Identity> {
  return leafOf(issuer, [identity]);
}

/** A leaf with these names in this order, whatever its issuer may give. */
export async function leafOf(
  issuer: Authority,
  names: readonly string[],
  life: { readonly from: number; readonly to: number } = {
    from: Date.now() - 60_000,
    to: Date.now() + 86_400_000,
  },
): Promise<Identity> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: '01',
    issuer: new X509Certificate(issuer.cert).subjectName,
    publicKey: keys.publicKey,
    signingKey: await signingKey(issuer.key, 'the issuer'),
    signingAlgorithm: P256_SHA256,
    notBefore: new Date(life.from),
    notAfter: new Date(life.to),
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: value.includes('://') ? ('url' as const) : ('dns' as const), value })),
        true,
      ),
    ],
  });
  return {
    name: names[0] ?? '',
    cert: `${certificate.toString('pem').trimEnd()}\n${issuer.chain}`,
    key: await privateKeyPem(keys.privateKey),
    ca: issuer.ca,
    notAfter: life.to,
  };
}

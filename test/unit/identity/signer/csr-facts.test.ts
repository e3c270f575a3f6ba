import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import type { V1CertificateSigningRequest } from '@kubernetes/client-node';
import {
  BasicConstraintsExtension,
  type Extension,
  type JsonGeneralName,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { expect } from 'chai';
import fc from 'fast-check';
import { LEAF_USAGES, SIGNER_NAME } from '../../../../src/api/names.ts';
import { makeCertificateRequest } from '../../../../src/identity/x509/certificate-request.ts';
import { readCsr } from '../../../../src/identity/signer/csr-facts.ts';
import { pem } from '../../../../src/identity/x509/keys.ts';
import { signerVerdict } from '../../../../src/identity/signer/csr-approval.ts';

const WEB = 'web.demo.serviceaccount.identity.linkerd.cluster.local';
const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const RULES = { controlNamespace: 'linkerd', trustDomain: 'cluster.local' };

function csr(request: string): V1CertificateSigningRequest {
  return {
    metadata: { name: 'x' },
    spec: {
      signerName: SIGNER_NAME,
      username: 'system:serviceaccount:demo:web',
      usages: [...LEAF_USAGES],
      request: Buffer.from(request).toString('base64'),
    },
  };
}
const asPem = (der: ArrayBuffer | Uint8Array) => pem('CERTIFICATE REQUEST', new Uint8Array(der));

/** A request as some other program would make it. */
async function foreign(
  names: JsonGeneralName[],
  options: {
    subject?: string;
    algorithm?: typeof P256 | webcrypto.RsaHashedKeyGenParams;
    more?: Extension[];
  } = {},
): Promise<V1CertificateSigningRequest> {
  const algorithm = options.algorithm ?? P256;
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const made = await Pkcs10CertificateRequestGenerator.create({
    ...(options.subject === undefined ? {} : { name: options.subject }),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
      ...(options.more ?? []),
    ],
  });
  return csr(asPem(made.rawData));
}
const decide = async (request: V1CertificateSigningRequest) => {
  const verdict = signerVerdict((await readCsr(request)).facts, RULES);
  return verdict.allowed ? verdict.identity : verdict.reason;
};

describe('readCsr', () => {
  it('reads what a workload of ours asks for', async () => {
    const read = await readCsr(csr(asPem(makeCertificateRequest(WEB).der)));
    expect(read.facts.request).to.deep.equal({
      subject: [],
      dnsNames: [WEB],
      otherNames: [],
      key: 'P-256',
      proven: true,
    });
    expect(read.publicKey?.type).to.equal('public');
  });

  it('reads every part of the subject, and every name', async () => {
    const request = await foreign(
      [
        { type: 'dns', value: WEB },
        { type: 'ip', value: '10.0.0.1' },
        { type: 'url', value: 'spiffe://a/b' },
        { type: 'email', value: 'a@b.c' },
      ],
      { subject: `CN=${WEB}, O=system:masters` },
    );
    const { facts } = await readCsr(request);
    expect(facts.request?.subject).to.deep.equal([
      { type: 'CN', value: WEB },
      { type: 'O', value: 'system:masters' },
    ]);
    expect(facts.request?.otherNames).to.deep.equal(['ip', 'url', 'email']);
  });

  it('ends in a verdict for requests of other programs', async () => {
    const web: JsonGeneralName = { type: 'dns', value: WEB };
    expect(await decide(await foreign([web]))).to.equal(WEB);
    expect(await decide(await foreign([web], { subject: `CN=${WEB}` }))).to.equal(WEB);
    expect(await decide(await foreign([web], { subject: 'O=system:masters' }))).to.equal('SubjectNotAllowed');
    expect(await decide(await foreign([]))).to.equal('NamesNotAllowed');
    expect(await decide(await foreign([web, { type: 'ip', value: '10.0.0.1' }]))).to.equal('NamesNotAllowed');
    expect(await decide(await foreign([{ type: 'dns', value: `other.${WEB}` }]))).to.equal(
      'IdentityMismatch',
    );
    const p384 = { ...P256, namedCurve: 'P-384' };
    expect(await decide(await foreign([web], { algorithm: p384 }))).to.equal('KeyNotAllowed');
    const rsa = {
      name: 'RSASSA-PKCS1-v1_5',
      hash: 'SHA-256',
      publicExponent: new Uint8Array([1, 0, 1]),
      modulusLength: 2048,
    };
    expect(await decide(await foreign([web], { algorithm: rsa }))).to.equal('KeyNotAllowed');
  });

  // Nothing of the request but the key gets into the certificate, so that asking for a certificate authority
  // gives a leaf.
  it('is not impressed by other extensions', async () => {
    const more = [new BasicConstraintsExtension(true, 5, true)];
    expect(await decide(await foreign([{ type: 'dns', value: WEB }], { more }))).to.equal(WEB);
  });

  // With the name in two extensions, what is checked and what is used could differ.
  it('counts the names of all extensions', async () => {
    const more = [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'evil.example' }])];
    expect(await decide(await foreign([{ type: 'dns', value: WEB }], { more }))).to.equal('NamesNotAllowed');
  });

  it('sees that a request is not signed with its key', async () => {
    const { der } = makeCertificateRequest(WEB);
    const place = der.indexOf(WEB);
    const changed = Buffer.from(der);
    changed.write('v', place);
    const { facts } = await readCsr(csr(asPem(changed)));
    expect(facts.request?.proven).to.equal(false);
  });

  it('says that it does not parse, whatever comes', async () => {
    const { der } = makeCertificateRequest(WEB);
    const texts = [
      '',
      'hello',
      pem('CERTIFICATE', der),
      asPem(der) + asPem(der),
      asPem(der.subarray(0, 60)),
      asPem(Buffer.from('hello')),
    ];
    for (const text of texts) expect(await decide(csr(text)), text).to.equal('RequestUnreadable');
    // Within what the signature covers, which is all but the last 90 bytes.
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: der.length - 100 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const damaged = Buffer.from(der);
          damaged[at] = (damaged[at] ?? 0) ^ flip;
          const { facts } = await readCsr(csr(asPem(damaged)));
          expect(facts.request?.proven === true && signerVerdict(facts, RULES).allowed).to.equal(false);
        },
      ),
      { numRuns: 300 },
    );
  });
});

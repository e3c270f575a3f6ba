import 'reflect-metadata';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { expect } from 'chai';
import fc from 'fast-check';
import { makeCertificateRequest } from '../../../../src/identity/x509/certificate-request.ts';
import { identityName } from '../../../../src/identity/names/identity-name.ts';

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);

// Read by another library than wrote it: what only our own reader understands, no issuer would sign.
describe('makeCertificateRequest', () => {
  it('asks for one DNS name, with an empty subject, signed with its key', async () => {
    await fc.assert(
      fc.asyncProperty(label, label, async (serviceAccount, namespace) => {
        const name = identityName({ serviceAccount, namespace });
        const parsed = new Pkcs10CertificateRequest(Buffer.from(makeCertificateRequest(name).der));
        expect(await parsed.verify()).to.equal(true);
        expect(parsed.subject).to.equal('');
        expect(parsed.extensions).to.have.length(1);
        const [names] = parsed.extensions;
        expect(names).to.be.instanceOf(SubjectAlternativeNameExtension);
        expect(
          (names as SubjectAlternativeNameExtension).names.items.map(({ type, value }) => [type, value]),
        ).to.deep.equal([['dns', name]]);
      }),
      { numRuns: 25 },
    );
  });

  it('belongs to the key that comes with it, and to no other', () => {
    const [one, two] = [makeCertificateRequest('a.b'), makeCertificateRequest('a.b')];
    const parsed = new Pkcs10CertificateRequest(Buffer.from(one.der));
    const spki = (key: string) =>
      createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' }).toString('hex');
    expect(Buffer.from(parsed.publicKey.rawData).toString('hex')).to.equal(spki(one.key));
    expect(spki(one.key)).to.not.equal(spki(two.key));
  });

  it('writes names longer than 127 bytes, whose lengths take more than a byte', () => {
    const name = identityName({ serviceAccount: 'a'.repeat(63), namespace: 'b'.repeat(63) });
    const parsed = new Pkcs10CertificateRequest(Buffer.from(makeCertificateRequest(name).der));
    expect(Buffer.from(parsed.rawData).toString('latin1')).to.contain(name);
  });
});

import type { V1CertificateSigningRequest, V1CertificateSigningRequestStatus } from '@kubernetes/client-node';
import { expect } from 'chai';
import { SIGNER_NAME } from '../../../../src/api/names.ts';
import { signerStep } from '../../../../src/identity/signer/signer.ts';

function csr(
  status: V1CertificateSigningRequestStatus | undefined,
  signerName = SIGNER_NAME,
): V1CertificateSigningRequest {
  return { spec: { signerName, request: '' }, ...(status === undefined ? {} : { status }) };
}
const having = (...types: string[]) => ({ conditions: types.map((type) => ({ type, status: 'True' })) });

describe('signerStep', () => {
  it('approves what may be, then signs it', () => {
    expect(signerStep(csr(undefined), true)).to.equal('approve');
    expect(signerStep(csr(having('Approved')), true)).to.equal('sign');
  });

  it('denies what may not be', () => {
    expect(signerStep(csr({}), false)).to.equal('deny');
  });

  // `kubectl certificate approve` must not be a way around the rules.
  it('fails what somebody approved although it may not be', () => {
    expect(signerStep(csr(having('Approved')), false)).to.equal('fail');
  });

  it('leaves alone what is done', () => {
    for (const allowed of [true, false]) {
      expect(signerStep(csr({ ...having('Approved'), certificate: 'LS0t' }), allowed)).to.equal('nothing');
      expect(signerStep(csr(having('Denied')), allowed)).to.equal('nothing');
      expect(signerStep(csr(having('Approved', 'Failed')), allowed)).to.equal('nothing');
    }
  });

  it('leaves alone what is for other signers', () => {
    for (const signer of ['kubernetes.io/kube-apiserver-client', 'linkspan.dev/other', ''])
      expect(signerStep(csr(undefined, signer), true), signer).to.equal('nothing');
  });
});

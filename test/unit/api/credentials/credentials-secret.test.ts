import { expect } from 'chai';
import fc from 'fast-check';
import {
  credentialsSecret,
  credentialsText,
  destinationClusterOf,
  isCredentials,
  kubeconfigData,
  kubeconfigIn,
  parseTokenTtl,
  tokenTtlText,
} from '../../../../src/api/credentials/credentials-secret.ts';

const ref = { namespace: 'linkerd-multicluster', name: 'cluster-credentials-west' };
const text = fc.string({ minLength: 1, unit: 'grapheme' });

// Seven files knew the type, the key and its coding, and three of them wrote it.
describe('a Secret with credentials', () => {
  it('is read as it was written, for the controller', () =>
    fc.assert(
      fc.property(
        text,
        fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
        (kubeconfig, seconds) => {
          const tokenTtlMs = seconds === undefined ? undefined : seconds * 1000;
          const secret = credentialsSecret(ref, kubeconfig, { kind: 'controller', tokenTtlMs });
          expect(isCredentials(secret)).to.equal(true);
          expect(secret.metadata).to.include(ref);
          expect(kubeconfigIn(secret)).to.equal(kubeconfig);
          const ttl = tokenTtlText(secret);
          expect(ttl === undefined ? undefined : parseTokenTtl(ttl)).to.equal(tokenTtlMs);
          expect(destinationClusterOf(secret)).to.equal(undefined);
        },
      ),
    ));

  it("is read as it was written, for Linkerd's destination controller", () =>
    fc.assert(
      fc.property(text, fc.stringMatching(/^[a-z]{1,9}$/), (kubeconfig, clusterName) => {
        const reader = { kind: 'destination', clusterName, clusterDomain: 'd', trustDomain: 't' } as const;
        const secret = credentialsSecret(ref, kubeconfig, reader);
        expect(isCredentials(secret)).to.equal(true);
        expect(kubeconfigIn(secret)).to.equal(kubeconfig);
        expect(destinationClusterOf(secret)).to.equal(clusterName);
        expect(tokenTtlText(secret)).to.equal(undefined);
        expect(secret.metadata?.annotations).to.deep.equal({
          'multicluster.linkerd.io/cluster-domain': 'd',
          'multicluster.linkerd.io/trust-domain': 't',
        });
      }),
    ));

  it('is another one with another kubeconfig, also by a patch', () =>
    fc.assert(
      fc.property(text, text, (before, after) => {
        const secret = credentialsSecret(ref, before, { kind: 'controller', tokenTtlMs: undefined });
        const patched = { ...secret, ...kubeconfigData(after) };
        expect(kubeconfigIn(patched)).to.equal(after);
        expect(credentialsText(patched) === credentialsText(secret)).to.equal(before === after);
      }),
    ));

  it('says nothing where it is of another type, empty, or asks for no life', () => {
    expect(isCredentials({ type: 'Opaque' })).to.equal(false);
    expect(kubeconfigIn({})).to.equal(undefined);
    expect(kubeconfigIn({ data: { kubeconfig: '' } })).to.equal(undefined);
    expect(tokenTtlText({ metadata: { annotations: { 'linkspan.dev/token-ttl': '' } } })).to.equal(undefined);
    expect(parseTokenTtl('soon')).to.equal(undefined);
  });
});

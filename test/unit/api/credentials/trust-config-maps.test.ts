import { expect } from 'chai';
import fc from 'fast-check';
import {
  boundAnchorsIn,
  bundleIn,
  trustConfigMap,
  trustDomainIn,
} from '../../../../src/api/credentials/trust-config-maps.ts';

describe('ConfigMaps with trust anchors', () => {
  it('of the signer are read as they were written', () =>
    fc.assert(
      fc.property(fc.string(), fc.domain(), (bundle, trustDomain) => {
        const found = trustConfigMap('linkerd-multicluster', { bundle, trustDomain });
        expect(bundleIn(found)).to.deep.equal({ key: 'ca.crt', pem: bundle });
        expect(trustDomainIn(found)).to.equal(trustDomain);
      }),
    ));

  // Processes took `ca.crt` first, and the check of shared anchors `ca-bundle.crt`: it judged a bundle that
  // nobody used.
  it("are ours first, then in Linkerd's form, for whoever reads them", () => {
    expect(bundleIn({ data: { 'ca-bundle.crt': 'theirs' } })?.pem).to.equal('theirs');
    expect(bundleIn({ data: { 'ca-bundle.crt': 'theirs', 'ca.crt': 'ours' } })?.pem).to.equal('ours');
    expect(bundleIn({ data: {} })).to.equal(undefined);
    expect(bundleIn(undefined)).to.equal(undefined);
  });

  it('of other domains name each domain by its key', () =>
    fc.assert(
      fc.property(fc.dictionary(fc.domain(), fc.string()), (anchors) => {
        const data = Object.fromEntries(
          Object.entries(anchors).map(([domain, pem]) => [`${domain}.crt`, pem]),
        );
        const found = boundAnchorsIn({ data: { ...data, README: 'no anchors' } });
        expect(found.map(({ domain, pem }) => [domain, pem])).to.have.deep.members(Object.entries(anchors));
      }),
    ));
});

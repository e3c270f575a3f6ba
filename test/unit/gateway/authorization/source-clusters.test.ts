import { expect } from 'chai';
import { SourceClusters } from '../../../../src/gateway/authorization/source-clusters.ts';

const identity = (domain: string) => `linkspan-egress.linkerd.serviceaccount.identity.linkerd.${domain}`;
const OWN = identity('west.example');

describe('The cluster that an egress says it is in', () => {
  it('is proven by a trust domain of its own, and by nothing else', () => {
    const sources = new SourceClusters();
    const of = (domain: string, cluster: string) => sources.of(identity(domain), OWN, cluster)?.proven;
    expect(of('east.example', 'east')).to.equal(true);
    expect(of('east.example', 'north')).to.equal(false);
    expect(of('east.example', 'eas')).to.equal(false);
    expect(sources.of('spiffe://east.example/ns/a', OWN, 'east')?.proven).to.equal(true);
    expect(sources.of('web.example.com', OWN, 'web')?.proven).to.equal(false);
    // All clusters with this gateway's domain could say so.
    expect(of('west.example', 'west')).to.equal(false);
  });

  it('is heeded for few names of one identity', () => {
    const sources = new SourceClusters();
    const of = (cluster: string) => sources.of(identity('east.example'), OWN, cluster)?.cluster;
    for (let nth = 0; nth < 8; nth++) expect(of(`c${nth}`)).to.equal(`c${nth}`);
    expect([of('c8'), of('c0')]).to.deep.equal([undefined, 'c0']);
  });

  it('is heeded of few identities', () => {
    const sources = new SourceClusters();
    for (let nth = 0; nth < 1000; nth++) sources.of(identity(`d${nth}.example`), OWN, 'east');
    expect(sources.of(identity('other.example'), OWN, 'east')).to.equal(undefined);
    expect(sources.of(identity('d0.example'), OWN, 'east')?.cluster).to.equal('east');
  });
});

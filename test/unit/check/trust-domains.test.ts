import { expect } from 'chai';
import { type TrustDomainFacts, trustProblems } from '../../../src/check/trust-domains.ts';
import type { Authority } from '../../../src/identity/authority/issue.ts';
import { freeAuthority, ownAuthority } from '../../support/authorities.ts';

const EAST = 'east.cluster.local';
const WEST = 'west.cluster.local';

/**
 * Who may vouch for whom is spread over a Secret, two ConfigMaps and the Links: a slip there is either an
 * outage, or a partner who can be anybody and nobody sees it.
 */
describe('trust problems', () => {
  let east: Authority;
  let west: Authority;
  let free: Authority;
  let partner: Authority;

  before(async () => {
    [east, west] = await Promise.all([ownAuthority(EAST), ownAuthority(WEST)]);
    [free, partner] = await Promise.all([freeAuthority('ours'), freeAuthority('partner')]);
  });

  const facts = (change: Partial<TrustDomainFacts> = {}): TrustDomainFacts => ({
    own: EAST,
    anchors: east.ca,
    issuer: east.chain,
    bound: {},
    targets: {},
    ...change,
  });
  const problems = (change: Partial<TrustDomainFacts>) =>
    trustProblems(facts(change)).map(({ line, bad }) => `${bad ? 'error' : 'warning'} ${line}`);

  it('are none for a domain of its own, a target whose anchor is bound, and one bundle for all', () => {
    expect(problems({})).to.deep.equal([]);
    expect(problems({ bound: { [WEST]: west.ca }, targets: { west: WEST } })).to.deep.equal([]);
    const shared = { own: 'cluster.local', anchors: free.ca, issuer: free.chain };
    expect(problems({ ...shared, targets: { west: 'cluster.local' } })).to.deep.equal([]);
    // One anchor above the issuers of all clusters, which is kept elsewhere.
    expect(problems({ anchors: free.ca, targets: { west: WEST } })).to.deep.equal([]);
  });

  it('a target for whose domain nobody may vouch', () => {
    const [line] = problems({ targets: { west: WEST } });
    expect(line).to.match(
      /^error \* west: no trust anchor may vouch for its trust domain west\.cluster\.local/,
    );
    expect(problems({ bound: { [WEST]: east.ca }, targets: { west: WEST } })).to.have.lengthOf(1);
  });

  it('anchors that cannot be read', () => {
    const [first] = problems({ bound: { [WEST]: 'no PEM' } });
    expect(first).to.match(/^error .*west\.cluster\.local/);
  });

  it("a stranger's anchor in our own bundle, once there is more than one domain", () => {
    const [line] = problems({ anchors: east.ca + partner.ca, bound: { [WEST]: west.ca } });
    expect(line).to.match(
      /^warning \* trust anchor "CN=partner root" is bound to no domain and has no name constraints/,
    );
    expect(problems({ anchors: east.ca + partner.ca })).to.deep.equal([]);
  });

  it('an issuer that may name everybody, once there is more than one domain', () => {
    const [line] = problems({ issuer: free.chain, anchors: free.ca, bound: { [WEST]: west.ca } });
    expect(line).to.match(/^warning \* the issuer "CN=ours issuer" has no name constraints/);
  });

  it('anchors that are bound to our own domain, and a target whose domain is above ours', () => {
    expect(problems({ bound: { [EAST]: partner.ca } })[0]).to.match(
      /whoever holds their keys can be anybody here/,
    );
    const shared = { bound: { 'cluster.local': free.ca }, targets: { west: 'cluster.local' } };
    expect(problems(shared)[0]).to.match(/^warning \* west: its trust domain cluster\.local is above ours/);
  });
});

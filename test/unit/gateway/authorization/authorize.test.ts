import { expect } from 'chai';
import { authorize, type AuthorizationFacts } from '../../../../src/gateway/authorization/authorize.ts';
import { isOfTrustDomain, trustDomains } from '../../../../src/identity/names/trust-domain.ts';

const question: AuthorizationFacts = {
  own: 'gateway.west',
  client: 'egress.mc.east',
  label: 'web.demo.svc.cluster.local:80',
  spec: { name: 'web.demo.svc.cluster.local', port: 80, endpoints: [] },
  trustDomains: undefined,
  policy: { allowed: true, policy: '', reason: '' },
};
const allowing = (...allow: string[]): Partial<AuthorizationFacts> => ({
  spec: { name: 'web', port: 80, endpoints: [], allow },
});
const POLICY = 'policy.linkerd.io/authorizationpolicy/only-frontend';
const granted: Partial<AuthorizationFacts> = { policy: { allowed: true, policy: POLICY, reason: '' } };
const denied: Partial<AuthorizationFacts> = {
  policy: {
    allowed: false,
    policy: POLICY,
    reason: 'AuthorizationPolicy demo/only-frontend does not allow client x',
  },
};

describe('who may pass the gateway', () => {
  const cases: readonly [string, Partial<AuthorizationFacts>, string | undefined][] = [
    ['any identity of the trust domain, when the Service says nothing', {}, undefined],
    ['nobody, to what is not exported', { spec: undefined }, 'unknown service'],
    ['whom the Service names', allowing('egress.mc.east'), undefined],
    ['whom a wildcard covers', allowing('*.mc.east'), undefined],
    ['nobody else', allowing('other.mc.east', '*.west'), 'unauthorized'],
    ['nobody, when the list is empty', allowing(), 'unauthorized'],
    ['not the gateway itself', { client: 'gateway.west' }, 'gateway loop'],
    ['whom the policies allow', granted, undefined],
    ['nobody whom the policies refuse', denied, 'unauthorized'],
    ['nobody whom only the Service allows', { ...allowing('*'), ...denied }, 'unauthorized'],
    ['nobody whom only the policies allow', { ...allowing('other'), ...granted }, 'unauthorized'],
    ['who is of a trust domain that may', { trustDomains: ['west', 'mc.east'] }, undefined],
    ['nobody of another trust domain', { trustDomains: ['west'] }, 'unauthorized'],
    ['… even when he is named', { ...allowing('egress.mc.east'), trustDomains: ['west'] }, 'unauthorized'],
  ];
  for (const [story, change, kind] of cases) {
    it(story, () => expect(authorize({ ...question, ...change }).failure?.kind).to.equal(kind));
  }

  it('names what decided, for the metrics', () => {
    const by = (change: Partial<AuthorizationFacts>) => authorize({ ...question, ...change }).policy;
    expect(by({})).to.equal('');
    expect(by(allowing('*'))).to.equal('linkspan.dev/annotation/allowed-clients');
    expect(by(allowing('other'))).to.equal('linkspan.dev/annotation/allowed-clients');
    expect(by({ ...allowing('*'), ...granted })).to.equal(POLICY);
    expect(by(denied)).to.equal(POLICY);
    expect(by({ trustDomains: ['west'] })).to.equal('linkspan.dev/gateway/trust-domain');
  });

  it('says in one line who refused whom', () => {
    const message = (change: Partial<AuthorizationFacts>) =>
      authorize({ ...question, ...change }).failure?.message;
    expect(message(denied)).to.equal(
      'web.demo:80: AuthorizationPolicy demo/only-frontend does not allow client x',
    );
    expect(message(allowing('other'))).to.equal(
      'web.demo:80: its allowed clients do not include egress.mc.east',
    );
    expect(message({ trustDomains: ['west', 'north'] })).to.equal(
      'web.demo:80: client egress.mc.east is of none of the trust domains that may use this gateway (west, north)',
    );
  });
});

describe('the trust domain of an identity', () => {
  const name = (domain: string) => `web.demo.serviceaccount.identity.linkerd.${domain}`;
  const cases: readonly [string, string, boolean][] = [
    [name('cluster.local'), 'cluster.local', true],
    [name('CLUSTER.local'), 'Cluster.Local', true],
    [name('east.cluster.local'), 'cluster.local', false],
    [name('evil-cluster.local'), 'cluster.local', false],
    ['spiffe://cluster.local/ns/demo', 'cluster.local', true],
    ['spiffe://evil/x.cluster.local', 'cluster.local', false],
    ['spiffe://a.cluster.local/x', 'cluster.local', false],
    ['machine.cluster.local', 'cluster.local', true],
    ['machine.evilcluster.local', 'cluster.local', false],
    ['cluster.local', 'cluster.local', false],
    ['https://x/.cluster.local', 'cluster.local', false],
  ];
  for (const [identity, domain, expected] of cases) {
    it(`${identity} is ${expected ? '' : 'not '}of ${domain}`, () =>
      expect(isOfTrustDomain(identity, domain)).to.equal(expected));
  }

  it("is the gateway's own and those that were named; anything goes only where there is none", () => {
    expect(trustDomains(name('west.local'), [])).to.deep.equal(['west.local']);
    expect(trustDomains(name('west.local'), ['east.local'])).to.deep.equal(['west.local', 'east.local']);
    expect(trustDomains('spiffe://west/gateway', [])).to.deep.equal(['west']);
    expect(trustDomains('gateway.west', [])).to.equal(undefined);
    expect(trustDomains('gateway.west', ['east.local'])).to.deep.equal(['east.local']);
  });
});

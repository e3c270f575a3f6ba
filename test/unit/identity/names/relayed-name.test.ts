import { expect } from 'chai';
import fc from 'fast-check';
import { mayRelay, relayDomain, relayedName } from '../../../../src/identity/names/relayed-name.ts';
import { expectUnnoticed } from '../../../support/linear-time.ts';

const RELAY = 'linkspan-egress.linkerd-multicluster.serviceaccount.identity.linkerd.east.example';
const END = 'serviceaccount.identity.linkerd.east.example';

// A relay is believed whatever it says of its clients, so what it can say is all that protects everybody
// else: another cluster's workloads must not be among it.
describe('the name that a relay gives a workload', () => {
  it('is the one it would have in the mesh', () => {
    const domain = relayDomain(RELAY);
    expect(domain).to.deep.equal({ controlNamespace: 'linkerd', trustDomain: 'east.example' });
    if (domain === undefined) throw new Error('no domain');
    const name = relayedName(domain, { namespace: 'shop', serviceAccount: 'web' });
    expect(name).to.equal(`web.shop.${END}`);
    expect(mayRelay(RELAY, name ?? '')).to.equal(true);
    expect(relayedName(domain, { namespace: 'shop', serviceAccount: 'a'.repeat(230) })).to.equal(undefined);
  });

  for (const relay of [
    '',
    'egress.east',
    'spiffe://east.example/ns/shop/sa/web',
    '.serviceaccount.identity.linkerd.east',
    'x.y.serviceaccount.identity.',
    'x.y.serviceaccount.identity.linkerd',
    'x.y.serviceaccount.identity.linkerd.',
    `${'x'.repeat(300)}.y.${END}`,
  ])
    it(`cannot be given by ${relay.slice(0, 50) || 'nobody'}`, () => {
      expect(relayDomain(relay)).to.equal(undefined);
      expect(mayRelay(relay, `web.shop.${END}`)).to.equal(false);
    });

  it('is of the domain at the end, whatever an account is called', () => {
    const strange = `x.y.serviceaccount.identity.linkerd.west.n.${END}`;
    expect(relayDomain(strange)?.trustDomain).to.equal('east.example');
    expect(mayRelay(strange, 'web.shop.serviceaccount.identity.linkerd.west')).to.equal(false);
    expect(mayRelay(RELAY, strange)).to.equal(true);
  });

  for (const [what, name] of [
    ['of another trust domain', 'web.shop.serviceaccount.identity.linkerd.west.example'],
    ['of a trust domain below', `web.shop.${END}.evil`],
    ['of a trust domain above', 'web.shop.serviceaccount.identity.linkerd.example'],
    ['of another control plane', 'web.shop.serviceaccount.identity.other.east.example'],
    ['without a namespace', `web.${END}`],
    ['without an account', `.shop.${END}`],
    ['without anything', `.${END}`],
    ['of a namespace that is none', `web.-.${END}`],
    ['with a wildcard', `*.shop.${END}`],
    ['in upper case', `Web.shop.${END}`],
    ['with a blank', `web .shop.${END}`],
    ['with two names', `a.b.${END},web.shop.${END}`],
    ['as a URI', 'spiffe://east.example/ns/shop/sa/web'],
    ['that is empty', ''],
    ['that has no end', `${'a.'.repeat(40_000)}.${END}`],
  ])
    it(`cannot be one ${what}`, () => {
      expect(mayRelay(RELAY, name ?? '')).to.equal(false);
      expectUnnoticed(() => mayRelay(RELAY, name ?? ''), 'mayRelay');
    });

  it('is never believed unless it ends as the relay itself does, whatever comes', () => {
    const piece = fc.constantFrom(
      'web',
      'shop',
      '.',
      '.serviceaccount.identity.',
      'linkerd',
      'east.example',
      'West',
      '*',
      '',
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 12 }).map((some) => some.join('')),
    );
    fc.assert(
      fc.property(text, text, (relay, name) => {
        for (const [one, other] of [
          [relay, name],
          [RELAY, name],
          [relay, `web.shop.${END}`],
          [RELAY, `${name}.${END}`],
        ] as const) {
          const domain = relayDomain(one);
          if (!mayRelay(one, other)) continue;
          const end = `.serviceaccount.identity.${domain?.controlNamespace}.${domain?.trustDomain}`;
          expect(other.endsWith(end)).to.equal(true);
          expect(one.toLowerCase().endsWith(end)).to.equal(true);
          expect(other).to.match(/^[a-z0-9.-]{1,253}$/);
        }
      }),
    );
  });
});

import { X509Certificate } from 'node:crypto';
import { expect } from 'chai';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import { checkChain, parseCertificates } from '../../../../src/identity/x509/certificate.ts';
import {
  createAnchor,
  createIssuer,
  issueLeaf,
  parseAuthority,
} from '../../../../src/identity/authority/issue.ts';
import {
  encodeNameConstraints,
  nameConstraintsOf,
  type NameConstraints,
  permits,
} from '../../../../src/identity/x509/name-constraints.ts';
import { accountIn, freeAuthority, ownAuthority } from '../../../support/authorities.ts';

const WEST = 'west.cluster.local';
const NONE = { dns: [], uri: [] };

/**
 * A cluster's issuer is a key on that cluster. Without constraints whoever takes the cluster over can be
 * anybody in every cluster that trusts its anchor.
 */
describe('name constraints', () => {
  it('of an issuer and an anchor for one cluster stand in their certificates, marked critical', async () => {
    const issuer = await ownAuthority(WEST);
    for (const pem of [issuer.cert, issuer.ca]) {
      const x509 = new X509Certificate(pem);
      expect(nameConstraintsOf(x509.raw)).to.deep.equal({
        permitted: { dns: [WEST], uri: [WEST, `.${WEST}`] },
        excluded: NONE,
      });
      // OID 2.5.29.30, then TRUE.
      expect(x509.raw.includes(Buffer.from('0603551d1e0101ff', 'hex'))).to.equal(true);
    }
    const free = await freeAuthority();
    expect(nameConstraintsOf(new X509Certificate(free.cert).raw)).to.equal(undefined);
  });

  const constraints = (permitted: object, excluded: object = {}): NameConstraints => ({
    permitted: { ...NONE, ...permitted },
    excluded: { ...NONE, ...excluded },
  });
  const own = constraints({ dns: [WEST], uri: [WEST, `.${WEST}`] });
  const cases: readonly (readonly [NameConstraints, string, boolean])[] = [
    [own, accountIn(WEST), true],
    [own, accountIn(WEST).toUpperCase(), true],
    [own, WEST, true],
    [own, accountIn('sub.west.cluster.local'), true],
    [own, accountIn('cluster.local'), false],
    [own, accountIn('east.cluster.local'), false],
    [own, 'xwest.cluster.local', false],
    [own, accountIn(`${WEST}.evil.example`), false],
    [own, `spiffe://${WEST}/ns/demo/sa/web`, true],
    [own, `spiffe://sub.${WEST}/ns/demo/sa/web`, true],
    [own, `spiffe://${WEST}@evil.example/ns/demo`, false],
    [own, `spiffe://${WEST}:443/ns/demo`, true],
    [own, `spiffe://x${WEST}/ns/demo`, false],
    [own, 'spiffe://evil.example/west.cluster.local', false],
    // A kind without a constraint is free: that is why ours name both.
    [constraints({ dns: [WEST] }), 'spiffe://evil.example/x', true],
    [constraints({ uri: [WEST] }), accountIn('evil.example'), true],
    [constraints({ dns: [''] }), accountIn('evil.example'), true],
    [constraints({ dns: [`.${WEST}`] }), WEST, false],
    [constraints({}, { dns: [WEST] }), accountIn(WEST), false],
    [constraints({}, { dns: [WEST] }), accountIn('east.cluster.local'), true],
    [constraints({}, { uri: [''] }), `spiffe://${WEST}/x`, false],
  ];
  for (const [limits, name, expected] of cases)
    it(`${JSON.stringify(limits)} ${expected ? 'permit' : 'forbid'} ${name}`, () => {
      expect(permits(limits, name)).to.equal(expected);
    });

  it('that cannot be read forbid everything', async () => {
    const der = new X509Certificate((await ownAuthority(WEST)).cert).raw;
    const good = encodeNameConstraints(WEST);
    const at = der.indexOf(good);
    expect(at).to.be.greaterThan(0);
    // Byte by byte: whatever a damaged extension is taken for, it never permits more than it did.
    for (let i = 0; i < good.length; i++) {
      const damaged = Uint8Array.from(der);
      damaged[at + i] = 0xff;
      const found = nameConstraintsOf(damaged);
      expect(found, `byte ${i}`).not.to.equal(undefined);
      if (found !== undefined) expect(permits(found, accountIn('evil.example')), `byte ${i}`).to.equal(false);
    }
  });

  it('are kept by the issuing itself: a leaf that nobody would believe is not made', async () => {
    const west = await ownAuthority(WEST);
    const error: unknown = await issueLeaf(west, { identity: accountIn('east.cluster.local') }).catch(
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(LinkspanError);
    expect(String(error)).to.contain('may only name identities of west.cluster.local');
    await issueLeaf(west, { identity: accountIn(WEST) });
  });

  it('of every authority on the way hold in the check of a chain', async () => {
    const anchor = await createAnchor({ trustDomain: WEST, constrained: true });
    // The anchor is constrained, its issuer is not: the leaf's name is still not the anchor's to give.
    const issuer = await createIssuer(anchor);
    const leaf = await issueLeaf(issuer, { identity: accountIn('east.cluster.local') });
    const [own, ...above] = parseCertificates(leaf.cert, 'leaf');
    if (own === undefined) throw new TypeError('no leaf');
    expect(() => checkChain(own, above, parseCertificates(anchor.ca, 'ca.crt'), Date.now())).to.throw(
      LinkspanError,
      /may not name web\.demo/,
    );
    // And an issuer that says nothing itself is refused for a domain that it may not sign.
    expect(
      parseAuthority({ cert: { path: 'a', text: anchor.cert }, key: { path: 'b', text: anchor.key } }).ca,
    ).to.equal(anchor.ca);
  });
});

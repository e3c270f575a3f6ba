import { X509Certificate } from 'node:crypto';
import { expect } from 'chai';
import type { BoundAnchors, Identity } from '../../../../src/identity/sources/identity.ts';
import {
  type Authority,
  createAnchor,
  createIssuer,
  issueLeaf,
} from '../../../../src/identity/authority/issue.ts';
import { Trust } from '../../../../src/identity/trust/trust.ts';
import { accountIn, forgedLeaf, freeAuthority, ownAuthority } from '../../../support/authorities.ts';

const EAST = 'east.cluster.local';
const WEST = 'west.cluster.local';
const PARTNER = 'partner.example';

const certificates = (pem: string) =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (block) => new X509Certificate(block),
  );

/**
 * A partner's certificate authority is in the bundle so that its gateway can be spoken to. It must not follow
 * that the partner, or who has taken it over, is believed to be a workload of ours.
 */
describe('trust', () => {
  let ours: Authority;
  let west: Authority;
  let partner: Authority;

  before(async () => {
    [ours, west, partner] = await Promise.all([
      ownAuthority(EAST),
      freeAuthority('west'),
      freeAuthority('partner'),
    ]);
  });

  /** What a process of ours believes. */
  function trust(own: Authority, bound: readonly BoundAnchors[], name = accountIn(EAST, 'gateway')): Trust {
    return new Trust({ name, ca: own.ca + bound.map(({ pem }) => pem).join(''), bound });
  }

  async function verdict(of: Trust, signer: Authority, identity: string, decoys = ''): Promise<string> {
    const leaf = await issueLeaf(signer, { identity });
    const [own, ...above] = certificates(decoys === '' ? leaf.cert : leaf.cert + decoys);
    if (own === undefined) throw new TypeError('no leaf');
    return of.refusal(own, above, Date.now()) ?? 'believed';
  }

  const bindings = () => [
    { domain: WEST, pem: west.ca },
    { domain: PARTNER, pem: partner.ca },
  ];

  it('believes each anchor about its own domain, and our own anchors about ours', async () => {
    const all = trust(ours, bindings());
    expect(await verdict(all, ours, accountIn(EAST))).to.equal('believed');
    expect(await verdict(all, west, accountIn(WEST))).to.equal('believed');
    expect(await verdict(all, partner, `spiffe://${PARTNER}/ns/a/sa/b`)).to.equal('believed');
    expect(await verdict(all, partner, accountIn(`sub.${PARTNER}`))).to.equal('believed');
  });

  it("does not believe a partner's authority that names somebody of ours, of another partner or of nobody", async () => {
    const all = trust(ours, bindings());
    for (const name of [
      accountIn(EAST),
      accountIn(WEST),
      accountIn('cluster.local'),
      'client.north',
      `spiffe://${EAST}/x`,
    ])
      expect(await verdict(all, partner, name), name).to.match(/may not name/);
  });

  it('does not believe a chain that only carries certificates of an authority that might vouch', async () => {
    // Its issuer signs; ours is sent along as if it had.
    expect(await verdict(trust(ours, bindings()), partner, accountIn(EAST), ours.chain)).to.match(
      /may not name/,
    );
  });

  it('does not let our own anchors vouch for a domain that others are bound to', async () => {
    const shared = await freeAuthority('shared');
    const all = trust(shared, bindings());
    expect(await verdict(all, shared, accountIn(EAST))).to.equal('believed');
    expect(await verdict(all, shared, accountIn('north.cluster.local'))).to.equal('believed');
    expect(await verdict(all, shared, accountIn(WEST))).to.match(/may not name/);
  });

  it('goes by the nearest domain: what is bound below another domain is not for the one above', async () => {
    const all = trust(ours, [
      { domain: 'cluster.local', pem: partner.ca },
      { domain: WEST, pem: west.ca },
    ]);
    expect(await verdict(all, partner, accountIn('north.cluster.local'))).to.equal('believed');
    expect(await verdict(all, partner, accountIn(WEST))).to.match(/may not name/);
    expect(await verdict(all, partner, accountIn(EAST))).to.match(/may not name/);
  });

  it('lets nobody vouch for a domain whose anchors cannot be read', async () => {
    const free = await freeAuthority('ours');
    const all = trust(free, [{ domain: WEST, pem: '' }]);
    expect(await verdict(all, free, accountIn(WEST))).to.match(/may not name/);
    expect(await verdict(all, free, accountIn(EAST))).to.equal('believed');
  });

  it('counts anchors of our own domain that were added beside our own', async () => {
    const next = await freeAuthority('next');
    const all = trust(ours, [{ domain: EAST, pem: next.ca }]);
    expect(await verdict(all, ours, accountIn(EAST))).to.equal('believed');
    expect(await verdict(all, next, accountIn(EAST))).to.equal('believed');
    expect(await verdict(all, next, accountIn(WEST))).to.match(/may not name/);
  });

  it('believes one bundle for all clusters about everybody, as Linkerd does', async () => {
    const shared = await freeAuthority('shared');
    const all = trust(shared, [], accountIn('cluster.local', 'gateway'));
    expect(all.simple).to.equal(true);
    for (const name of [accountIn('cluster.local'), accountIn(PARTNER), 'client.east'])
      expect(await verdict(all, shared, name), name).to.equal('believed');
    expect(await verdict(all, partner, accountIn('cluster.local'))).to.equal(
      `no trust anchor vouches for ${accountIn('cluster.local')}`,
    );
  });

  it('does not believe an issuer of one cluster that names an account of another, with one anchor above both', async () => {
    const anchor = await createAnchor({ name: 'one for all' });
    // As `identity issuer --cluster east` makes it; the leaf is made as somebody would who has its key.
    const issuer = await createIssuer(anchor, { trustDomain: EAST, constrained: true });
    const robbed = { ...issuer, chain: '' };
    const forged = await issueLeaf(
      { ...robbed, cert: anchor.cert, key: anchor.key },
      { identity: accountIn(WEST) },
    );
    const signedByIssuer = await forgedLeaf(issuer, accountIn(WEST));
    const all = trust({ ...issuer, ca: anchor.ca }, [], accountIn(EAST, 'gateway'));
    const judge = (identity: Pick<Identity, 'cert'>) => {
      const [leaf, ...above] = certificates(identity.cert);
      if (leaf === undefined) throw new TypeError('no leaf');
      return all.refusal(leaf, above, Date.now());
    };
    expect(judge(signedByIssuer)).to.match(/may not name web\.demo/);
    // The anchor itself may, which is why its key is on no cluster.
    expect(judge(forged)).to.equal(undefined);
  });

  it('is the same when anchors and bindings are, in whatever order', () => {
    const [a, b] = bindings();
    if (a === undefined || b === undefined) throw new TypeError('two bindings');
    expect(
      trust(ours, [a, b]).equals(
        new Trust({ name: accountIn(EAST, 'x'), ca: ours.ca + a.pem + b.pem, bound: [b, a] }),
      ),
    ).to.equal(true);
    expect(trust(ours, [a]).equals(trust(ours, [b]))).to.equal(false);
    expect(trust(ours, []).equals(trust(west, []))).to.equal(false);
  });
});

import { expect } from 'chai';
import { createAnchor, createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { anchorExpiries, anchorsNotAfter } from '../../../../src/identity/trust/anchor-expiries.ts';

describe('When trust anchors expire', () => {
  it('is told of each of them once, and of the first', async () => {
    const anchor = await createAnchor({});
    const other = await createAnchor({ lifetimeMs: 3_600_000 });
    const leaf = await issueLeaf(await createIssuer(anchor, {}), { identity: 'web.east' });
    const both = { ...leaf, ca: leaf.ca + other.cert + leaf.ca };
    const found = anchorExpiries(both);
    expect(found).to.have.length(2);
    for (const { fingerprint } of found) expect(fingerprint).to.match(/^[0-9a-f]{64}$/);
    const [first = 0, last = 0] = found.map(({ notAfter }) => notAfter).sort((a, b) => a - b);
    expect(last - first).to.be.above(3_600_000);
    expect(anchorsNotAfter(both)).to.equal(first);
    expect(anchorsNotAfter({ ...leaf, ca: '' })).to.equal(undefined);
    expect(anchorExpiries(both), 'read once').to.equal(found);
  });
});

import { expect } from 'chai';
import { bestFinds, hasText } from '../../../../src/dashboard/page/search-match.ts';

const find = (name: string) => ({ kind: 'service', name, detail: '', href: `/${name}` });

describe('search', () => {
  it('has names that begin so first, then words, then the rest, the shortest before', () => {
    const all = ['rewebbed', 'shop/web', 'web-west', 'web', 'other'].map(find);
    expect(bestFinds(all, ' WEB ').map(({ name }) => name)).to.deep.equal([
      'web',
      'web-west',
      'shop/web',
      'rewebbed',
    ]);
    expect(bestFinds(all, ' ')).to.deep.equal([]);
    expect(
      bestFinds(
        Array.from({ length: 50 }, (_, at) => find(`web-${at}`)),
        'web',
      ),
    ).to.have.length(9);
  });

  it('filters without case', () => {
    expect([hasText('WE', 'x', 'web'), hasText(' ', 'x'), hasText('z', 'x')]).to.deep.equal([
      true,
      true,
      false,
    ]);
  });
});

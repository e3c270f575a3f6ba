import { expect } from 'chai';
import { newsOf, orderedCards } from '../../../../src/dashboard/page/card-order.ts';
import { failingTables } from '../../../support/dashboard-page-tables.ts';

const { cards } = failingTables();

describe('failures on the page', () => {
  it('begin with what the others hang on', () => {
    expect(orderedCards(cards).map(([, { kind }]) => kind)).to.deep.equal([
      'link',
      'certificate',
      'mirror',
      'service',
    ]);
  });

  it('are news once, by name and reason, and a few at a time', () => {
    expect(newsOf(cards, cards)).to.equal('');
    const { 'link/south': link, ...others } = cards;
    expect(newsOf(others, cards)).to.equal('New failure: link south: ProbesFailed');
    expect(newsOf(cards, others)).to.equal('');
    const card = link ?? expect.fail();
    const many = Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((name) => [name, { ...card, name }]));
    expect(newsOf({}, many)).to.match(/link a: .*; link b: .*; link c: .*; and 2 more$/);
  });
});

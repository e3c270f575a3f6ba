import { expect } from 'chai';
import { largest, smallest } from '../../../src/base/extremes.ts';

describe('extremes', () => {
  it('are those of any number of values, or the bound', () => {
    const many = Array.from({ length: 500_000 }, (_, at) => at);
    expect([largest(many), smallest(many)]).to.deep.equal([499_999, 0]);
    expect([largest([]), smallest([])]).to.deep.equal([-Infinity, Infinity]);
    expect([largest([-1], 0), smallest([2], 1)]).to.deep.equal([0, 1]);
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import { pour, pourWithin } from '../../../../src/policy/failover/pour.ts';

const NONE = Number.POSITIVE_INFINITY;

describe('an amount that is divided', () => {
  for (const [amount, weights, limits, given, left] of [
    [1, [3, 1], [NONE, NONE], [0.75, 0.25], 0],
    [1, [3, 1], [0.5, NONE], [0.5, 0.5], 0],
    // Who takes over what the first one cannot reaches its own limit by that.
    [1, [2, 1, 1], [0.25, 0.375, NONE], [0.25, 0.375, 0.375], 0],
    [1, [1, 1], [0.25, 0.25], [0.25, 0.25], 0.5],
    [1, [0, 1], [NONE, 0.5], [0, 0.5], 0.5],
    [0, [1], [1], [0], 0],
    [1, [], [], [], 1],
  ] as const)
    it(`${weights.join(':')} within ${limits.join(', ')} is ${given.join(', ')}`, () => {
      expect(pourWithin(amount, weights, limits)).to.deep.equal({ given, left });
    });

  it('goes beyond limits where all are full', () => {
    expect(pour(1, [3, 1], [0.25, 0.25])).to.deep.equal([0.625, 0.375]);
    expect(pour(1, [0, 0], [1, 1])).to.deep.equal([0, 0]);
  });

  it('is given wholly, and nobody is over its limit while another has room', () => {
    const some = fc.array(
      fc.tuple(fc.double({ min: 0.01, max: 100, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
      {
        minLength: 1,
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(some, fc.double({ min: 0, max: 4, noNaN: true }), (pairs, amount) => {
        const [weights, limits] = [pairs.map(([weight]) => weight), pairs.map(([, limit]) => limit)];
        const { given, left } = pourWithin(amount, weights, limits);
        expect(given.reduce((all, one) => all + one, left)).to.be.closeTo(amount, 1e-9);
        for (const [at, limit] of limits.entries()) {
          expect(given[at]).to.be.within(0, limit + 1e-12);
          if (left > 1e-9) expect(given[at]).to.be.closeTo(limit, 1e-9);
        }
      }),
    );
  });
});

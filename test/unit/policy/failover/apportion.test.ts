import { expect } from 'chai';
import fc from 'fast-check';
import { apportion } from '../../../../src/policy/failover/apportion.ts';

describe('whole units for parts', () => {
  for (const [parts, units, wanted] of [
    [[1], 10_000, [10_000]],
    [[90, 10], 10_000, [9000, 1000]],
    [[1, 1, 1], 10_000, [3334, 3333, 3333]],
    [[1, 2, 3], 10, [2, 3, 5]],
    // 1.5 and 1.5: the first one is larger.
    [[1, 1], 3, [2, 1]],
    [[0, 1, 0], 7, [0, 7, 0]],
    [[0.1 + 0.2, 0.3], 10_000, [5000, 5000]],
    [[1e-300, 1], 10_000, [0, 10_000]],
    [[0, 0], 10_000, [0, 0]],
    [[], 10_000, []],
  ] as const)
    it(`${parts.join(' : ')} of ${units} are ${wanted.join(', ')}`, () => {
      expect(apportion(parts, units)).to.deep.equal(wanted);
    });

  it('add up, and are less than one away from what is exact', () => {
    const parts = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(parts, fc.integer({ min: 1, max: 1_000_000 }), (some, units) => {
        const sum = some.reduce((all, part) => all + part, 0);
        const got = apportion(some, units);
        expect(got.reduce((all, one) => all + one, 0)).to.equal(sum > 0 ? units : 0);
        for (const [at, part] of some.entries()) {
          if (part === 0) expect(got[at]).to.equal(0);
          else expect(Math.abs((got[at] ?? 0) - (part / sum) * units)).to.be.below(1 + 1e-6);
        }
      }),
    );
  });
});

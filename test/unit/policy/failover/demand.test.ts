import { expect } from 'chai';
import { isCapacityShort, isStrained } from '../../../../src/policy/failover/demand.ts';

const counts = (requests: number, failures = 0, refused = 0, pending = 0) => ({
  requests,
  failures,
  refused,
  pending,
});

describe('whether requests fail or wait', () => {
  for (const [what, before, now, expected] of [
    ['nobody asks', counts(10, 10), counts(10, 10), false],
    ['all are served', counts(10, 10), counts(110, 10), false],
    ['fewer than one in a hundred fails', counts(0), counts(1000, 9), false],
    ['one in a hundred fails', counts(0), counts(1000, 10), true],
    ['no backend takes a raw connection', counts(10), counts(11, 0, 1), true],
    ['some wait', counts(10), counts(10, 0, 0, 1), true],
    ['the witness has started anew, and nothing has failed since', counts(1000, 500), counts(10), false],
    ['the witness has started anew, and some have failed since', counts(1000, 500), counts(10, 1), true],
  ] as const)
    it(`${what}: ${expected ? 'strained' : 'not'}`, () => {
      expect(isStrained(before, now)).to.equal(expected);
    });

  it('capacity is short by endpoints, unless somebody knows that none fails or waits', () => {
    const demands = ['strained', 'unheard', 'met'] as const;
    expect(demands.map((one) => isCapacityShort({ short: true }, one))).to.deep.equal([true, true, false]);
    expect(demands.map((one) => isCapacityShort({ short: false }, one))).to.deep.equal([false, false, false]);
  });
});

import { expect } from 'chai';
import { removalsHeld } from '../../../src/mirror/drop-guard.ts';

describe('drop guard', () => {
  const cases: readonly [string, [mirrors: number, absent: number, confirmed: number], boolean][] = [
    ['half of many is let through', [100, 50, 0], false],
    ['more than half of many is held', [100, 51, 0], true],
    ['all of few is let through', [9, 9, 0], false],
    ['all of ten is held', [10, 10, 0], true],
    ['what a second list confirmed is let through', [100, 90, 90], false],
    ['what went absent after the second list is held again', [100, 95, 20], true],
  ];
  for (const [story, [mirrors, absent, confirmed], held] of cases) {
    it(story, () => expect(removalsHeld({ mirrors, absent, confirmed }, { fraction: 0.5 })).to.equal(held));
  }

  it('is off with a fraction of 1', () => {
    expect(removalsHeld({ mirrors: 100, absent: 100, confirmed: 0 }, { fraction: 1 })).to.equal(false);
  });
});

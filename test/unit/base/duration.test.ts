import { expect } from 'chai';
import { parseDuration } from '../../../src/base/duration.ts';

describe('parseDuration', () => {
  const cases: readonly [string, number | undefined][] = [
    ['3', 3000],
    ['3s', 3000],
    ['1m30s', 90_000],
    ['500ms', 500],
    ['1.5h', 5_400_000],
    ['1d', 86_400_000],
    [' 2s ', 2000],
    ['', undefined],
    ['-1s', undefined],
    ['3 s', undefined],
    ['abc', undefined],
    ['3x', undefined],
  ];
  for (const [text, expected] of cases) {
    it(`${JSON.stringify(text)} is ${expected ?? 'no duration'}`, () => {
      expect(parseDuration(text)).to.equal(expected);
    });
  }
});

import { expect } from 'chai';
import { parse } from 'yaml';
import { age, jsonText, render } from '../../../../src/cli/output/output.ts';

const MINUTE = 60;
const HOUR = 3600;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

// It had one unit each: `5m` of 5 min 12 s, where kubectl's tables beside it say `5m12s`. The rows are those
// of apimachinery's duration_test.go.
describe('an age is written as kubectl writes it', () => {
  const table: readonly [seconds: number, text: string][] = [
    [-2, '<invalid>'],
    [-1.9, '0s'],
    [0, '0s'],
    [0.9, '0s'],
    [1, '1s'],
    [70, '70s'],
    [119.9, '119s'],
    [2 * MINUTE, '2m'],
    [3 * MINUTE + 10, '3m10s'],
    [5 * MINUTE + 12, '5m12s'],
    [10 * MINUTE + 59, '10m'],
    [100 * MINUTE + 59, '100m'],
    [3 * HOUR, '3h'],
    [3 * HOUR + 20 * MINUTE, '3h20m'],
    [7 * HOUR + 59 * MINUTE, '7h59m'],
    [8 * HOUR + 59 * MINUTE, '8h'],
    [2 * DAY - 1, '47h'],
    [2 * DAY + 4 * HOUR, '2d4h'],
    [7 * DAY + 23 * HOUR, '7d23h'],
    [8 * DAY + 23 * HOUR, '8d'],
    [2 * YEAR - 1, '729d'],
    [2 * YEAR, '2y'],
    [2 * YEAR + 3 * DAY, '2y3d'],
    [8 * YEAR + 300 * DAY, '8y'],
  ];
  for (const [seconds, text] of table) it(`${seconds} s: ${text}`, () => expect(age(seconds)).to.equal(text));
});

// JSON escapes only what is below a blank: the names of clients moved the terminal by C1 codes, and turned
// the text beside them.
describe('what programs read moves no terminal either', () => {
  const value = { name: 'a\u009b2Jb\u202ec\u200bd\u001b[31me\ufefff', 'k\u0085': ['x\ny'] };
  // oxlint-disable-next-line no-control-regex -- they are what this is about
  const UNSEEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\ufeff]/u;

  for (const output of ['json', 'yaml'] as const)
    it(`${output}: the same value, and all of it visible`, () => {
      const text = render(output, value, () => '');
      expect(UNSEEN.test(text)).to.equal(false);
      expect(output === 'json' ? JSON.parse(text) : parse(text)).to.deep.equal(value);
    });

  it('is as it was where there is nothing to hide', () => {
    const plain = { name: 'wéb', list: [1, 'two lines\nof text'] };
    expect(render('json', plain, () => '')).to.equal(`${JSON.stringify(plain, null, 2)}\n`);
    expect(render('yaml', plain, () => '')).to.match(/^name: wéb\nlist:\n/);
    expect(jsonText([1])).to.equal('[1]\n');
  });
});

import { expect } from 'chai';
import { age } from '../../../../src/cli/output/output.ts';

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

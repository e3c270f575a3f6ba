import { expect } from 'chai';
import { DEFAULT_OBJECTIVE, parseObjective, readObjective } from '../../../src/api/objective.ts';

const p = (percent: number, ms: number) => ({ quantile: Number((percent / 100).toPrecision(12)), ms });

describe('the objective of a Service (linkspan.dev/slo)', () => {
  for (const [text, success, ...latencies] of [
    ['99.9%', 0.999],
    [' 95% ', 0.95],
    ['100%', 1],
    ['99.9%, p99<300ms', 0.999, p(99, 300)],
    ['p99<1.5s', 0.999, p(99, 1500)],
    ['p50<50ms,p99.9 < 2s , 99%', 0.99, p(50, 50), p(99.9, 2000)],
  ] as const)
    it(`"${text}"`, () => {
      expect(parseObjective(text)).to.deep.equal({ success, latencies });
    });

  for (const text of [
    '',
    ',',
    '99.9',
    '0%',
    '101%',
    '-1%',
    '1e1%',
    '99%,98%',
    '99%,',
    'p99',
    'p0<1s',
    'p100<1s',
    'p99<0',
    'p99<never',
    'p99>300ms',
    '99.9% p99<300ms',
    Array.from({ length: 9 }, () => 'p99<1s').join(','),
  ])
    it(`not "${text}"`, () => {
      expect(parseObjective(text)).to.equal(undefined);
    });

  it('of a Service that says nothing, and of one that says what cannot be read', () => {
    expect(readObjective(undefined)).to.deep.equal({ objective: DEFAULT_OBJECTIVE });
    const wrong = readObjective({ 'linkspan.dev/slo': 'fast' });
    expect(wrong.objective).to.equal(DEFAULT_OBJECTIVE);
    expect(wrong.problem).to.match(/^linkspan.dev\/slo: "fast" is no objective such as/);
  });
});

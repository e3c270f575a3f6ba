import { expect } from 'chai';
import { judge, type Measurement, percentile, tableOf } from '../../../../../bench/mirror/support/results.ts';

const took = (value: number | undefined, more: Partial<Measurement> = {}): Measurement => ({
  what: 'something',
  unit: 's',
  value,
  ...more,
});

describe('a measurement', () => {
  const cases: [string, Measurement, boolean | undefined][] = [
    ['at its limit', took(3, { target: { kind: 'max', max: 3 } }), true],
    ['beyond its limit', took(3.01, { target: { kind: 'max', max: 3 } }), false],
    ['within its ratio', took(3, { raw: 2, target: { kind: 'ratio', max: 1.5 } }), true],
    ['beyond its ratio', took(3.1, { raw: 2, target: { kind: 'ratio', max: 1.5 } }), false],
    ['whose raw time is missing', took(1, { target: { kind: 'ratio', max: 1.5 } }), false],
    ['within raw and so much more', took(4, { raw: 1, target: { kind: 'beyond raw', max: 3 } }), true],
    ['beyond raw and so much more', took(4.1, { raw: 1, target: { kind: 'beyond raw', max: 3 } }), false],
    ['that never came', took(undefined, { target: { kind: 'max', max: 3 } }), false],
    ['without a target', took(3), undefined],
  ];
  for (const [what, measurement, met] of cases) {
    it(`${what} is ${met === undefined ? 'not judged' : met ? 'good' : 'bad'}`, () => {
      expect(judge('x', measurement).met).to.equal(met);
    });
  }

  it('that never came is shown as that', () => {
    const table = tableOf([judge('x', took(undefined, { target: { kind: 'max', max: 3 } }))]);
    expect(table.split('\n')[1]).to.match(/never .*<= 3.00 s +NO/);
  });
});

describe('a percentile', () => {
  it('is a value that was measured, by nearest rank', () => {
    expect(percentile([4, 1, 3, 2], 0.5)).to.equal(2);
    expect(percentile([4, 1, 3, 2], 0.99)).to.equal(4);
  });

  it('of nothing is nothing', () => {
    expect(percentile([], 0.5)).to.equal(undefined);
  });
});

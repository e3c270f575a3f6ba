import { expect } from 'chai';
import * as fc from 'fast-check';
import { readAccrual as read } from '../../../../src/policy/accrual/accrual.ts';
import { readUnder } from '../../../support/read-annotations.ts';

const readAccrual = (annotations?: Record<string, string>) => readUnder('accrual', read, annotations);

const MODE = 'balancer.linkerd.io/failure-accrual';
const consecutive = (values: Record<string, string>) =>
  readAccrual({
    [MODE]: 'consecutive',
    ...Object.fromEntries(
      Object.entries(values).map(([name, value]) => [`${MODE}-consecutive-${name}`, value]),
    ),
  });
const DEFAULTS = { maxFailures: 7, minPenaltyMs: 1000, maxPenaltyMs: 60_000, jitter: 0.5 };

describe('failure accrual annotations', () => {
  it('say nothing where there are none', () => {
    expect(readAccrual()).to.deep.equal({ problems: [] });
    expect(readAccrual({ team: 'blue' })).to.deep.equal({ problems: [] });
  });

  it("have Linkerd's defaults", () => {
    expect(consecutive({})).to.deep.equal({ accrual: DEFAULTS, problems: [] });
  });

  it('are all read', () => {
    const read = consecutive({
      'max-failures': '3',
      'min-penalty': '500ms',
      'max-penalty': ' 2m ',
      'jitter-ratio': '0.25',
    });
    expect(read).to.deep.equal({
      accrual: { maxFailures: 3, minPenaltyMs: 500, maxPenaltyMs: 120_000, jitter: 0.25 },
      problems: [],
    });
  });

  const wrong: [name: string, value: string, kept: string][] = [
    ['max-failures', '0', '7'],
    ['max-failures', '-1', '7'],
    ['max-failures', 'many', '7'],
    ['max-failures', '1.5', '7'],
    ['min-penalty', 'soon', '1s'],
    ['min-penalty', '0s', '1s'],
    ['max-penalty', '-1m', '1m'],
    ['jitter-ratio', '101', '0.5'],
    ['jitter-ratio', '-0.1', '0.5'],
    ['jitter-ratio', 'NaN', '0.5'],
  ];
  for (const [name, value, kept] of wrong) {
    it(`keep the default for ${name}: "${value}" and say so`, () => {
      const { accrual, problems } = consecutive({ [name]: value });
      expect(accrual).to.deep.equal(DEFAULTS);
      expect(problems).to.deep.equal([`${MODE}-consecutive-${name}: "${value}" is not valid, it is ${kept}`]);
    });
  }

  it('have both default penalties where the shorter is longer than the longer', () => {
    const { accrual, problems } = consecutive({ 'min-penalty': '2m', 'max-failures': '2' });
    expect(accrual).to.deep.equal({ ...DEFAULTS, maxFailures: 2 });
    expect(problems).to.have.length(1);
  });

  it('count failures in a row for the mode that is not known here, and are ignored for a word that is none', () => {
    const unified = readAccrual({ [MODE]: 'unified', [`${MODE}-consecutive-max-failures`]: '2' });
    expect(unified.accrual?.maxFailures).to.equal(2);
    expect(unified.problems).to.have.length(1);
    expect(readAccrual({ [MODE]: 'sometimes' })).to.deep.equal({
      problems: [`${MODE}: "sometimes" is not known, it is ignored`],
    });
  });

  it('have no effect without the mode, and that is said', () => {
    expect(readAccrual({ [`${MODE}-consecutive-max-failures`]: '2' })).to.deep.equal({
      problems: [`${MODE}-consecutive-max-failures has no effect without ${MODE}: consecutive`],
    });
  });

  it('come to rules that can be followed, whatever is in them', () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom('1', '90000h', '1ms', '5', '99999999999', '0.0', '1e9'),
    );
    const property = fc.property(text, text, text, text, (count, min, max, jitter) => {
      const { accrual } = consecutive({
        'max-failures': count,
        'min-penalty': min,
        'max-penalty': max,
        'jitter-ratio': jitter,
      });
      if (accrual === undefined) throw new Error('nothing was read');
      expect(Number.isSafeInteger(accrual.maxFailures) && accrual.maxFailures >= 1).to.equal(true);
      expect(accrual.minPenaltyMs).to.be.within(Number.MIN_VALUE, accrual.maxPenaltyMs);
      expect(accrual.jitter).to.be.within(0, 100);
    });
    fc.assert(property);
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import { readTiers, weightOf } from '../../../../src/policy/failover/tiers.ts';
import { expectLinear } from '../../../support/linear-time.ts';

const KEY = 'failover.linkspan.dev/tiers';

describe('tiers as people write them', () => {
  it('are names in order, with siblings, weights and all others', () => {
    expect(readTiers('local; west, north=2; *')).to.deep.equal({
      tiers: {
        tiers: [[{ name: 'local' }], [{ name: 'west' }, { name: 'north', weight: 2 }], []],
        others: 2,
      },
      problems: [],
    });
    expect(readTiers(' a = 0 ,b;*=3')).to.deep.equal({
      tiers: { tiers: [[{ name: 'a', weight: 0 }, { name: 'b' }], []], others: 1, othersWeight: 3 },
      problems: [],
    });
    expect(readTiers(undefined)).to.deep.equal({ problems: [] });
  });

  for (const [text, what] of [
    ['', '"" is not a name, or <name>=<weight>'],
    ['local;', '"" is not a name, or <name>=<weight>'],
    ['local, West', '"West" is not a name, or <name>=<weight>'],
    ['local; west=much', '"west=much" is not a name, or <name>=<weight>'],
    ['local; west=1000001', '"west=1000001" is not a name, or <name>=<weight>'],
    ['local; west=-1', '"west=-1" is not a name, or <name>=<weight>'],
    ['local; west; local', '"local" is there twice'],
    ['*; *', '"*" is there twice'],
    [Array.from({ length: 17 }, (_, at) => `a${at}`).join(';'), 'more than 16 tiers'],
  ] as const)
    it(`${JSON.stringify(text).slice(0, 30)} leaves what held before, and says why`, () => {
      const before = readTiers('local; west').tiers;
      const wanted = [`${KEY}: ${what}`, `${KEY}: what held before holds on`];
      expect(readTiers(text, before)).to.deep.equal({ tiers: before, problems: wanted });
      expect(readTiers(text)).to.deep.equal({ problems: wanted });
    });

  it('of any text are the old ones, or are sound, and what is wrong is said in few and short lines (P12)', () => {
    const before = readTiers('local; west').tiers;
    const word = fc.constantFrom(
      'local',
      'west',
      '*',
      ';',
      ',',
      '=',
      '2',
      ' ',
      'x'.repeat(300),
      '\u0000',
      'é',
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(word, { maxLength: 60 }).map((words) => words.join('')),
    );
    fc.assert(
      fc.property(text, (some) => {
        const { tiers, problems } = readTiers(some, before);
        expect(readTiers(some, before)).to.deep.equal({ tiers, problems });
        if (problems.length > 0) expect(tiers).to.equal(before);
        expect(problems.length).to.be.at.most(16);
        for (const line of problems) expect(line.length).to.be.below(200);
        const names = tiers?.tiers.flat().map(({ name }) => name) ?? [];
        expect(new Set(names).size).to.equal(names.length);
      }),
      { numRuns: 300 },
    );
  });

  it('take time in proportion to the text', () => {
    for (const unit of [',', ';', 'a,', 'a=', ' ', '1', 'a;'])
      expectLinear((length) => readTiers(unit.repeat(length / unit.length)), unit);
  });

  it('have weights that are whole numbers up to a million', () => {
    expect(['0', ' 12 ', '1000000', '1000001', '1.5', '', '1e3'].map(weightOf)).to.deep.equal([
      0,
      12,
      1_000_000,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

import { expect } from 'chai';
import { placeBackends, readLinkDefaults } from '../../../../src/policy/failover/placement.ts';
import { readTiers } from '../../../../src/policy/failover/tiers.ts';

const NAMES = ['local', 'west', 'north'];
const tiers = (text: string) => readTiers(text).tiers;
const placed = (...args: Parameters<typeof placeBackends>) =>
  placeBackends(...args).places.map(
    ({ name, tier, weight, factor }) =>
      `${name}@${tier}${weight === undefined ? '' : `=${weight}`}${factor === 1 ? '' : `*${factor}`}`,
  );

describe('where backends stand', () => {
  it('is one tier where nobody says anything', () => {
    expect(placed(NAMES, undefined)).to.deep.equal(['local@0', 'west@0', 'north@0']);
  });

  it('is what tiers say', () => {
    expect(placed(NAMES, tiers('local; *=3'))).to.deep.equal(['local@0', 'west@1=3', 'north@1=3']);
    expect(placed(NAMES, tiers('*; north=2'))).to.deep.equal(['local@0', 'west@0', 'north@1=2']);
  });

  it('is nowhere for those that no tier names, unless nobody were left', () => {
    expect(placeBackends(NAMES, tiers('local; south'))).to.deep.equal({
      places: [{ name: 'local', tier: 0, factor: 1 }],
      unknown: ['south'],
      leftOut: ['west', 'north'],
    });
    expect(placeBackends(['west'], tiers('south'))).to.deep.equal({
      places: [{ name: 'west', tier: 0, factor: 1 }],
      unknown: ['south'],
      leftOut: [],
    });
  });

  it('is what Links say, with the own cluster in the first tier', () => {
    const links = new Map([
      ['west', { tier: 1, factor: 0.5 }],
      ['north', { tier: 2, weight: 7 }],
      ['local', { tier: 9 }],
    ]);
    expect(placed(NAMES, undefined, links)).to.deep.equal(['local@0', 'west@1*0.5', 'north@2=7']);
    expect(placed(NAMES, tiers('north; *'), links)).to.deep.equal(['local@1', 'west@1*0.5', 'north@0=7']);
  });
});

describe('what a Link says of its cluster', () => {
  const read = (tier?: string, weight?: string, factor?: string) =>
    readLinkDefaults({ tier, weight, factor });
  it('is a tier, a weight and a factor, each by itself', () => {
    expect(read()).to.deep.equal({ defaults: {}, problems: [] });
    expect(read(' 2', '10 ', '0.5')).to.deep.equal({
      defaults: { tier: 2, weight: 10, factor: 0.5 },
      problems: [],
    });
  });

  it('is left out where it is wrong', () => {
    for (const tier of ['16', '-1', '1.0', 'first', '']) expect(read(tier).problems, tier).to.have.length(1);
    for (const factor of ['0', '0.001', '1001', 'half'])
      expect(read('1', '1', factor)).to.deep.equal({
        defaults: { tier: 1, weight: 1 },
        problems: [`failover.linkspan.dev/capacity-factor: "${factor}" is not valid, it is left out`],
      });
  });
});

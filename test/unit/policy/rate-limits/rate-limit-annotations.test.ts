import { readUnder } from '../../../support/read-annotations.ts';
import { expect } from 'chai';
import fc from 'fast-check';
import { parseRate, readRateLimits } from '../../../../src/policy/rate-limits/rate-limit-annotations.ts';

const TOTAL = 'linkspan.dev/rate-limit';
const EACH = 'linkspan.dev/rate-limit-per-client';
const NAMED = 'linkspan.dev/rate-limit-clients';
const read = (annotations?: Record<string, string>) =>
  readUnder('limits', (reader) => readRateLimits(reader, 'demo/web'), annotations);

describe('rates as people write them', () => {
  it('are per second, minute or hour, with a second worth at once unless they say otherwise', () => {
    expect(parseRate('100')).to.deep.equal({ perSecond: 100, burst: 100 });
    expect(parseRate(' 2.5/s ')).to.deep.equal({ perSecond: 2.5, burst: 3 });
    expect(parseRate('30/m')).to.deep.equal({ perSecond: 0.5, burst: 1 });
    expect(parseRate('3600 / h burst 20')).to.deep.equal({ perSecond: 1, burst: 20 });
  });

  it('are none when they would let nobody in, everybody, or cannot be read', () => {
    for (const text of [
      '',
      '0',
      '0/s',
      '-1',
      '1e3',
      '5/d',
      '5 burst',
      '5 burst 0',
      '5 burst 1.5',
      '9999999',
      'Infinity',
      '5/s 7',
    ])
      expect(parseRate(text), text).to.equal(undefined);
  });

  it('never make sense of noise', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const rate = parseRate(text);
        if (rate === undefined) return;
        expect(rate.perSecond).to.be.within(0, 1_000_000).and.not.equal(0);
        expect(rate.burst).to.be.within(1, 1_000_000);
      }),
    );
  });
});

describe('annotations of rate limits', () => {
  it('say nothing where there are none', () => {
    expect(read()).to.deep.equal({ problems: [] });
    expect(read({ other: '1' })).to.deep.equal({ problems: [] });
  });

  it('say how much all, each and those that are named may ask', () => {
    expect(
      read({
        [TOTAL]: '100',
        [EACH]: '10/s burst 50',
        [NAMED]: 'front.shop.identity=40/s, *.batch.identity=60/m burst 5',
      }),
    ).to.deep.equal({
      problems: [],
      limits: {
        key: 'Service demo/web',
        policy: 'core/service/web',
        total: { perSecond: 100, burst: 100 },
        perClient: { perSecond: 10, burst: 50 },
        overrides: [
          { clients: ['front.shop.identity'], rate: { perSecond: 40, burst: 40 } },
          { clients: ['*.batch.identity'], rate: { perSecond: 1, burst: 5 } },
        ],
      },
    });
  });

  it('that are wrong are named, and leave the others as they are', () => {
    const { limits, problems } = read({ [TOTAL]: 'lots', [EACH]: '10', [NAMED]: 'a=1,b,=3,c=zero' });
    expect(limits).to.include.keys('perClient').and.not.include.keys('total');
    expect(limits?.overrides.map(({ clients }) => clients)).to.deep.equal([['a']]);
    expect(problems).to.deep.equal([
      `${TOTAL}: "lots" is not a rate such as 100/s, 30/m or "100/s burst 200", it is ignored`,
      ...['b', '=3', 'c=zero'].map(
        (entry) =>
          `${NAMED}: "${entry}" is not <identity>=<rate>, with a rate such as 100/s, 30/m or "100/s burst 200"; it is ignored`,
      ),
    ]);
    expect(read({ [TOTAL]: 'lots' })).to.not.have.property('limits');
  });
});

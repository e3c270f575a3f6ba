import { expect } from 'chai';
import fc from 'fast-check';
import { type FailoverFacts, readFacts, writeFacts } from '../../../../src/api/failover/failover-facts.ts';

const FACTS: FailoverFacts = {
  path: 'alive',
  ready: 5,
  known: 10,
  expected: 10,
  usableSince: 1_795_960_800_000,
  flaps: 1,
  lastWord: 1_795_960_830_000,
};
const changed = (change: Readonly<Record<string, unknown>>) =>
  readFacts(JSON.stringify({ ...FACTS, ...change }));

describe('the annotation of facts', () => {
  it('is read as it was written', () => {
    const text = writeFacts(FACTS);
    expect(text).to.equal(
      '{"path":"alive","ready":5,"known":10,"expected":10,"usableSince":1795960800000,"flaps":1,"lastWord":1795960830000}',
    );
    expect(readFacts(text)).to.deep.equal(FACTS);
    const { path, ...rest } = FACTS;
    expect(writeFacts({ ...rest, path })).to.equal(text);
    expect(changed({ usableSince: null })).to.deep.equal({ ...FACTS, usableSince: null });
  });

  it('may have keys of later versions', () => {
    expect(changed({ mood: 'good' })).to.deep.equal(FACTS);
  });

  it('is made consistent', () => {
    expect(changed({ ready: 12 })).to.include({ ready: 12, known: 12, expected: 12 });
    expect(changed({ flaps: 1e6 })).to.include({ flaps: 64 });
  });

  it('is none where anything is wrong', () => {
    for (const change of [
      { path: 'up' },
      { ready: -1 },
      { ready: 1.5 },
      { ready: '5' },
      { ready: 1_000_001 },
      { known: null },
      { expected: undefined },
      { usableSince: -1 },
      { usableSince: 9e15 },
      // Its hold ended later than a `Date` can be: `linkspan failover` had a RangeError.
      { usableSince: 8_640_000_000_000_000 },
      { usableSince: undefined },
      { flaps: 1e300 },
      { lastWord: 'now' },
    ])
      expect(changed(change), JSON.stringify(change)).to.equal(undefined);
    for (const text of [undefined, '', '{', 'null', '[]', '7', `${JSON.stringify(FACTS)}${' '.repeat(512)}`])
      expect(readFacts(text), text).to.equal(undefined);
  });

  it('of any text gives facts that can be written again, or none (P12)', () => {
    const field = fc.oneof(fc.integer(), fc.double(), fc.constantFrom('alive', 'dead', null), fc.nat(9));
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record(Object.fromEntries(Object.keys(FACTS).map((key) => [key, field])))
        .map((some) => JSON.stringify({ ...some, path: 'alive' })),
    );
    fc.assert(
      fc.property(text, (some) => {
        const facts = readFacts(some);
        if (facts === undefined) return;
        expect(readFacts(writeFacts(facts))).to.deep.equal(facts);
        expect(facts.ready).to.be.at.most(facts.expected);
      }),
      { numRuns: 500 },
    );
  });
});

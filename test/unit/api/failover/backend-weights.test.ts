import { expect } from 'chai';
import fc from 'fast-check';
import {
  readKeptWeights,
  writeKeptWeights,
  type KeptWeights,
} from '../../../../src/api/failover/backend-weights.ts';
import { readBackendFacts, writeBackendFacts } from '../../../../src/api/failover/backend-facts.ts';
import { MAX_BASE_WEIGHTS_LENGTH } from '../../../../src/api/failover/failover-names.ts';

describe('weights that are kept of an object', () => {
  const weight = fc.oneof(fc.nat(), fc.constantFrom('500m', '1'), fc.constant(null));
  const kept = fc.record(
    { backend: fc.string({ maxLength: 63 }), base: weight, wrote: fc.nat() },
    { noNullPrototype: true },
  );
  const lists = fc
    .uniqueArray(
      fc.tuple(
        fc.nat(255),
        fc.record(
          { weights: fc.array(kept, { maxLength: 5 }), rule: fc.constantFrom('', '0123456789ab') },
          { noNullPrototype: true },
        ),
      ),
      { selector: ([at]) => at, maxLength: 8 },
    )
    .map((entries): KeptWeights => new Map(entries));

  it('are read as they were written', () => {
    fc.assert(
      fc.property(lists, (all) => {
        expect(readKeptWeights(writeKeptWeights(all))).to.deep.equal(all);
      }),
    );
  });

  it('are none where anything in the text is wrong, and nothing is thrown', () => {
    for (const text of [
      undefined,
      '',
      '[',
      '{}',
      '[[0]]',
      '[[0,[["a",1]]]]',
      '[[0,[["a",-1,2]]]]',
      '[["0",[]]]',
      '[[0,[],7]]',
    ])
      expect(readKeptWeights(text), text).to.deep.equal(new Map());
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void readKeptWeights(text)));
  });

  it('are not written where they would be too long to be read', () => {
    const many = Array.from({ length: 64 }, (_, n) => ({
      backend: `${n}`.padEnd(253, 'x'),
      base: 1,
      wrote: 1,
    }));
    expect(writeKeptWeights(new Map([[0, { weights: many, rule: '' }]]))).to.equal(undefined);
    expect(readKeptWeights(`[${' '.repeat(MAX_BASE_WEIGHTS_LENGTH)}]`)).to.deep.equal(new Map());
  });
});

describe('facts of backends that stand on an object', () => {
  it('are read as they were written, without those that are not valid', () => {
    const facts = {
      path: 'alive',
      ready: 1,
      known: 2,
      expected: 2,
      usableSince: 5,
      flaps: 0,
      lastWord: 5,
    } as const;
    const text = writeBackendFacts(new Map([['web', facts]]));
    expect(readBackendFacts(text)).to.deep.equal(new Map([['web', facts]]));
    const spoilt = JSON.stringify({ ...(JSON.parse(text) as object), other: '{"path":"up"}', third: 7 });
    expect([...readBackendFacts(spoilt).keys()]).to.deep.equal(['web']);
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (any) => void readBackendFacts(any)));
  });
});

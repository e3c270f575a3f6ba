import { expect } from 'chai';
import fc from 'fast-check';
import { settleTexts } from '../../../../src/policy/failover/settled-texts.ts';
import { readFailoverPolicy } from '../../../../src/policy/failover/failover-policy-text.ts';
import { readTiers } from '../../../../src/policy/failover/tiers.ts';

// What a slip in an annotation left standing was known to the process that had read it before, and to nobody
// else: a controller that started, and an egress that had not seen the old text, decided otherwise.
describe('what holds of tiers and policy', () => {
  const before = { tiers: 'local; *', policy: 'ramp=5m delay=10s' };
  const cases: readonly [string, { tiers?: string; policy?: string }, object, number][] = [
    [
      'what is right holds as it is',
      { tiers: 'west; *', policy: 'ramp=1m' },
      { tiers: 'west; *', policy: 'ramp=1m' },
      0,
    ],
    ['what is gone holds no more', {}, { tiers: undefined, policy: undefined }, 0],
    ['tiers that are wrong leave the old ones', { tiers: 'west; w=x' }, { tiers: 'local; *' }, 2],
    [
      'a wrong key leaves its old value',
      { policy: 'ramp=fast delay=20s' },
      { policy: 'ramp=5m delay=20s' },
      1,
    ],
    [
      'a wrong key without an old value is left out',
      { policy: 'min-healthy=x delay=20s' },
      { policy: 'delay=20s' },
      1,
    ],
    // Each key was judged as if it stood alone: for its `delay` the default `max-delay` is too short.
    [
      'a key that is right together with another holds beside one that is wrong',
      { policy: 'delay=20m max-delay=1h ramp=?' },
      { policy: 'delay=20m max-delay=1h ramp=5m' },
      1,
    ],
    [
      'a delay without a max-delay that is as long holds, as is said',
      { policy: 'delay=20m' },
      { policy: 'delay=20m' },
      1,
    ],
    ['a key that is none is left out', { policy: 'rampe=1m' }, { policy: undefined }, 1],
  ];
  for (const [name, written, expected, problems] of cases) {
    it(name, () => {
      const settled = settleTexts(written, before);
      expect(settled).to.include(expected);
      expect(settled.problems).to.have.length(problems);
    });
  }

  it('is right, whatever was written, and stays so when it is read again', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (tiers, policy, old) => {
        const settled = settleTexts({ tiers, policy }, settleTexts({ policy: old }, {}));
        expect(readTiers(settled.tiers).problems).to.deep.equal([]);
        const lines = readFailoverPolicy(settled.policy).problems;
        expect(lines.filter((line) => !line.includes('max-delay'))).to.deep.equal([]);
        expect(settleTexts(settled, {})).to.include({ tiers: settled.tiers, policy: settled.policy });
      }),
    );
  });
});

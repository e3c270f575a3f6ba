import { expect } from 'chai';
import fc from 'fast-check';
import { DEFAULT_POLICY, type FailoverPolicy } from '../../../../src/policy/failover/failover-policy.ts';
import { readFailoverPolicy } from '../../../../src/policy/failover/failover-policy-text.ts';
import { expectLinear } from '../../../support/linear-time.ts';

const KEY = 'failover.linkspan.dev/policy';

/** What a text says that is not as by default. */
function said(text: string): Partial<FailoverPolicy> {
  const { policy, problems } = readFailoverPolicy(text);
  expect(problems).to.deep.equal([]);
  return Object.fromEntries(
    Object.entries(policy).filter(([key, value]) => DEFAULT_POLICY[key as keyof FailoverPolicy] !== value),
  );
}

describe('a failover policy as people write it', () => {
  it('has the defaults of the specification', () => {
    expect(
      said(
        'overprovision=1.4 min-healthy=20% delay=30s max-delay=10m ramp=60s capacity-window=10m standby=1ppm on-unavailable=redistribute',
      ),
    ).to.deep.equal({});
    expect(readFailoverPolicy(undefined)).to.deep.equal({ policy: DEFAULT_POLICY, problems: [] });
    expect(said('')).to.deep.equal({});
  });

  it('says everything otherwise', () => {
    expect(
      said(
        ' overprovision=2 min-healthy=0.5%\ndelay=1m30s  max-delay=1h ramp=0 capacity-window=1h\tstandby=0 max-share=west:50%,north:12.5% on-unavailable=fail expected=west:30',
      ),
    ).to.deep.equal({
      overprovision: 2,
      minHealthy: 0.005,
      delayMs: 90_000,
      maxDelayMs: 3_600_000,
      rampMs: 0,
      capacityWindowMs: 3_600_000,
      standbyPpm: 0,
      maxShare: new Map([
        ['west', 5000],
        ['north', 1250],
      ]),
      onUnavailable: 'fail',
      expected: new Map([['west', 30]]),
    });
  });

  for (const word of [
    'overprovision=0.9',
    'overprovision=11',
    'overprovision=1e0',
    'min-healthy=101%',
    'min-healthy=20',
    'min-healthy=0.123%',
    'delay=2h',
    'delay=-1s',
    'delay=',
    'delay',
    'max-delay=25h',
    'ramp=25h',
    'ramp=fast',
    'capacity-window=1s',
    'standby=1',
    'standby=101ppm',
    'standby=1%',
    'max-share=west',
    'max-share=west:0%',
    'max-share=West:5%',
    'max-share=west:5%,west:6%',
    'max-share=',
    'expected=west:0',
    'expected=west:1.5',
    'expected=west:9999999',
    'on-unavailable=drop',
  ])
    it(`"${word}" is left out and told; what held before holds on for it, and the rest counts`, () => {
      const before = { ...DEFAULT_POLICY, delayMs: 5000, rampMs: 7000, overprovision: 3 };
      const { policy, problems } = readFailoverPolicy(`${word} capacity-window=20m`, before);
      const name = word.split('=')[0] ?? '';
      expect(problems.length).to.be.within(1, 2);
      expect(problems[0]).to.match(
        new RegExp(`^${KEY}: "${word.replace(/[.]/g, '\\.')}" is not .*, what held before`),
      );
      expect(policy.delayMs).to.equal(name === 'delay' ? 5000 : 30_000);
      expect(policy.rampMs).to.equal(name === 'ramp' ? 7000 : 60_000);
      expect(policy.overprovision).to.equal(name === 'overprovision' ? 3 : 1.4);
      expect(policy.maxShare.size + policy.expected.size).to.equal(0);
      if (name !== 'capacity-window') expect(policy.capacityWindowMs).to.equal(1_200_000);
    });

  it('that has unknown keys, or one twice, says so', () => {
    expect(readFailoverPolicy('speed=1 ramp=1s ramp=2s hm')).to.deep.equal({
      policy: { ...DEFAULT_POLICY, rampMs: 1000 },
      problems: [
        `${KEY}: "speed" is no key, it is left out`,
        `${KEY}: "ramp" is there twice, the first one counts`,
        `${KEY}: "hm" is no key, it is left out`,
      ],
    });
  });

  it('has 16 problems at most', () => {
    expect(readFailoverPolicy('hm '.repeat(100)).problems).to.have.length(16);
  });

  it('never holds for shorter than the first time', () => {
    const { policy, problems } = readFailoverPolicy('delay=20m');
    expect(policy).to.include({ delayMs: 1_200_000, maxDelayMs: 1_200_000 });
    expect(problems).to.deep.equal([`${KEY}: max-delay is shorter than delay, and is taken to be as long`]);
  });

  it('is sound whatever the text is, and what is wrong is said in few and short lines (P12)', () => {
    const keys = 'overprovision min-healthy delay ramp standby max-share expected toString __proto__'.split(
      ' ',
    );
    const signs = [
      '=',
      '=',
      ' ',
      ':',
      ',',
      '%',
      '1',
      '9'.repeat(400),
      '.',
      's',
      'ppm',
      'west',
      '-',
      '\0',
      '\u2028',
    ];
    const part = fc.constantFrom(...keys, ...signs);
    const text = fc.oneof(
      fc.string(),
      fc.array(part, { maxLength: 40 }).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (some) => {
        const { policy, problems } = readFailoverPolicy(some);
        expect(Object.keys(policy).sort()).to.deep.equal(Object.keys(DEFAULT_POLICY).sort());
        expect(policy.overprovision).to.be.within(1, 10);
        expect(policy.minHealthy).to.be.within(0, 1);
        expect(policy.delayMs).to.be.within(0, 3_600_000);
        expect(policy.maxDelayMs).to.be.within(policy.delayMs, 86_400_000);
        expect(policy.rampMs).to.be.within(0, 86_400_000);
        expect(policy.standbyPpm).to.be.within(0, 100);
        for (const share of policy.maxShare.values()) expect(share).to.be.within(1, 10_000);
        for (const count of policy.expected.values()) expect(count).to.be.within(1, 1_000_000);
        expect(problems.length).to.be.at.most(16);
        for (const line of problems) expect(line.length).to.be.below(300);
      }),
      { numRuns: 400 },
    );
  });

  it('takes time in proportion to the text', () => {
    for (const unit of ['a ', 'delay=', '1', 'delay=1s', 'max-share=a:1%,', ' '])
      expectLinear((length) => readFailoverPolicy(`delay=${unit.repeat(length / unit.length)}`), unit);
  });
});

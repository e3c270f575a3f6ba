import { expect } from 'chai';
import type { FailoverDrain } from '../../../../src/api/failover/failover-drain.ts';
import type { FailoverFacts } from '../../../../src/api/failover/failover-facts.ts';
import type { Backend, Weighing } from '../../../../src/policy/failover/backend.ts';
import { type Decision, decide } from '../../../../src/policy/failover/decide.ts';
import { DEFAULT_POLICY, type FailoverPolicy } from '../../../../src/policy/failover/failover-policy.ts';

const NOW = Date.UTC(2026, 10, 29, 14);
const SECOND = 1000;

function facts(ready: number, expected: number, more: Partial<FailoverFacts> = {}): FailoverFacts {
  const usableSince = NOW - 3_600_000;
  return { path: 'alive', ready, known: expected, expected, usableSince, flaps: 0, lastWord: NOW, ...more };
}

const TIERS: Readonly<Record<string, number>> = { local: 0, west: 1, north: 2 };

/** `local` in the first tier, `west` in the next one, `north` in the last. */
function backend(name: string, its: FailoverFacts | undefined, more: Partial<Backend> = {}): Backend {
  return { name, tier: TIERS[name] ?? 0, facts: its, ...more };
}

function decided(
  backends: readonly Backend[],
  policy: Partial<FailoverPolicy> = {},
  now = NOW,
  weighing?: Weighing,
): Decision {
  return decide(backends, { ...DEFAULT_POLICY, ...policy }, now, weighing);
}

/** `local 70 west 30`: shares in per cent of those who have one. */
function shares({ backends, refused }: Decision): string {
  const some = backends.filter(({ share }) => share > 0);
  const texts = some.map(({ backend: { name }, share }) => `${name} ${share / 100}`);
  return [...texts, ...(refused > 0 ? [`refused ${refused / 100}`] : [])].join(' ');
}

function one(decision: Decision, name: string) {
  const found = decision.backends.find(({ backend }) => backend.name === name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

const whole = (name: string, more: Partial<Backend> = {}) => backend(name, facts(10, 10), more);

describe('shares among clusters', () => {
  // The golden numbers of the specification. What is written there as 98/2 is so in whole per cent.
  describe('of a first tier of ten, and a second one of ten', () => {
    for (const [ready, wanted, why] of [
      [10, 'local 100', 'a healthy first tier keeps all'],
      [8, 'local 100', '8 × 1.4 is more than 10'],
      [7, 'local 98 west 2', '7 × 1.4 is 9.8'],
      [5, 'local 70 west 30', 'half of the endpoints can bear 70 %'],
      [2, 'local 28 west 72', 'the minimum of 20 % is just there'],
      [1, 'west 100', 'below the minimum'],
      [0, 'west 100', 'nothing is ready'],
    ] as const)
      it(`with ${ready} ready are ${wanted}: ${why}`, () => {
        const decision = decided([backend('local', facts(ready, 10)), whole('west')]);
        expect(shares(decision)).to.equal(wanted);
        expect(decision.short).to.equal(false);
      });
  });

  // cilium#46633: the first pod of thirty that was back took all traffic.
  for (const [ready, wanted] of [
    [1, 'west 100'],
    [5, 'west 100'],
    [6, 'local 28 west 72'],
    [21, 'local 98 west 2'],
    [22, 'local 100'],
  ] as const)
    it(`of thirty pods with ${ready} ready are ${wanted}`, () => {
      const decision = decided([backend('local', facts(ready, 30)), backend('west', facts(30, 30))]);
      expect(shares(decision)).to.equal(wanted);
    });

  it('say that a small standby is short, and divide by what each can bear', () => {
    const decision = decided([backend('local', facts(5, 10)), backend('west', facts(2, 2))]);
    expect(shares(decision)).to.equal('local 71.43 west 28.57');
    expect(decision).to.include({ short: true, reason: 'SpillLowCapacity', demand: 10 });
    expect(decision.total).to.be.closeTo(0.98, 1e-9);
  });

  it("of three tiers at 25, 25 and 100 % are those of Envoy's table", () => {
    const tiers = [backend('local', facts(25, 100)), backend('west', facts(25, 100))];
    expect(shares(decided([...tiers, backend('north', facts(100, 100))]))).to.equal(
      'local 35 west 35 north 30',
    );
  });

  describe('of a cluster that is back', () => {
    const back = facts(10, 10, { flaps: 1, usableSince: NOW });
    for (const [seconds, share] of [
      [0, 0],
      [29.999, 0],
      [30, 0],
      [31, 1.67],
      [36, 10],
      [60, 50],
      [84, 90],
      [90, 100],
      [1000, 100],
    ] as const)
      it(`are ${share} % after ${seconds} s: nothing for 30 s, then a sixtieth a second`, () => {
        const decision = decided([backend('local', back), whole('west')], {}, NOW + seconds * SECOND);
        expect(one(decision, 'local').share).to.equal(share * 100);
      });

    for (const [flaps, seconds] of [
      [1, 30],
      [2, 60],
      [3, 120],
      [5, 480],
      [6, 600],
      [64, 600],
    ] as const)
      it(`begin to grow ${seconds} s after it came back the ${flaps}. time`, () => {
        const at = (time: number) =>
          decided([backend('local', { ...back, flaps }), whole('west')], {}, NOW + time * SECOND);
        expect(one(at(seconds), 'local')).to.include({ share: 0, holdMs: seconds * SECOND });
        expect(one(at(seconds + 1), 'local').share).to.equal(167);
      });

    it('are what the others lack meanwhile, unless it was withdrawn twice', () => {
      const weak = backend('west', facts(5, 10));
      const decision = decided([backend('local', back), weak]);
      expect(shares(decision)).to.equal('local 30 west 70');
      expect(decision.fill).to.be.closeTo(0.3, 1e-9);
      expect(one(decision, 'local')).to.include({ state: 'Held', phi: 0 });
      expect(shares(decided([backend('local', { ...back, flaps: 2 }), weak]))).to.equal('west 100');
    });

    it('do not shrink when its ramp begins', () => {
      const weak = backend('west', facts(5, 10));
      const at = (seconds: number) =>
        one(decided([backend('local', back), weak], {}, NOW + seconds * SECOND), 'local').share;
      expect([0, 30, 40, 48, 60, 90].map(at)).to.deep.equal([3000, 3000, 3000, 3000, 5000, 10_000]);
    });

    it('are all at once where there is nobody else', () => {
      for (const flaps of [1, 2, 9])
        expect(
          shares(decided([backend('local', { ...back, flaps }), backend('west', facts(0, 10))])),
        ).to.equal('local 100');
    });
  });

  describe('of a cluster that is drained', () => {
    const MINUTE = 60 * SECOND;
    const drain: FailoverDrain = {
      to: 0,
      start: NOW,
      rampMs: 5 * MINUTE,
      until: NOW + 120 * MINUTE,
      drill: false,
    };
    const at = (minutes: number, more: Partial<FailoverDrain> = {}) =>
      decided(
        [whole('local', { drains: [{ ...drain, ...more }] }), whole('west')],
        {},
        NOW + minutes * MINUTE,
      );
    for (const [minutes, wanted, state] of [
      [-1, 'local 100', 'Active'],
      [0, 'local 100', 'Active'],
      [1, 'local 80 west 20', 'Draining'],
      [2.5, 'local 50 west 50', 'Draining'],
      [5, 'west 100', 'Drained'],
      [119, 'west 100', 'Drained'],
      [121, 'local 20 west 80', 'Returning'],
      [125, 'local 100', 'Active'],
    ] as const)
      it(`over 5 min are ${wanted} after ${minutes} min`, () => {
        expect(shares(at(minutes))).to.equal(wanted);
        expect(one(at(minutes), 'local').state).to.equal(state);
      });

    it('go down to what is to be left', () => {
      expect(shares(at(60, { to: 0.25 }))).to.equal('local 25 west 75');
      expect(one(at(60, { to: 0.25 }), 'local')).to.include({ state: 'Drained', reason: 'Drained' });
      // 1 - (1 - 0.15) is a little more than 0.15 in binary.
      expect(one(at(60, { to: 0.15 }), 'local')).to.include({ state: 'Drained', share: 1500 });
      expect(at(60, { drill: true }).reason).to.equal('DrillActive');
    });

    it('go back from where they were when it ends early', () => {
      expect(shares(at(2, { until: NOW + 2 * MINUTE }))).to.equal('local 60 west 40');
      expect(shares(at(3, { until: NOW + 2 * MINUTE }))).to.equal('local 68 west 32');
    });

    it('are nothing, though the others lack capacity', () => {
      const weak = backend('west', facts(5, 10));
      const decision = decided([whole('local', { drains: [drain] }), weak], {}, NOW + 60 * MINUTE);
      expect(shares(decision)).to.equal('west 100');
      expect(decision).to.include({ short: true, reason: 'Drained' });
    });

    it('are nothing, though another is let in before its time', () => {
      const held = backend('west', facts(10, 10, { flaps: 1, usableSince: NOW + 60 * MINUTE }));
      const weak = backend('north', facts(5, 10));
      const decision = decided([whole('local', { drains: [drain] }), held, weak], {}, NOW + 60 * MINUTE);
      expect(shares(decision)).to.equal('west 30 north 70');
    });

    it('are all when nobody else works: somebody wanted it empty, not requests to fail', () => {
      for (const other of [facts(0, 10), facts(1, 10), facts(10, 10, { path: 'dead' })]) {
        const decision = decided(
          [whole('local', { drains: [drain] }), backend('west', other)],
          {},
          NOW + 60 * MINUTE,
        );
        expect(shares(decision)).to.equal('local 100');
        expect(decision).to.include({ fallback: 'drained', reason: 'NoHealthyBackend' });
      }
    });
  });

  describe('when nobody can be used as it should be', () => {
    const dead = (ready: number, more: Partial<FailoverFacts> = {}) =>
      facts(ready, 10, { usableSince: null, ...more });
    const held = facts(10, 10, { flaps: 3, usableSince: NOW });
    for (const [what, local, west, wanted, fallback] of [
      ['the first held one serves', held, held, 'local 100', 'held'],
      ['a held one serves before one below the minimum', dead(1), held, 'west 100', 'held'],
      [
        'one below the minimum serves before an unreachable one',
        dead(10, { path: 'dead' }),
        dead(1),
        'west 100',
        'below-minimum',
      ],
      [
        'an unreachable one serves before an empty one',
        dead(0),
        dead(5, { path: 'dead' }),
        'west 100',
        'path-not-alive',
      ],
      [
        'one that was never probed counts as unreachable',
        dead(0),
        dead(5, { path: 'unknown' }),
        'west 100',
        'path-not-alive',
      ],
      ['the first tier serves when all are empty', dead(0), dead(0), 'local 100', 'nobody-ready'],
    ] as const)
      it(what, () => {
        const decision = decided([backend('local', local), backend('west', west)]);
        expect(shares(decision)).to.equal(wanted);
        expect(decision).to.include({ fallback, reason: 'NoHealthyBackend', short: true });
      });

    it('those of one tier serve by what is ready, or all alike where nothing ever was', () => {
      const two = (a: FailoverFacts, b: FailoverFacts) =>
        shares(decided([whole('a', { facts: a }), whole('b', { facts: b })]));
      expect(two(facts(1, 10), facts(1, 30))).to.equal('a 50 b 50');
      expect(two(facts(0, 10), facts(0, 30))).to.equal('a 25 b 75');
      expect(two(facts(0, 0), facts(0, 0))).to.equal('a 50 b 50');
    });

    it('all are refused only when there is no backend', () => {
      expect(decided([])).to.include({ refused: 10_000, reason: 'NoHealthyBackend' });
    });
  });

  it('of two backends of 90 and 10 are exact as long as both can be used', () => {
    const split = (web: FailoverFacts, canary: FailoverFacts) =>
      shares(
        decided(
          [backend('web', web, { weight: 90 }), backend('canary', canary, { weight: 10 })],
          {},
          NOW,
          'exact',
        ),
      );
    expect(split(facts(10, 10), facts(1, 1))).to.equal('canary 10 web 90');
    // In proportion to what is ready it would be 86.3 to 13.7.
    expect(split(facts(5, 10), facts(10, 10))).to.equal('canary 10 web 90');
    expect(split(facts(1, 10), facts(10, 10))).to.equal('canary 100');
    expect(split(facts(10, 10), facts(0, 10))).to.equal('web 100');
  });

  it('follow capacity within a tier, and weights where one of it has a weight', () => {
    const three = (more: Partial<Backend>) =>
      decided([
        { name: 'a', tier: 0, facts: facts(30, 30) },
        { name: 'b', tier: 0, facts: facts(10, 10), ...more },
      ]);
    expect(shares(three({}))).to.equal('a 75 b 25');
    expect(shares(three({ factor: 3 }))).to.equal('a 50 b 50');
    expect(shares(three({ weight: 2 }))).to.equal('a 33.33 b 66.67');
    expect(shares(three({ weight: 0 }))).to.equal('a 100');
    expect(shares(three({ facts: facts(5, 10) }))).to.equal('a 81.08 b 18.92');
  });

  /**
   * In proportion to φ alone, as the specification has it, what has a share of 90 % would be half back after
   * a ninth of its ramp, and what is held would get more than the others lack.
   */
  describe('of one that is back beside others of its tier', () => {
    const back = facts(10, 10, { flaps: 1, usableSince: NOW - 30_000 });
    const beside = (others: readonly Backend[], weighing: Weighing, weight?: number) => (seconds: number) => {
      const one = backend('local', back, weight === undefined ? {} : { weight });
      return shares(decided([one, ...others], {}, NOW + seconds * SECOND, weighing));
    };

    for (const weighing of ['graded', 'exact'] as const)
      it(`grow in a straight line to 90 %, ${weighing}`, () => {
        const large = { name: 'other', tier: 0, weight: 10, facts: facts(30, 30) };
        expect([0, 6, 30, 54, 60].map(beside([large], weighing, 90))).to.deep.equal([
          'other 100',
          'local 9 other 91',
          'local 45 other 55',
          'local 81 other 19',
          'local 90 other 10',
        ]);
      });

    it('begin with what the others lack', () => {
      const equal = { name: 'other', tier: 0, facts: facts(10, 10) };
      expect([0, 20, 60].map(beside([equal], 'graded'))).to.deep.equal([
        'local 30 other 70',
        'local 30 other 70',
        'local 50 other 50',
      ]);
    });

    it('are what it would get of those that can be used', () => {
      const others = [
        { name: 'dead', tier: 0, weight: 100, facts: facts(0, 10) },
        { name: 'other', tier: 0, weight: 20, facts: facts(30, 30) },
      ];
      // The other one has room for 84 %.
      expect([0, 30, 60].map(beside(others, 'exact', 80))).to.deep.equal([
        'local 16 other 84',
        'local 40 other 60',
        'local 80 other 20',
      ]);
    });

    // A healthy one would get 14.89 %: what is filled is not more than it has room for, as long as it ramps.
    it('are no more than it has room for, though all are short', () => {
      const weak = backend('local', facts(1, 5, { flaps: 1, usableSince: NOW }));
      const other = { name: 'other', tier: 0, factor: 0.5, facts: facts(16, 16) };
      const decision = decided([weak, other], { minHealthy: 0 });
      expect(shares(decision)).to.equal('local 11.23 other 88.77');
      expect(decision).to.include({ fill: 1, short: true });
    });

    it('leave the others of a split in their proportion, and others to what they can bear', () => {
      const some = [
        { name: 'small', tier: 0, weight: 45, facts: facts(10, 10) },
        { name: 'large', tier: 0, weight: 5, facts: facts(80, 80) },
      ];
      expect(beside(some, 'exact', 50)(30)).to.equal('large 7.5 local 25 small 67.5');
      expect(beside(some, 'graded', 50)(30)).to.equal('large 30 local 25 small 45');
    });

    it('shrink in a straight line by a drain', () => {
      const drain = { to: 0, start: NOW - 30_000, rampMs: 60_000, until: NOW + 60_000, drill: false };
      const large = { name: 'other', tier: 0, weight: 10, facts: facts(30, 30) };
      for (const weighing of ['exact', 'graded'] as const)
        expect(
          shares(decided([whole('local', { weight: 90, drains: [drain] }), large], {}, NOW, weighing)),
        ).to.equal('local 45 other 55');
    });

    it('keep the proportion of the others of a split while one is drained', () => {
      const drain = { to: 0, start: 0, rampMs: 0, until: NOW + 1, drill: false };
      const three = [
        whole('a', { weight: 100, drains: [drain] }),
        whole('b', { weight: 80 }),
        whole('c', { weight: 20 }),
      ];
      for (const weighing of ['exact', 'graded'] as const)
        expect(shares(decided(three, {}, NOW, weighing))).to.equal('b 80 c 20');
    });
  });

  it('disregard weights that are all nothing', () => {
    const decision = decided([whole('a', { weight: 0 }), whole('b', { weight: 0 })]);
    expect(shares(decision)).to.equal('a 50 b 50');
  });

  it('take what somebody says is expected for it', () => {
    const policy = { expected: new Map([['local', 30]]) };
    expect(shares(decided([whole('local'), backend('west', facts(30, 30))], policy))).to.equal(
      'local 46.67 west 53.33',
    );
    // More than that does not count.
    const fewer = { expected: new Map([['west', 4]]) };
    expect(shares(decided([backend('local', facts(0, 10)), whole('west'), whole('north')], fewer))).to.equal(
      'west 56 north 44',
    );
  });

  it('are as they were where nothing is known', () => {
    const split = [backend('web', undefined, { weight: 90 }), backend('canary', undefined, { weight: 10 })];
    expect(shares(decided(split, {}, NOW, 'exact'))).to.equal('canary 10 web 90');
    const tiers = decided([backend('local', undefined), whole('west')]);
    expect(shares(tiers)).to.equal('local 100');
    expect(one(tiers, 'local')).to.include({ state: 'Unknown', reason: 'FactsUnknown' });
  });

  describe('of which some may get so much at most', () => {
    const max = (...limits: [string, number][]) => ({ maxShare: new Map(limits) });
    const failed = [backend('local', facts(0, 10)), whole('west'), whole('north')];
    it('go to the others', () => {
      expect(shares(decided(failed, max(['west', 5000])))).to.equal('west 50 north 50');
    });

    it('are refused when nobody else may get them', () => {
      expect(shares(decided(failed, max(['west', 5000], ['north', 2000])))).to.equal(
        'west 50 north 20 refused 30',
      );
      expect(shares(decided([whole('west')], max(['west', 1])))).to.equal('west 0.01 refused 99.99');
    });

    it('go first to those that can bear them, then to those that may get them', () => {
      const some = [
        backend('local', facts(0, 10)),
        { name: 'a', tier: 1, facts: facts(10, 10) },
        { name: 'b', tier: 1, facts: facts(2, 2) },
        backend('north', facts(2, 2)),
      ];
      expect(shares(decided(some, max(['a', 4000])))).to.equal('a 40 b 32 north 28');
    });
  });

  it('are refused for a backend of a split that cannot be used, where that is wished', () => {
    const split = (canary: FailoverFacts, more: Partial<FailoverFacts> = {}) =>
      decided(
        [backend('web', facts(10, 10, more), { weight: 90 }), backend('canary', canary, { weight: 10 })],
        { onUnavailable: 'fail' },
        NOW,
        'exact',
      );
    expect(shares(split(facts(0, 1)))).to.equal('web 90 refused 10');
    expect(shares(split(facts(1, 1)))).to.equal('canary 10 web 90');
    expect(shares(split(facts(0, 1), { path: 'dead' }))).to.equal('refused 100');
  });

  describe('are told with a reason', () => {
    for (const [local, reason, state] of [
      [facts(10, 10), 'PrimaryServing', 'Active'],
      [facts(5, 10), 'SpillLowCapacity', 'Active'],
      [facts(10, 10, { path: 'dead' }), 'PathDead', 'Withdrawn'],
      [facts(0, 10), 'NoReadyEndpoints', 'Withdrawn'],
      [facts(1, 10), 'BelowMinHealthy', 'Withdrawn'],
      [facts(10, 10, { path: 'unknown' }), 'FactsUnknown', 'Unknown'],
      [facts(10, 10, { flaps: 1, usableSince: NOW }), 'FailBackHeld', 'Held'],
      [facts(10, 10, { flaps: 1, usableSince: NOW - 60_000 }), 'FailBackRamp', 'Returning'],
    ] as const)
      it(reason, () => {
        const decision = decided([backend('local', local), whole('west')]);
        // What the first tier lacks without a word of why is that it is too small.
        expect(decision.reason).to.equal(reason === 'FactsUnknown' ? 'SpillLowCapacity' : reason);
        expect(one(decision, 'local').state).to.equal(state);
        expect(one(decision, 'west').state).to.equal(reason === 'PrimaryServing' ? 'Active' : 'Spilling');
      });
  });

  describe('change by themselves', () => {
    const back = facts(10, 10, { flaps: 1, usableSince: NOW });
    const next = (seconds: number, more: Partial<Backend> = {}) => {
      const backends = [backend('local', back, more), whole('west')];
      const { nextChangeAt } = decided(backends, {}, NOW + seconds * SECOND);
      return nextChangeAt === undefined ? undefined : (nextChangeAt - NOW) / SECOND;
    };
    it('when a hold ends, at each hundredth of a ramp, and never after it', () => {
      expect([0, 29, 30, 30.5, 30.6, 89.9, 90].map((at) => next(at))).to.deep.equal([
        30,
        30,
        30.6,
        30.6,
        31.2,
        90,
        undefined,
      ]);
    });

    it('never where all are well, or it cannot be used', () => {
      const below = backend('local', { ...back, ready: 1 });
      expect(decided([below, whole('west')])).not.to.have.property('nextChangeAt');
      expect(decided([whole('local'), whole('west')])).not.to.have.property('nextChangeAt');
    });

    it('when a drain begins, goes on and ends', () => {
      const drain = { to: 0, start: NOW, rampMs: 300_000, until: NOW + 7_200_000, drill: false };
      const at = (seconds: number) => {
        const { nextChangeAt } = decided(
          [whole('local', { drains: [drain] }), whole('west')],
          {},
          NOW + seconds * SECOND,
        );
        return nextChangeAt === undefined ? undefined : (nextChangeAt - NOW) / SECOND;
      };
      expect([-5, 0, 4, 300, 7199, 7200, 7499, 7500].map(at)).to.deep.equal([
        0,
        3,
        6,
        7200,
        7200,
        7203,
        7500,
        undefined,
      ]);
    });
  });
});

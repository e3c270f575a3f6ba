import { expect } from 'chai';
import type { FailoverFacts } from '../../../../src/api/failover/failover-facts.ts';
import type { Backend } from '../../../../src/policy/failover/backend.ts';
import { decide } from '../../../../src/policy/failover/decide.ts';
import {
  failoverConditions,
  failoverNews,
  mergedConditions,
} from '../../../../src/policy/failover/failover-conditions.ts';
import { DEFAULT_POLICY } from '../../../../src/policy/failover/failover-policy.ts';
import { HEALTHY } from '../../../support/group-objects.ts';

const NOW = 1_700_000_000_000;
const facts = (change: Partial<FailoverFacts> = {}): FailoverFacts => ({ ...HEALTHY, ...change });
const dead = facts({ path: 'dead', usableSince: null, flaps: 1 });
const back = facts({ usableSince: NOW - 1000, flaps: 2 });

const conditions = (
  west: FailoverFacts,
  north: FailoverFacts = facts(),
  { problems = [], unknown = [], tier = 0 }: { problems?: string[]; unknown?: string[]; tier?: number } = {},
) => {
  const backends: Backend[] = [
    { name: 'west', tier: 0, facts: west },
    { name: 'north', tier, facts: north },
  ];
  const decision = decide(backends, DEFAULT_POLICY, NOW);
  return failoverConditions({ decision, placement: { places: [], unknown, leftOut: [] }, problems });
};
const short = (list: ReturnType<typeof conditions>) =>
  list.map(({ type, status, reason }) => `${type.split('/')[1] ?? ''}=${status} ${reason}`);

// A Service that was scaled down for the night was short until its window was over.
it('CapacityShort is not so where requests neither fail nor wait, and says why', () => {
  const backends: Backend[] = [{ name: 'west', tier: 0, facts: facts({ ready: 2 }) }];
  const decision = decide(backends, DEFAULT_POLICY, NOW);
  const placement = { places: [], unknown: [], leftOut: [] };
  const said = (['strained', 'unheard', 'met'] as const).map((demand) =>
    short(failoverConditions({ decision, placement, problems: [], demand })).at(-1),
  );
  expect(said).to.deep.equal([
    'CapacityShort=True DemandUnmet',
    'CapacityShort=True CapacityShort',
    'CapacityShort=False DemandMet',
  ]);
});

it('CapacityShort of several rules is that of the first that is short, or would be', () => {
  const placement = { places: [], unknown: [], leftOut: [] };
  const rule = (ready: number, demand: 'met' | 'unheard') => {
    const decision = decide([{ name: 'west', tier: 0, facts: facts({ ready }) }], DEFAULT_POLICY, NOW);
    return failoverConditions({ decision, placement, problems: [], demand });
  };
  const of = (...rules: ReturnType<typeof rule>[]) =>
    short(mergedConditions(new Map(rules.map((one, at) => [`rule ${at}`, one])))).at(-1);
  const [well, met, bad] = [rule(10, 'met'), rule(2, 'met'), rule(2, 'unheard')];
  expect(of(well, met)).to.equal('CapacityShort=False DemandMet');
  expect(of(met, well)).to.equal('CapacityShort=False DemandMet');
  expect(of(well, met, bad)).to.equal('CapacityShort=True CapacityShort');
  expect(of(bad, met)).to.equal('CapacityShort=True CapacityShort');
});

// That a cluster was failed over from was in nobody's status, and told nobody.
describe('conditions of a federated Service', () => {
  const cases: readonly [string, ReturnType<typeof conditions>, string[]][] = [
    [
      'all is well',
      conditions(facts()),
      [
        'FailoverReady=True PrimaryServing',
        'FailoverActive=False PrimaryServing',
        'CapacityShort=False CapacitySuffices',
      ],
    ],
    [
      'a standby that does nothing is no failover',
      conditions(facts(), facts(), { tier: 1 }),
      [
        'FailoverReady=True PrimaryServing',
        'FailoverActive=False PrimaryServing',
        'CapacityShort=False CapacitySuffices',
      ],
    ],
    [
      'one of a tier is dead',
      conditions(dead),
      [
        'FailoverReady=True PrimaryServing',
        'FailoverActive=True PathDead',
        'CapacityShort=True CapacityShort',
      ],
    ],
    [
      'the first tier is dead, the next is as large',
      conditions(dead, facts(), { tier: 1 }),
      [
        'FailoverReady=True PrimaryServing',
        'FailoverActive=True PathDead',
        'CapacityShort=False CapacitySuffices',
      ],
    ],
    [
      'the first tier is half dead',
      conditions(facts({ ready: 5 }), facts(), { tier: 1 }),
      [
        'FailoverReady=True PrimaryServing',
        'FailoverActive=True SpillLowCapacity',
        'CapacityShort=False CapacitySuffices',
      ],
    ],
    [
      'all are dead',
      conditions(dead, dead),
      [
        'FailoverReady=False NoHealthyBackend',
        'FailoverActive=True NoHealthyBackend',
        'CapacityShort=True CapacityShort',
      ],
    ],
    [
      'an annotation is wrong',
      conditions(facts(), facts(), { problems: ['failover.linkspan.dev/policy: "ramp=x" is no time'] }),
      [
        'FailoverReady=False AnnotationInvalid',
        'FailoverActive=False PrimaryServing',
        'CapacityShort=False CapacitySuffices',
      ],
    ],
    [
      'a tier names nobody',
      conditions(facts(), facts(), { unknown: ['wset'] }),
      [
        'FailoverReady=False TierUnknownMember',
        'FailoverActive=False PrimaryServing',
        'CapacityShort=False CapacitySuffices',
      ],
    ],
  ];
  for (const [name, list, expected] of cases)
    it(`say it: ${name}`, () => {
      expect(short(list)).to.deep.equal(expected);
    });

  it('say who is away, why, and who serves', () => {
    const active = conditions(dead)[1];
    expect(active?.message).to.equal('west: Withdrawn (PathDead); serving: north');
  });

  it('do not change in a ramp, but when one state follows the other', () => {
    const at = (passed: number) =>
      conditions(facts({ usableSince: NOW - passed, flaps: 1 }), facts(), { tier: 1 });
    expect(at(31_000)).to.deep.equal(at(80_000));
    expect(at(29_000)).not.to.deep.equal(at(31_000));
  });
});

describe('news about failover', () => {
  const told = (before: ReturnType<typeof conditions>, after: ReturnType<typeof conditions>) =>
    failoverNews(new Map(before.map((one) => [one.type, one])), after).map(({ reason }) => reason);
  const well = conditions(facts(), facts(), { tier: 1 });
  const over = conditions(dead, facts(), { tier: 1 });

  it('begins and ends, once each', () => {
    expect(failoverNews(new Map(), well)).to.deep.equal([]);
    expect(told(well, over)).to.deep.equal(['Failover']);
    expect(told(over, over)).to.deep.equal([]);
    expect(told(over, well)).to.deep.equal(['FailBack']);
  });

  it('says that capacity is short, that somebody is damped, and which key is wrong', () => {
    expect(told(conditions(facts()), conditions(dead))).to.deep.equal(['Failover', 'CapacityShort']);
    expect(told(over, conditions(back, facts(), { tier: 1 }))).to.deep.equal(['FlapDamped']);
    const wrong = conditions(facts(), facts(), { tier: 1, problems: ['x'] });
    expect(told(well, wrong)).to.deep.equal(['AnnotationInvalid']);
    expect(told(wrong, wrong)).to.deep.equal([]);
    expect(told(wrong, conditions(facts(), facts(), { tier: 1, problems: ['y'] }))).to.have.length(1);
  });
});

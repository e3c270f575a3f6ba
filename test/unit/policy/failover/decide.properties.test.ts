import { expect } from 'chai';
import fc from 'fast-check';
import type { FailoverDrain } from '../../../../src/api/failover/failover-drain.ts';
import type { FailoverFacts } from '../../../../src/api/failover/failover-facts.ts';
import { apportion } from '../../../../src/policy/failover/apportion.ts';
import type { Backend, Figures, Weighing } from '../../../../src/policy/failover/backend.ts';
import { type Decision, decide } from '../../../../src/policy/failover/decide.ts';
import { DEFAULT_POLICY, type FailoverPolicy } from '../../../../src/policy/failover/failover-policy.ts';
import { drainLevel } from '../../../../src/policy/failover/readiness.ts';

/**
 * What must hold of shares whatever is published: P1 to P10 of the specification. Where the formula as it is
 * written there breaks one of them, ADR 0035 has the counterexample and what was chosen. A failure prints
 * seed and path; `fc.assert(…, { seed, path })` runs it again.
 */
const NOW = Date.UTC(2026, 10, 29, 14);
const NAMES = ['local', 'west', 'north', 'dr', 'e', 'f'];
/** Shares are whole basis points. */
const ROUNDING = 1;

const factsOf = fc
  .record({
    path: fc.constantFrom<FailoverFacts['path'][]>('alive', 'alive', 'alive', 'alive', 'dead', 'unknown'),
    ready: fc.nat(40),
    gone: fc.nat(20),
    usableSince: fc.option(fc.integer({ min: NOW - 200_000, max: NOW + 2000 }), { freq: 8 }),
    flaps: fc.constantFrom(0, 0, 0, 1, 1, 2, 3, 64),
  })
  .map(({ path, ready, gone, usableSince, flaps }): FailoverFacts => {
    const expected = ready + gone;
    return { path, ready, known: expected, expected, usableSince, flaps, lastWord: NOW };
  });

const drainOf: fc.Arbitrary<FailoverDrain> = fc.record({
  to: fc.constantFrom(0, 0, 0.25, 1),
  start: fc.integer({ min: NOW - 100_000, max: NOW + 20_000 }),
  rampMs: fc.constantFrom(0, 60_000, 300_000),
  until: fc.integer({ min: NOW - 50_000, max: NOW + 400_000 }),
  drill: fc.boolean(),
});

const rareDrains = fc.array(drainOf, { maxLength: 2 });
const backendOf = fc.record(
  {
    tier: fc.nat(2),
    weight: fc.option(fc.constantFrom(0, 1, 2, 10, 90, 1_000_000), { nil: undefined }),
    factor: fc.constantFrom(1, 1, 1, 0.5, 3),
    facts: fc.option(factsOf, { freq: 20, nil: undefined }),
    drains: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: rareDrains }),
  },
  { requiredKeys: ['tier', 'facts'] },
);

const groupOf = fc
  .array(backendOf, { minLength: 1, maxLength: NAMES.length })
  .map((some) => some.map((one, at): Backend => named(one, NAMES[at] ?? '')));

function named(
  { weight, ...rest }: Omit<Backend, 'name' | 'weight'> & { weight?: number | undefined },
  name: string,
): Backend {
  return { name, ...rest, ...(weight === undefined ? {} : { weight }) };
}

const policyOf: fc.Arbitrary<FailoverPolicy> = fc.record({
  ...Object.fromEntries(Object.entries(DEFAULT_POLICY).map(([key, value]) => [key, fc.constant(value)])),
  overprovision: fc.constantFrom(1, 1.4, 2),
  minHealthy: fc.constantFrom(0, 0.2, 0.5),
  rampMs: fc.constantFrom(0, 60_000, 60_000),
}) as unknown as fc.Arbitrary<FailoverPolicy>;
const limitsOf = fc.dictionary(fc.constantFrom(...NAMES), fc.integer({ min: 1, max: 10_000 }));
const weighingOf = fc.constantFrom<Weighing[]>('graded', 'exact');

const shareOf = (decision: Decision, name: string): number => figuresOf(decision, name).share;
function figuresOf(decision: Decision, name: string): Readonly<Figures> {
  const found = decision.backends.find(({ backend }) => backend.name === name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}
const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
const sharesByName = ({ backends }: Decision) =>
  Object.fromEntries(backends.map(({ backend, share }) => [backend.name, share]));
/** Everything but what says where to look, which is the same object in both. */
const plain = (decision: Decision): string => JSON.stringify(decision);

describe('whatever is published of clusters', () => {
  it('shares add up to 10,000, none is negative, and never are all nothing (P1)', () => {
    fc.assert(
      fc.property(
        groupOf,
        policyOf,
        weighingOf,
        limitsOf,
        fc.boolean(),
        (group, policy, weighing, limits, fail) => {
          const { backends, refused } = decide(group, policy, NOW, weighing);
          expect(refused).to.equal(0);
          expect(sum(backends.map(({ share }) => share))).to.equal(10_000);
          for (const one of backends) expect(one.share, one.backend.name).to.be.within(0, 10_000);
          const maxShare = new Map(Object.entries(limits));
          const onUnavailable = fail ? 'fail' : 'redistribute';
          const limited = decide(group, { ...policy, maxShare, onUnavailable }, NOW, weighing);
          expect(sum(limited.backends.map(({ share }) => share)) + limited.refused).to.equal(10_000);
          for (const { backend, share } of limited.backends)
            expect(share, backend.name).to.be.within(0, maxShare.get(backend.name) ?? 10_000);
        },
      ),
      { numRuns: 1200 },
    );
  });

  it('what is dead, empty, below the minimum, drained or kept off gets nothing while another can be used (P2)', () => {
    fc.assert(
      fc.property(groupOf, policyOf, weighingOf, limitsOf, (group, policy, weighing, limits) => {
        const maxShare = new Map(Object.entries(limits));
        const { backends } = decide(group, { ...policy, maxShare }, NOW, weighing);
        const fit = ({ usable, drain, off }: Figures) => usable && drain > 0 && !off;
        if (!backends.some(fit)) return;
        for (const one of backends) if (!fit(one)) expect(one.share, one.backend.name).to.equal(0);
      }),
      { numRuns: 1200 },
    );
  });

  it('one endpoint more never makes the own share smaller, nor that of lower tiers larger (P3)', () => {
    fc.assert(
      fc.property(groupOf, policyOf, weighingOf, fc.nat(), (group, policy, weighing, pick) => {
        const able = group.filter(({ facts }) => facts !== undefined && facts.ready < facts.expected);
        const one = able[pick % able.length];
        if (one?.facts === undefined) return;
        const { name, facts } = one;
        const more = { ...one, facts: { ...facts, ready: facts.ready + 1 } };
        const before = decide(group, policy, NOW, weighing);
        const after = decide(
          group.map((other) => (other === one ? more : other)),
          policy,
          NOW,
          weighing,
        );
        // What is let in early gets what the others lack, which is a smaller part of what it could bear.
        if (before.fill === 0) expect(shareOf(after, name)).to.be.at.least(shareOf(before, name) - ROUNDING);
        const below = ({ backends }: Decision) =>
          sum(backends.filter(({ backend }) => backend.tier > one.tier).map(({ share }) => share));
        expect(below(after)).to.be.at.most(below(before) + ROUNDING * group.length);
      }),
      { numRuns: 3000 },
    );
  });

  it('a lower tier gets something only where those above lack capacity (P4)', () => {
    fc.assert(
      fc.property(groupOf, policyOf, weighingOf, (group, policy, weighing) => {
        const { tiers, fallback, fill } = decide(group, policy, NOW, weighing);
        expect(fill).to.be.within(0, 1);
        if (fallback !== undefined) return;
        let above = 0;
        for (const { health, load } of tiers) {
          if (above >= 1) expect(load).to.be.below(1e-9);
          above += health;
        }
      }),
      { numRuns: 1200 },
    );
  });

  it('the order in which backends come is nothing (P6)', () => {
    const shuffled = groupOf.chain((group) =>
      fc.tuple(fc.constant(group), fc.shuffledSubarray(group, { minLength: group.length })),
    );
    fc.assert(
      fc.property(shuffled, policyOf, weighingOf, ([group, other], policy, weighing) => {
        expect(plain(decide(other, policy, NOW, weighing))).to.equal(
          plain(decide(group, policy, NOW, weighing)),
        );
      }),
      { numRuns: 400 },
    );
  });

  /** All are steady but the first, which is back and held, ramps or is whole again. */
  const oneReturning = groupOf.map((group) =>
    group.map((one, at): Backend => {
      const { drains: _, ...rest } = one;
      if (one.facts === undefined || at === 0) return rest;
      return { ...rest, facts: { ...one.facts, flaps: 0 } };
    }),
  );

  it('the share of one that is back never shrinks as time passes (P7)', () => {
    fc.assert(
      fc.property(
        oneReturning,
        policyOf,
        weighingOf,
        fc.nat(300_000),
        fc.nat(60_000),
        (group, policy, weighing, at, later) => {
          const [first] = group;
          if (first === undefined) return;
          const before = decide(group, policy, NOW + at, weighing);
          const after = decide(group, policy, NOW + at + later, weighing);
          expect(shareOf(after, first.name)).to.be.at.least(shareOf(before, first.name) - ROUNDING);
        },
      ),
      { numRuns: 1600 },
    );
  });

  it('shares of healthy ones are exactly what is configured (P8)', () => {
    fc.assert(
      fc.property(groupOf, weighingOf, (group, weighing) => {
        const healthy = group.map((one, at): Backend => {
          const expected = (one.facts?.expected ?? at) + 1;
          const facts = {
            ...(one.facts ?? BLANK),
            path: 'alive',
            ready: expected,
            expected,
            flaps: 0,
          } as const;
          return named({ weight: one.weight, tier: 0, factor: one.factor ?? 1, facts }, one.name);
        });
        const { backends } = decide(healthy, DEFAULT_POLICY, NOW, weighing);
        const some = backends.some(({ wish, off }) => wish !== undefined && !off);
        const wanted = backends.map(({ off, wish, factor, expected }) => {
          if (off) return 0;
          return some ? (wish ?? 1) : factor * expected;
        });
        expect(backends.map(({ share }) => share)).to.deep.equal(apportion(wanted));
      }),
      { numRuns: 400 },
    );
  });

  it('what is decided of one group changes nothing of another (P9)', () => {
    fc.assert(
      fc.property(groupOf, groupOf, policyOf, (group, other, policy) => {
        const before = plain(decide(group, policy, NOW));
        decide(other, policy, NOW);
        expect(plain(decide(group, policy, NOW))).to.equal(before);
      }),
      { numRuns: 100 },
    );
  });

  it('two clocks that differ by up to 4 s differ by so much of a ramp (P10)', () => {
    fc.assert(
      fc.property(oneReturning, weighingOf, fc.nat(300_000), fc.nat(4000), (group, weighing, at, skew) => {
        const [first] = group;
        if (first === undefined) return;
        const [one, other] = [at, at + skew].map((time) =>
          decide(group, DEFAULT_POLICY, NOW + time, weighing),
        );
        if (one === undefined || other === undefined) return;
        // Who is alone gets all before its time, and is nobody's ramp.
        if (one.fallback !== undefined || one.total < 1) return;
        // Where weights outdo capacity, the tier's load and the part of it grow together.
        const growth = group.some(({ weight }) => weight !== undefined) ? 2 : 1;
        const most = (skew / DEFAULT_POLICY.rampMs) * growth * 10_000;
        for (const { backend, share } of one.backends)
          expect(Math.abs(shareOf(other, backend.name) - share), backend.name).to.be.at.most(
            most + 2 * ROUNDING,
          );
      }),
      { numRuns: 1600 },
    );
  });

  it('nothing changes by itself before the moment that is said', () => {
    fc.assert(
      fc.property(
        groupOf,
        policyOf,
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (group, policy, part) => {
          const before = decide(group, policy, NOW);
          const next = before.nextChangeAt ?? NOW + 10_000_000;
          expect(next).to.be.above(NOW);
          const ramping = before.backends.some(
            ({ backend: { drains = [] }, back }) =>
              (back > 0 && back < 1) ||
              drains.map((drain) => [drain.to, drainLevel(drain, NOW)] as const).some(isBetween),
          );
          if (ramping) return;
          const after = decide(group, policy, NOW + part * (next - NOW));
          expect(sharesByName(after)).to.deep.equal(sharesByName(before));
        },
      ),
      { numRuns: 1200 },
    );
  });
});

const isBetween = ([to, level]: readonly [number, number]) => level > to && level < 1;

const BLANK: FailoverFacts = {
  path: 'alive',
  ready: 1,
  known: 1,
  expected: 1,
  usableSince: NOW,
  flaps: 0,
  lastWord: NOW,
};

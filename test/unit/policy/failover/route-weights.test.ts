import { expect } from 'chai';
import fc from 'fast-check';
import type { FailoverFacts } from '../../../../src/api/failover/failover-facts.ts';
import type { Backend } from '../../../../src/policy/failover/backend.ts';
import { decide } from '../../../../src/policy/failover/decide.ts';
import { DEFAULT_POLICY } from '../../../../src/policy/failover/failover-policy.ts';
import {
  type BackendWeights,
  MAX_SPLIT_SUM,
  ROUTE_SCALE,
  routeWeights,
  sharesOf,
  splitWeights,
} from '../../../../src/policy/failover/route-weights.ts';
import { HEALTHY } from '../../../support/group-objects.ts';

const NOW = Date.UTC(2026, 10, 29, 14);
const facts = (ready: number, more: Partial<FailoverFacts> = {}): FailoverFacts => {
  return { ...HEALTHY, ready, lastWord: NOW, ...more };
};
const local: Backend = { name: 'local', tier: 0, facts: facts(10) };
const west: Backend = { name: 'west', tier: 1, facts: facts(10) };
const north: Backend = { name: 'north', tier: 2, facts: facts(10) };
const weights = (backends: readonly Backend[], standbyPpm = 1) =>
  Object.fromEntries(routeWeights(decide(backends, DEFAULT_POLICY, NOW), standbyPpm) ?? []);

/** `WeightedIndex` in Linkerd's proxy ends the process at weights that are all 0, or whose sum is over. */
describe('weights that are written for sidecars', () => {
  it('are shares, and the least that there is for those who stand by', () => {
    expect(weights([local, west, north])).to.deep.equal({ local: 1_000_000, west: 1, north: 1 });
    expect(weights([{ ...local, facts: facts(5) }, west, north])).to.deep.equal({
      local: 700_000,
      west: 300_000,
      north: 1,
    });
    expect(weights([local, west], 0)).to.deep.equal({ local: 1_000_000, west: 0 });
    expect(weights([local, west], 100)).to.deep.equal({ local: 1_000_000, west: 100 });
  });

  it('are nothing for what cannot be used, is drained or kept off', () => {
    const drain = { to: 0, start: 0, rampMs: 0, until: NOW + 1, drill: false };
    for (const other of [
      { ...west, facts: facts(0) },
      { ...west, facts: facts(10, { path: 'dead' }) },
      { ...west, drains: [drain] },
      { ...west, weight: 0 },
    ])
      expect(weights([{ ...local, weight: 1 }, other])).to.deep.equal({ local: 1_000_000, west: 0 });
    // What is held could serve if it had to.
    expect(weights([{ ...local, facts: facts(10, { flaps: 3, usableSince: NOW }) }, west])).to.deep.equal({
      local: 1,
      west: 1_000_000,
    });
  });

  it('of a TrafficSplit are basis points, and none stands by', () => {
    const decision = decide([{ ...local, facts: facts(5) }, west, north], DEFAULT_POLICY, NOW);
    expect(Object.fromEntries(splitWeights(decision) ?? [])).to.deep.equal({
      local: 7000,
      west: 3000,
      north: 0,
    });
  });

  it('are none where all is refused', () => {
    const policy = { ...DEFAULT_POLICY, onUnavailable: 'fail' } as const;
    const decision = decide([{ ...local, facts: facts(0) }], policy, NOW, 'exact');
    expect(decision.refused).to.equal(10_000);
    expect([routeWeights(decision, 1), splitWeights(decision)]).to.deep.equal([undefined, undefined]);
  });

  it('whatever is decided can be taken by the proxy, and is read as the shares that it stands for (P11)', () => {
    const group = fc.array(
      fc.record({
        tier: fc.nat(3),
        ready: fc.nat(20),
        weight: fc.option(fc.nat(1_000_000)),
        flaps: fc.nat(3),
      }),
      { minLength: 1, maxLength: 24 },
    );
    const maxShare = fc.option(fc.integer({ min: 1, max: 10_000 }));
    fc.assert(
      fc.property(group, maxShare, fc.nat(100), (some, limit, standby) => {
        const backends = some.map(({ tier, ready, weight, flaps }, at): Backend => {
          const its = facts(ready, { expected: 20, usableSince: NOW - 35_000, flaps });
          return { name: `b${at}`, tier, facts: its, ...(weight === null ? {} : { weight }) };
        });
        const policy = { ...DEFAULT_POLICY, maxShare: new Map(limit === null ? [] : [['b0', limit]]) };
        const decision = decide(backends, policy, NOW);
        const given = 10_000 - decision.refused;
        for (const [written, most] of [
          [routeWeights(decision, standby), ROUTE_SCALE + 100],
          [splitWeights(decision), Math.min(10_000, MAX_SPLIT_SUM)],
        ] as [BackendWeights | undefined, number][]) {
          const all = [...(written?.values() ?? [])];
          for (const weight of all) {
            expect(Number.isInteger(weight)).to.equal(true);
            expect(weight).to.be.within(0, ROUTE_SCALE);
          }
          const sum = all.reduce((so, weight) => so + weight, 0);
          expect(sum).to.be.within(1, most);
          const read = sharesOf(written ?? new Map());
          // Where a part is refused, what is left of it is divided as the shares are.
          for (const { backend, share } of decision.backends)
            expect(Math.abs((read.get(backend.name) ?? 0) - (share * 10_000) / given)).to.be.at.most(
              1 + (given < 10_000 ? 10_000 / given : 1e-9),
            );
        }
      }),
      { numRuns: 200 },
    );
  });

  it('say nothing where they are all nothing', () => {
    expect(sharesOf(new Map([['a', 0]]))).to.deep.equal(new Map());
    expect(sharesOf(new Map())).to.deep.equal(new Map());
    expect(
      sharesOf(
        new Map([
          ['b', 1],
          ['a', 3],
        ]),
      ),
    ).to.deep.equal(
      new Map([
        ['a', 7500],
        ['b', 2500],
      ]),
    );
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import type { FailoverDrain } from '../../../../src/api/failover/failover-drain.ts';
import type { FailoverFacts } from '../../../../src/api/failover/failover-facts.ts';
import type { Backend } from '../../../../src/policy/failover/backend.ts';
import {
  type DrainFacts,
  drainEffects,
  drainFindings,
} from '../../../../src/policy/failover/drain-safety.ts';
import { DEFAULT_POLICY } from '../../../../src/policy/failover/failover-policy.ts';
import { HEALTHY } from '../../../support/group-objects.ts';

const NOW = Date.UTC(2026, 10, 29, 14);
const MINUTE = 60_000;

const DRAIN: FailoverDrain = {
  to: 0,
  start: NOW,
  rampMs: 5 * MINUTE,
  until: NOW + 120 * MINUTE,
  drill: false,
};
const facts = (ready: number, more: Partial<FailoverFacts> = {}): FailoverFacts => ({
  ...HEALTHY,
  ready,
  lastWord: NOW,
  ...more,
});
const backend = (name: string, its: FailoverFacts | undefined, more: Partial<Backend> = {}): Backend => ({
  name,
  tier: 0,
  facts: its,
  ...more,
});
const service = (name: string, backends: readonly Backend[]) => ({
  name,
  group: { backends, policy: DEFAULT_POLICY, placement: { places: [], unknown: [], leftOut: [] } },
});
const asked = (backends: readonly Backend[], more: Partial<DrainFacts> = {}): DrainFacts => ({
  cluster: 'west',
  drain: DRAIN,
  services: [service('shop/web', backends)],
  clusters: ['local', 'west', 'north'],
  drained: new Set(),
  now: NOW,
  ...more,
});
const codes = (given: DrainFacts) => drainFindings(given).map(({ code }) => code);
const west = (more: Partial<Backend> = {}) => backend('west', facts(10), more);

// Whoever drained a cluster that nobody could replace was told so by failing requests.
describe('the safety rule of drains', () => {
  it('lets a cluster go that others can replace', () => {
    const given = asked([west(), backend('north', facts(10), { tier: 1 })]);
    expect(codes(given)).to.deep.equal([]);
    expect(drainEffects(given)).to.deep.equal([
      { service: 'shop/web', share: 1, shareThen: 0, capacityBefore: 2, capacityAfter: 1, sole: false },
    ]);
  });

  it('keeps the only one that serves', () => {
    const [finding] = drainFindings(asked([west()]));
    expect(finding).to.deep.equal({
      check: 'sole-backend',
      code: 'DRAIN_SOLE_BACKEND',
      message: 'nobody but west can serve shop/web',
      services: ['shop/web'],
    });
  });

  for (const [why, other] of [
    ['is dead', facts(10, { path: 'dead', usableSince: null })],
    ['has no ready endpoint', facts(0, { usableSince: null })],
    ['has fewer than the minimum', facts(1, { usableSince: null })],
  ] as const)
    it(`keeps one whose only sibling ${why}`, () => {
      expect(codes(asked([west(), backend('north', other)]))).to.deep.equal(['DRAIN_SOLE_BACKEND']);
    });

  it('keeps one without which there is too little', () => {
    const [finding] = drainFindings(asked([west(), backend('north', facts(5), { tier: 1 })]));
    expect(finding).to.deep.include({
      check: 'capacity',
      code: 'DRAIN_CAPACITY',
      message: 'without west capacity would be short: shop/web (70% of what is asked)',
    });
  });

  it('takes into account what is to be left', () => {
    const backends = [west(), backend('north', facts(5), { tier: 1 })];
    expect(codes(asked(backends, { drain: { ...DRAIN, to: 0.4 } }))).to.deep.equal([]);
    expect(codes(asked([west()], { drain: { ...DRAIN, to: 0.75 } }))).to.deep.equal(['DRAIN_CAPACITY']);
  });

  it('counts other drains as if they had come to their end', () => {
    const north = backend('north', facts(10), { tier: 1, drains: [DRAIN] });
    // Its ramp has only begun.
    expect(codes(asked([west(), north]))).to.deep.equal(['DRAIN_SOLE_BACKEND']);
    const over = backend('north', facts(10), { tier: 1, drains: [{ ...DRAIN, until: NOW }] });
    expect(codes(asked([west(), over]))).to.deep.equal([]);
  });

  it('counts a drain of the same cluster as replaced', () => {
    expect(codes(asked([west({ drains: [{ ...DRAIN, start: 0 }] })]))).to.deep.equal(['DRAIN_SOLE_BACKEND']);
  });

  it('has nothing against a drain that makes no difference', () => {
    const short = [west({ facts: facts(0, { usableSince: null }) }), backend('north', facts(5))];
    expect(codes(asked(short))).to.deep.equal([]);
    expect(codes(asked([west({ weight: 0 }), backend('north', facts(1), { weight: 1 })]))).to.deep.equal([]);
    expect(codes(asked([backend('north', facts(10))]))).to.deep.equal([]);
  });

  it('keeps more than half of the clusters', () => {
    const backends = [west(), backend('north', facts(10), { tier: 1 }), backend('local', facts(10))];
    expect(codes(asked(backends, { drained: new Set(['north']) }))).to.deep.equal(['DRAIN_TOO_MANY']);
    expect(codes(asked(backends, { drained: new Set(['west']) }))).to.deep.equal([]);
    expect(codes(asked(backends, { clusters: ['local', 'west'] }))).to.deep.equal([]);
    const [finding] = drainFindings(asked(backends, { drained: new Set(['north']) }));
    expect(finding?.message).to.equal('2 of 3 clusters would be drained, north being drained already');
  });

  describe('with a backend whose endpoints nobody knows', () => {
    const exact = (backends: readonly Backend[], more: Partial<DrainFacts> = {}): DrainFacts => {
      const { name, group } = service('shop/checkout', backends);
      return asked([], { services: [{ name, group: { ...group, weighing: 'exact' } }], ...more });
    };
    const unknown = (name: string, weight?: number, tier = 0) =>
      backend(name, undefined, weight === undefined ? { tier } : { weight, tier });
    const known = (name: string, ready: number, weight?: number, tier = 0) =>
      backend(name, facts(ready), weight === undefined ? { tier } : { weight, tier });

    // It counted as one endpoint: a canary to another cluster could be drained whatever the others were able
    // to bear, and what stood beside one could not though it had nearly nothing to take over.
    it('reckons it by its share', () => {
      expect(codes(exact([known('north', 10, 90), unknown('west', 10)]))).to.deep.equal([]);
      expect(codes(exact([known('north', 10, 50), unknown('west', 50)]))).to.deep.equal(['DRAIN_CAPACITY']);
      expect(codes(exact([unknown('north', 90), known('west', 1, 10)]))).to.deep.equal([]);
      expect(codes(exact([unknown('north', 10), known('west', 10, 90)]))).to.deep.equal(['DRAIN_CAPACITY']);
      expect(codes(exact([unknown('north', 90), unknown('west', 10)]))).to.deep.equal([]);
      expect(codes(exact([unknown('north', 50), unknown('west', 50)]))).to.deep.equal(['DRAIN_CAPACITY']);
    });

    it('takes one that has no requests for one that can bear none, and says so', () => {
      const [finding, ...others] = drainFindings(asked([west(), unknown('north', undefined, 1)]));
      expect(others).to.deep.equal([]);
      expect(finding?.message).to.equal(
        'without west capacity would be short: shop/web (0% of what is asked, as far as is known: nobody has said how many endpoints there are of north)',
      );
      const enough = [west(), known('south', 10, undefined, 1), unknown('north', undefined, 2)];
      expect(codes(asked(enough))).to.deep.equal([]);
    });

    it('does not take endpoints that were never asked for enough where one like it has all requests', () => {
      const given = asked([unknown('west'), known('north', 5, undefined, 1)]);
      expect(codes(given)).to.deep.equal(['DRAIN_CAPACITY']);
      expect(drainEffects(given)[0]).to.deep.include({ capacityAfter: 0, unknown: ['west'], sole: false });
    });

    it('believes what the policy expects of it', () => {
      const { name, group } = service('shop/web', [west(), unknown('north', undefined, 1)]);
      const policy = { ...DEFAULT_POLICY, expected: new Map([['north', 10]]) };
      const given = asked([], { services: [{ name, group: { ...group, policy } }] });
      expect(codes(given)).to.deep.equal([]);
    });

    it('says nothing of it where nothing is moved', () => {
      const given = asked([unknown('north', undefined, 0), known('west', 10, undefined, 1)]);
      expect(drainEffects(given)[0]).not.to.have.property('unknown');
      expect(codes(given)).to.deep.equal([]);
    });
  });

  it('lists all Services, and each reason by itself', () => {
    const findings = drainFindings(
      asked([], {
        services: [
          service('shop/a', [west()]),
          service('shop/b', [west(), backend('north', facts(5), { tier: 1 })]),
          service('shop/c', [west(), backend('north', facts(10), { tier: 1 })]),
          service('shop/d', [west()]),
        ],
      }),
    );
    expect(findings.map(({ code, services }) => [code, services])).to.deep.equal([
      ['DRAIN_SOLE_BACKEND', ['shop/a', 'shop/d']],
      ['DRAIN_CAPACITY', ['shop/b']],
    ]);
  });

  it('never lets a drain through by which requests lose what they have', () => {
    const some = fc.record({
      tier: fc.nat(1),
      ready: fc.nat(12),
      path: fc.constantFrom<FailoverFacts['path'][]>('alive', 'alive', 'dead', 'unknown'),
      flaps: fc.constantFrom(0, 0, 1, 3),
    });
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 4 }), fc.constantFrom(0, 0.5), (others, to) => {
        const backends = others.map(({ tier, ready, path, flaps }, at) =>
          backend(at === 0 ? 'west' : `c${at}`, facts(ready, { path, flaps, usableSince: NOW }), { tier }),
        );
        const given = asked(backends, { drain: { ...DRAIN, to } });
        if (drainFindings(given).length > 0) return;
        for (const { capacityBefore, capacityAfter } of drainEffects(given))
          expect(capacityAfter).to.be.at.least(Math.min(1, capacityBefore) - 1e-6);
      }),
    );
  });
});

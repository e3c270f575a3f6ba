import { expect } from 'chai';
import { divisionOf, drawsOf } from '../../../../src/egress/shares/division.ts';
import { decide } from '../../../../src/policy/failover/decide.ts';
import { DEFAULT_POLICY } from '../../../../src/policy/failover/failover-policy.ts';
import type { Backend } from '../../../../src/policy/failover/backend.ts';
import { HEALTHY } from '../../../support/group-objects.ts';

const NOW = Date.UTC(2026, 0, 1);
const backend = (name: string, tier: number, change: Partial<Backend> = {}): Backend => ({
  name,
  tier,
  facts: HEALTHY,
  ...change,
});
const drawn = (backends: readonly Backend[], names = backends.map(({ name }) => name)) =>
  drawsOf(divisionOf(decide(backends, DEFAULT_POLICY, NOW)), names);
const gone = { ...HEALTHY, path: 'dead', usableSince: null, flaps: 1 } as const;

describe('how backends of a group are drawn', () => {
  it('those without a share are in the order in which they would be chosen if the others were gone', () => {
    const drain = { to: 0, start: 0, rampMs: 0, until: NOW + 1000, drill: false };
    const { draws } = drawn([
      backend('empty', 0, { facts: { ...HEALTHY, ready: 0, usableSince: null } }),
      backend('few', 0, { facts: { ...HEALTHY, ready: 1, usableSince: null } }),
      backend('dead', 0, { facts: gone }),
      backend('drained', 0, { drains: [drain] }),
      backend('held', 0, { facts: { ...HEALTHY, usableSince: NOW - 1000, flaps: 2 } }),
      backend('serving', 1, { facts: { ...HEALTHY, ready: 50, known: 50, expected: 50 } }),
      backend('standby', 2),
    ]);
    const order = [...draws].sort(([, a], [, b]) => a.order - b.order).map(([name]) => name);
    expect(order).to.deep.equal(['serving', 'standby', 'held', 'drained', 'few', 'dead', 'empty']);
    expect(draws.get('serving')?.share).to.equal(10_000);
  });

  it('those of weight 0, and those that are no members, never', () => {
    const { draws } = drawn(
      [backend('west', 0, { weight: 0 }), backend('north', 0, { weight: 1 })],
      ['west', 'north', 'other'],
    );
    expect([...draws.keys()]).to.deep.equal(['north']);
  });

  it('all are equal where nothing is decided about any of them', () => {
    for (const { draws, refused } of [drawsOf(undefined, ['west', 'north']), drawn([], ['west', 'north'])]) {
      expect([...draws.values()].map(({ share }) => share)).to.deep.equal([1, 1]);
      expect(refused).to.equal(0);
    }
  });

  it('the part that nobody may get is refused', () => {
    const policy = { ...DEFAULT_POLICY, maxShare: new Map([['west', 4000]]) };
    const { draws, refused } = drawsOf(divisionOf(decide([backend('west', 0)], policy, NOW)), ['west']);
    expect([draws.get('west')?.share, refused]).to.deep.equal([4000, 0.6]);
  });
});

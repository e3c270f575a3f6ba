import { expect } from 'chai';
import {
  type FactsState,
  foldFacts,
  nextFactsAt,
  publishAt,
  publishedFacts,
  resumedFacts,
} from '../../../../src/policy/failover/facts-fold.ts';
import { DEFAULT_POLICY } from '../../../../src/policy/failover/failover-policy.ts';
import { backAt } from '../../../../src/policy/failover/readiness.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const TRUE_TIME = Date.UTC(2026, 10, 29, 14);
/** The clock was an hour fast, and is set right. */
const FAST = TRUE_TIME + HOUR;

const fold = (state: FactsState | undefined, ready: number, now: number) =>
  foldFacts(state, { path: 'alive', ready, known: 10 }, DEFAULT_POLICY, now);

// A member that had come back while the clock was an hour fast was held for an hour more; changes that were
// not urgent were not written in that hour.
describe('facts about a member when the clock is set back by an hour', () => {
  it('begin its hold and its ramp no later than now', () => {
    let state = fold(undefined, 10, FAST);
    for (const ready of [0, 10, 0, 10]) state = fold(state, ready, FAST);
    expect(state.facts).to.include({ flaps: 2, usableSince: FAST });
    state = fold(publishedFacts(state, state.facts, FAST), 10, TRUE_TIME);
    expect(state.facts.usableSince).to.equal(TRUE_TIME);
    expect(publishAt(state, TRUE_TIME), 'everybody decides by it').to.equal(TRUE_TIME);
    expect(backAt(state.facts, DEFAULT_POLICY, TRUE_TIME + 2 * MINUTE)).to.equal(1);
  });

  it('of a controller that starts as well', () => {
    const published = { ...fold(undefined, 10, FAST).facts, flaps: 2 };
    const state = fold(resumedFacts(published, TRUE_TIME), 10, TRUE_TIME);
    expect(state.facts.usableSince).to.equal(TRUE_TIME);
  });

  it('are left as they are where clocks differ by a few seconds only', () => {
    const published = fold(undefined, 10, TRUE_TIME + 3 * SECOND).facts;
    const state = fold(resumedFacts(published, TRUE_TIME), 10, TRUE_TIME);
    expect(publishAt(state, TRUE_TIME)).to.equal(undefined);
  });

  it('are written as soon as at other times', () => {
    const first = fold(undefined, 9, FAST);
    const state = fold(publishedFacts(first, first.facts, FAST), 10, TRUE_TIME);
    expect(publishAt(state, TRUE_TIME)).to.be.at.most(TRUE_TIME + 5 * SECOND);
  });

  it('expect as many endpoints for no longer', () => {
    let state = fold(fold(undefined, 10, FAST), 5, FAST);
    expect(state.facts.expected).to.equal(10);
    for (let now = TRUE_TIME; now < TRUE_TIME + 25 * MINUTE; now += MINUTE) state = fold(state, 5, now);
    expect(state.facts.expected).to.equal(5);
    expect(nextFactsAt(state, DEFAULT_POLICY, TRUE_TIME + 25 * MINUTE)).to.equal(undefined);
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import type { FailoverDrain } from '../../../../src/api/failover/failover-drain.ts';
import { askedTogether, askingOf, believedDrain } from '../../../../src/policy/failover/asked-drain.ts';
import { drainLevel } from '../../../../src/policy/failover/readiness.ts';

const NOW = Date.UTC(2026, 10, 29, 14);
const MINUTE = 60_000;
const drain = (more: Partial<FailoverDrain> = {}): FailoverDrain => ({
  to: 0,
  start: NOW,
  rampMs: 5 * MINUTE,
  until: NOW + 120 * MINUTE,
  drill: false,
  ...more,
});

describe('a drain that a gateway asks for', () => {
  it('is believed as it is said, and again when nothing is new', () => {
    const said = drain();
    expect(believedDrain(undefined, said, NOW)).to.equal(said);
    expect(believedDrain(said, { ...said }, NOW + MINUTE)).to.equal(said);
    expect(believedDrain(undefined, undefined, NOW)).to.equal(undefined);
    expect(believedDrain(undefined, drain({ start: 0, until: NOW - 60 * MINUTE }), NOW)).to.equal(undefined);
  });

  it('goes back over its ramp when it is said no more', () => {
    const said = drain();
    const ended = believedDrain(said, undefined, NOW + 10 * MINUTE);
    expect(ended).to.deep.equal(drain({ until: NOW + 10 * MINUTE }));
    expect(believedDrain(ended, undefined, NOW + 11 * MINUTE)).to.equal(ended);
    expect(believedDrain(ended, undefined, NOW + 15 * MINUTE)).to.equal(undefined);
    expect(believedDrain(ended, said, NOW + 11 * MINUTE)).to.equal(said);
  });

  it('never makes the share jump up by a word that is missing', () => {
    const ramp = fc.constantFrom(1000, 5 * MINUTE);
    fc.assert(
      fc.property(fc.nat(20 * MINUTE), ramp, fc.nat(20 * MINUTE), (age, rampMs, now) => {
        const before = drain({ start: NOW - age, rampMs });
        const at = NOW + now;
        const after = believedDrain(before, undefined, at);
        if (after !== undefined) expect(drainLevel(after, at)).to.be.closeTo(drainLevel(before, at), 1e-9);
        else expect(drainLevel(before, at)).to.equal(1);
      }),
    );
  });

  it('is what any address asks for, and the last word where several do', () => {
    const [early, late] = [drain({ start: NOW - MINUTE }), drain()];
    expect(askedTogether([undefined, early, late, undefined])).to.equal(late);
    expect(askedTogether([late, early])).to.equal(late);
    expect(askedTogether([undefined])).to.equal(undefined);
    const ended = { ...late, until: NOW + MINUTE };
    expect(askedTogether([late, ended])).to.equal(ended);
    expect(askedTogether([ended, late])).to.equal(ended);
  });

  it('is said for as long as it does something, and is over when nothing is left', () => {
    expect(askingOf(undefined, NOW)).to.deep.equal({ asks: false, over: false });
    expect(askingOf(drain(), NOW)).to.deep.equal({ asks: true, over: false });
    expect(askingOf(drain(), NOW + 5 * MINUTE)).to.deep.equal({ asks: true, over: true });
    expect(askingOf(drain({ to: 0.1 }), NOW + 5 * MINUTE)).to.deep.equal({ asks: true, over: false });
    expect(askingOf(drain(), NOW + 121 * MINUTE)).to.deep.equal({ asks: true, over: false });
    expect(askingOf(drain(), NOW + 125 * MINUTE)).to.deep.equal({ asks: false, over: false });
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import { type FailoverDrain, readDrain, writeDrain } from '../../../../src/api/failover/failover-drain.ts';
import {
  endedDrain,
  isInEffect,
  newDrain,
  pausedDrain,
} from '../../../../src/policy/failover/drain-change.ts';
import { drainLevel, strictestDrain } from '../../../../src/policy/failover/readiness.ts';

const NOW = Date.UTC(2026, 10, 29, 14);
const MINUTE = 60_000;
const WISH = { to: 0, rampMs: 5 * MINUTE, lastsMs: 120 * MINUTE, drill: false };
const drain = (more: Partial<FailoverDrain> = {}): FailoverDrain => ({
  to: 0,
  start: NOW,
  rampMs: 5 * MINUTE,
  until: NOW + 120 * MINUTE,
  drill: false,
  ...more,
});
const part = fc.constantFrom(0, 0.1, 0.25, 0.5, 1);
const ramp = fc.constantFrom(0, 1000, 5 * MINUTE);
const anyDrain = fc.record({
  to: part,
  start: fc.integer({ min: NOW - 10 * MINUTE, max: NOW + MINUTE }),
  rampMs: ramp,
  until: fc.integer({ min: NOW + MINUTE, max: NOW + 30 * MINUTE }),
  drill: fc.boolean(),
});
const moment = fc.integer({ min: NOW, max: NOW + MINUTE - 1 });

// A drain could be read and was honoured, and nobody could begin, end or change one.
describe('a drain that is begun, ended or paused', () => {
  it('begins now', () => {
    expect(newDrain({ ...WISH, by: 'ada', reason: 'new nodes' }, undefined, NOW)).to.deep.equal(
      drain({ by: 'ada', reason: 'new nodes' }),
    );
  });

  it('goes on from where the one before it is', () => {
    const before = drain({ start: NOW - 2 * MINUTE });
    expect(drainLevel(before, NOW)).to.equal(0.6);
    expect(newDrain(WISH, before, NOW).start).to.equal(NOW - 2 * MINUTE);
    expect(newDrain({ ...WISH, rampMs: 10 * MINUTE }, before, NOW).start).to.equal(NOW - 4 * MINUTE);
    // It has already less than is wanted.
    expect(drainLevel(newDrain({ ...WISH, to: 0.8 }, before, NOW), NOW)).to.equal(0.8);
  });

  it('never makes the share jump, but to where more is to be left', () => {
    fc.assert(
      fc.property(anyDrain, part, ramp, moment, (before, to, rampMs, now) => {
        const level = drainLevel(before, now);
        const next = drainLevel(newDrain({ ...WISH, to, rampMs }, before, now), now);
        const wanted = rampMs === 0 ? to : Math.max(to, level);
        // Beginnings are whole milliseconds.
        expect(next).to.be.closeTo(wanted, 0.002);
      }),
    );
  });

  it('ends once, and gives back what it took from where it was', () => {
    fc.assert(
      fc.property(anyDrain, moment, (before, now) => {
        const after = endedDrain(before, now);
        if (after === undefined) throw new Error('it has not ended before');
        expect(drainLevel(after, now - 1)).to.be.closeTo(drainLevel(before, now - 1), 1e-9);
        expect(drainLevel(after, now + after.rampMs)).to.equal(1);
        expect(isInEffect(after, now + after.rampMs)).to.equal(false);
        expect(endedDrain(after, now)).to.equal(undefined);
      }),
    );
  });

  it('leaves what it left when it was paused', () => {
    fc.assert(
      fc.property(anyDrain, moment, fc.nat(1000), (before, now, more) => {
        const after = pausedDrain(before, now);
        expect(drainLevel(after, now)).to.be.closeTo(Math.max(before.to, drainLevel(before, now)), 1e-9);
        if (now + more < after.until) expect(drainLevel(after, now + more)).to.equal(drainLevel(after, now));
        // It came back at once: where a drain was paused because the others could bear no more, all caches
        // were cold at the same time.
        expect(after.rampMs).to.equal(before.rampMs);
      }),
    );
  });

  it('counts where it is the strictest of several', () => {
    const [half, none] = [drain({ to: 0.5, rampMs: 0 }), drain({ to: 0, start: NOW + MINUTE, rampMs: 0 })];
    expect(strictestDrain([half, none], NOW)).to.deep.equal({ drain: half, level: 0.5 });
    expect(strictestDrain([half, none], NOW + MINUTE)).to.deep.equal({ drain: none, level: 0 });
    expect(strictestDrain([half], NOW - 1)).to.deep.equal({ drain: undefined, level: 1 });
    expect(strictestDrain(undefined, NOW)).to.deep.equal({ drain: undefined, level: 1 });
  });

  // It was written as it had been wished, and read as something else: `--wait` took it for somebody else's,
  // or nobody took it for a drain at all, while it was said to have begun.
  it('is what will be read of it, whatever was wished', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 86_400_000, noNaN: true }),
        fc.double({ min: 1, max: 30 * 86_400_000, noNaN: true }),
        fc.string({ unit: 'binary', maxLength: 400 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (rampMs, more, words, to) => {
          const wish = { to, rampMs, lastsMs: rampMs + more, drill: false, by: words, reason: words };
          const made = newDrain(wish, undefined, NOW);
          expect(readDrain(writeDrain(made))).to.deep.equal(made);
        },
      ),
    );
    const loud = '\u0000'.repeat(200);
    const wish = { to: 0, rampMs: 0.0000001, lastsMs: 1000.5, drill: false, by: loud, reason: loud };
    const made = newDrain(wish, undefined, NOW);
    expect(readDrain(writeDrain(made))).to.deep.equal(made);
    expect(made.reason).to.equal(' '.repeat(200));
  });
});

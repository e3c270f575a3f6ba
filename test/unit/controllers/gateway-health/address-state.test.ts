import { expect } from 'chai';
import fc from 'fast-check';
import {
  type AddressRecord,
  longestDetectionMs,
  newAddress,
  nextAddress,
  probeTimeoutMs,
  type ProbeTiming,
} from '../../../../src/controllers/gateway-health/address-state.ts';
import {
  type ProbeOutcome,
  type ProbeReason,
  probeReasons,
} from '../../../../src/api/reasons/probe-outcome.ts';

const LINK: ProbeTiming = { periodMs: 3000, timeoutMs: 30_000, failureThreshold: 3 };

const answered = (latencyMs = 1): ProbeOutcome => ({ ok: true, latencyMs, via: 'http1' });
const missed = (reason: ProbeReason, latencyMs = 1): ProbeOutcome => ({
  ok: false,
  reason,
  message: 'because',
  latencyMs,
});

/** `+` answered, `r` refused, `t` timed out, `s` another status. */
const OUTCOMES: Readonly<Record<string, ProbeOutcome>> = {
  '+': answered(),
  r: missed('ProbeRefused'),
  t: missed('ProbeTimeout', 2000),
  s: missed('ProbeStatus'),
};

function after(outcomes: string, timing = LINK): AddressRecord {
  let current = newAddress(0);
  for (const sign of outcomes) {
    const outcome = OUTCOMES[sign] ?? answered();
    current = nextAddress({ timing, current, outcome, now: 0, jitter: 0 }).next;
  }
  return current;
}

/**
 * Lives through time as the gateway `at` each moment does: what it answers to a probe that begins then (a
 * probe that it is silent to takes the probe's timeout). Returns when the state became `wanted`.
 */
function timeUntil(options: {
  readonly timing: ProbeTiming;
  readonly current: AddressRecord;
  readonly first: number;
  readonly jitter: number;
  readonly at: (time: number) => ProbeOutcome;
  readonly wanted: string;
}): number {
  let { current, first: time } = options;
  for (let probes = 0; probes < 1000; probes++) {
    const outcome = options.at(time);
    time += outcome.latencyMs;
    const { timing, jitter } = options;
    const { next, delayMs } = nextAddress({ timing, current, outcome, now: time, jitter });
    if (next.state === options.wanted) return time;
    current = next;
    time += delayMs;
  }
  throw new Error(`never became ${options.wanted}`);
}

describe('the state of a gateway address', () => {
  for (const [outcomes, state, why] of [
    ['', 'unknown', 'nothing is known before the first answer'],
    ['+', 'alive', 'one answer is enough'],
    ['r', 'unknown', 'one refusal may be a restart'],
    ['rr', 'dead', 'a port that refuses twice is not there'],
    ['tt', 'unknown', 'silence counts by the threshold'],
    ['ttt', 'dead', 'silence counts by the threshold'],
    ['rsr', 'dead', 'failures of several kinds make up a row'],
    ['rs', 'unknown', 'refusals count in a row only'],
    ['r+r', 'alive', 'an answer ends a row'],
    ['+rr', 'alive', 'two refusals do not undo an answer'],
    ['+rrr', 'dead', 'the threshold does'],
    ['+rt+rt', 'alive', 'an answer starts the count anew'],
    ['+rts', 'dead', 'failures of several kinds make up a row'],
    ['rr+', 'alive', 'back with one answer'],
    ['rr+r', 'alive', 'and then it takes a whole row again'],
    ['rr+rrr', 'dead', 'and then it takes a whole row again'],
  ] as const) {
    it(`is ${state} after "${outcomes}": ${why}`, () => expect(after(outcomes).state).to.equal(state));
  }

  it('takes one failure with a threshold of 1', () => {
    const timing = { ...LINK, failureThreshold: 1 };
    expect([after('r', timing).state, after('+t', timing).state]).to.deep.equal(['dead', 'dead']);
  });

  it('keeps why the last probe failed until one is answered', () => {
    expect(after('+t')).to.include({ state: 'alive', reason: 'ProbeTimeout', message: 'because' });
    expect(after('+t+')).to.include({ reason: undefined, message: '' });
  });

  it('keeps the time of the last change, and of the last outcome', () => {
    const current = { ...newAddress(5), state: 'alive' as const };
    const facts = { timing: LINK, current, outcome: answered(), now: 100, jitter: 0 };
    expect(nextAddress(facts).next).to.include({ since: 5, checked: 100 });
    const dead = { ...current, failures: 2 };
    const verdict = nextAddress({ ...facts, current: dead, outcome: missed('ProbeBroken') });
    expect(verdict.next).to.include({ state: 'dead', since: 100, checked: 100 });
  });
});

describe('when a gateway address is probed', () => {
  for (const [periodMs, timeoutMs, expected] of [
    [3000, 30_000, 2000],
    [3000, 500, 500],
    [60_000, 30_000, 30_000],
    [200, 30_000, 200],
    [3000, 1, 200],
  ] as const) {
    it(`gives a probe ${expected} ms with a period of ${periodMs} and a timeout of ${timeoutMs} ms`, () =>
      expect(probeTimeoutMs({ ...LINK, periodMs, timeoutMs })).to.equal(expected));
  }

  for (const [what, before, outcome, jitter, delayMs] of [
    ['an answer, from the beginning of the probe', 'alive', answered(100), 0, 1400],
    ['an answer, at the end of the jitter', 'alive', answered(0), 1, 1650],
    ['a slow answer', 'alive', answered(1900), 0, 0],
    ['a failure that decides nothing', 'alive', missed('ProbeTimeout', 2000), 0, 250],
    ['a failure when dead', 'dead', missed('ProbeRefused', 0), 0, 1500],
    ['a slow failure when dead', 'dead', missed('ProbeTimeout', 2000), 0, 250],
  ] as const) {
    it(`is ${delayMs} ms after ${what}`, () => {
      const current = { ...newAddress(0), state: before, failures: before === 'dead' ? 3 : 0 };
      const verdict = nextAddress({ timing: LINK, current, outcome, now: 0, jitter });
      expect(verdict.delayMs).to.be.closeTo(delayMs, 0.001);
    });
  }
});

// The promise to users: refused within 3 s, silent within 10 s, back within one period, with a Link's
// defaults and at the worst moment.
describe("the worst cases with a Link's defaults", () => {
  const silent = missed('ProbeTimeout', probeTimeoutMs(LINK));
  /** The gateway dies right after it has answered a probe; the jitter is as long as it gets. */
  const dies = (outcome: ProbeOutcome) => {
    const facts = { timing: LINK, current: after('+'), outcome: answered(0), now: 0, jitter: 1 };
    const { next, delayMs } = nextAddress(facts);
    return timeUntil({
      timing: LINK,
      current: next,
      first: delayMs,
      jitter: 1,
      at: () => outcome,
      wanted: 'dead',
    });
  };

  it('is dead 2.15 s after connections are refused', () =>
    expect(dies(missed('ProbeRefused', 0))).to.be.closeTo(2150, 0.001));

  it('is dead 8.15 s after it has become silent', () => expect(dies(silent)).to.be.closeTo(8150, 0.001));

  it('is dead 8.15 s after it has become silent when its answers were slow', () => {
    const facts = { timing: LINK, current: after('+'), outcome: answered(1999), now: 0, jitter: 1 };
    const { next: current, delayMs: first } = nextAddress(facts);
    const time = timeUntil({ timing: LINK, current, first, jitter: 1, at: () => silent, wanted: 'dead' });
    expect(time).to.be.at.most(8150);
  });

  it('says so in longestDetectionMs', () => {
    expect(longestDetectionMs(LINK, 0)).to.be.closeTo(2150, 0.001);
    expect(longestDetectionMs(LINK, 2000)).to.be.closeTo(8150, 0.001);
  });

  for (const [what, outcome] of [
    ['refused', missed('ProbeRefused', 0)],
    ['silent', silent],
  ] as const) {
    it(`is alive within a period after it was ${what}, whenever it comes back`, () => {
      for (let back = 0; back < 10_000; back += 7) {
        const at = (time: number) => (time < back ? outcome : answered(1));
        const time = timeUntil({
          timing: LINK,
          current: after('rrr'),
          first: 0,
          jitter: 1,
          at,
          wanted: 'alive',
        });
        expect(time - back).to.be.at.most(3000);
      }
    });
  }
});

describe('the state of a gateway address, whatever happens', () => {
  const reasons = Object.keys(probeReasons) as ProbeReason[];
  const outcomes = fc.array(
    fc.oneof(
      fc.nat(5000).map((latencyMs) => answered(latencyMs)),
      fc
        .record({ reason: fc.constantFrom(...reasons), latencyMs: fc.nat(5000) })
        .map(({ reason, latencyMs }) => missed(reason, latencyMs)),
    ),
    { maxLength: 60 },
  );
  const timings = fc.record({
    periodMs: fc.integer({ min: 1, max: 120_000 }),
    timeoutMs: fc.integer({ min: 1, max: 60_000 }),
    failureThreshold: fc.integer({ min: 1, max: 10 }),
  });
  const jitters = fc.double({ min: 0, max: 0.999, noNaN: true });

  it('is alive only with an answer within the last failures, and dead only without', () => {
    fc.assert(
      fc.property(timings, outcomes, jitters, (timing, outcomes, jitter) => {
        let current = newAddress(0);
        let row = 0;
        for (const outcome of outcomes) {
          const before = current.state;
          current = nextAddress({ timing, current, outcome, now: 0, jitter }).next;
          row = outcome.ok ? 0 : row + 1;
          if (outcome.ok) expect(current.state).to.equal('alive');
          else if (before === 'alive')
            expect(current.state).to.equal(row >= timing.failureThreshold ? 'dead' : 'alive');
          else expect(current.state).to.not.equal('alive');
          if (row >= timing.failureThreshold) expect(current.state).to.equal('dead');
        }
      }),
    );
  });

  it('always has a next probe: not at once after a failure, and not later than the pace', () => {
    fc.assert(
      fc.property(timings, outcomes, jitters, (timing, outcomes, jitter) => {
        let current = newAddress(0);
        for (const outcome of outcomes) {
          const { next, delayMs } = nextAddress({ timing, current, outcome, now: 0, jitter });
          current = next;
          expect(delayMs).to.be.at.least(outcome.ok ? 0 : 250);
          expect(delayMs).to.be.at.most(Math.max(250, timing.periodMs * 0.55));
        }
      }),
    );
  });

  it('is dead within longestDetectionMs of its last answer', () => {
    fc.assert(
      fc.property(timings, jitters, fc.double({ min: 0, max: 1, noNaN: true }), (timing, jitter, share) => {
        const failure = missed('ProbeTimeout', share * probeTimeoutMs(timing));
        const facts = { timing, current: newAddress(0), outcome: answered(0), now: 0, jitter };
        const { next: current, delayMs: first } = nextAddress(facts);
        const time = timeUntil({ timing, current, first, jitter, at: () => failure, wanted: 'dead' });
        expect(time).to.be.at.most(longestDetectionMs(timing, failure.latencyMs) + 0.001);
      }),
    );
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import type { FailoverFacts } from '../../../../src/api/failover/failover-facts.ts';
import type { Backend } from '../../../../src/policy/failover/backend.ts';
import { decide } from '../../../../src/policy/failover/decide.ts';
import {
  type FactsState,
  foldFacts,
  nextFactsAt,
  publishAt,
  publishedFacts,
  resumedFacts,
  type Sighting,
} from '../../../../src/policy/failover/facts-fold.ts';
import { DEFAULT_POLICY } from '../../../../src/policy/failover/failover-policy.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const START = Date.UTC(2026, 10, 29, 14);

/** A member as its peer sees it, and what everybody is told, in seconds from the start. */
class Peer {
  state: FactsState | undefined;
  now = START;
  /** When something was published, milliseconds from the start. */
  readonly writes: number[] = [];

  /** Lives until then, and publishes when it is due. */
  at(ms: number, seen: Sighting = {}): FailoverFacts {
    for (;;) {
      const next = Math.min(this.#due() ?? Infinity, this.#changes() ?? Infinity);
      if (next > START + ms) break;
      this.now = Math.max(this.now, next);
      this.state = foldFacts(this.state, {}, DEFAULT_POLICY, this.now);
      this.#publish();
    }
    this.now = START + ms;
    this.state = foldFacts(this.state, seen, DEFAULT_POLICY, this.now);
    this.#publish();
    return this.state.facts;
  }

  get facts(): FailoverFacts {
    if (this.state === undefined) throw new Error('nothing was seen yet');
    return this.state.facts;
  }

  #due(): number | undefined {
    return this.state === undefined ? undefined : publishAt(this.state, this.now);
  }

  #changes(): number | undefined {
    return this.state === undefined ? undefined : nextFactsAt(this.state, DEFAULT_POLICY, this.now);
  }

  #publish(): void {
    const due = this.#due();
    if (this.state === undefined || due === undefined || due > this.now) return;
    this.state = publishedFacts(this.state, this.state.facts, this.now);
    this.writes.push(this.now - START);
  }
}

const up = (ready: number): Sighting => ({ path: 'alive', ready, known: 10 });

describe('facts about a member', () => {
  it('begin without a withdrawal: what was never there does not come back', () => {
    const peer = new Peer();
    expect(peer.at(0)).to.include({ path: 'unknown', ready: 0, usableSince: null, flaps: 0 });
    expect(peer.at(5 * SECOND, up(10))).to.include({
      path: 'alive',
      ready: 10,
      expected: 10,
      usableSince: START + 5 * SECOND,
      flaps: 0,
    });
  });

  it('stay as they are while nothing is heard', () => {
    const peer = new Peer();
    const before = peer.at(0, up(10));
    expect(peer.at(6 * HOUR)).to.deep.equal(before);
  });

  it('count withdrawals, whatever the reason', () => {
    const peer = new Peer();
    peer.at(0, up(10));
    expect(peer.at(SECOND, { path: 'dead' })).to.include({ usableSince: null, flaps: 1, ready: 10 });
    expect(peer.at(2 * SECOND, { ready: 0 })).to.include({ usableSince: null, flaps: 1 });
    expect(peer.at(3 * SECOND, up(10))).to.include({ usableSince: START + 3 * SECOND, flaps: 1 });
    // Below the minimum of 20 %.
    expect(peer.at(4 * SECOND, { ready: 1 })).to.include({ usableSince: null, flaps: 2 });
  });

  // Counted in a window that slides, an outage as long as the window had no withdrawal when it ended.
  it('do not forget a withdrawal while it lasts, or while the member is held', () => {
    const peer = new Peer();
    peer.at(0, up(10));
    peer.at(SECOND, { path: 'dead' });
    expect(peer.at(HOUR, { path: 'alive' }).flaps).to.equal(1);
    // 30 s of hold, 60 s of ramp, then ten minutes of full use.
    expect(peer.at(HOUR + 90 * SECOND + 10 * MINUTE - 1).flaps).to.equal(1);
    expect(peer.at(HOUR + 90 * SECOND + 10 * MINUTE).flaps).to.equal(0);
  });

  describe('expect the most that were ready in the window', () => {
    const scaledDown = () => {
      const peer = new Peer();
      peer.at(0, up(30));
      peer.at(SECOND, up(12));
      return peer;
    };
    for (const [minutes, expected, why] of [
      [5, 30, 'within the window nothing is forgotten'],
      [10, 30, 'to its end'],
      [11, 27, 'then a tenth of it goes each minute'],
      [14, 18, 'as it does until'],
      [16, 12, 'what is ready is all'],
      [60, 12, 'and stays so'],
    ] as const)
      it(`${expected} after ${minutes} min: ${why}`, () => {
        expect(scaledDown().at(minutes * MINUTE + SECOND).expected).to.equal(expected);
      });

    // Nobody has to look while nothing happens: the hour before counts to its end.
    it('from the moment on that fewer are ready, not from when they came', () => {
      const peer = new Peer();
      peer.at(0, up(30));
      expect(peer.at(HOUR, up(12)).expected).to.equal(30);
      expect(peer.at(HOUR + 10 * MINUTE).expected).to.equal(30);
      expect(peer.at(HOUR + 11 * MINUTE).expected).to.equal(27);
      expect(peer.at(2 * HOUR, up(6)).expected).to.equal(12);
      expect(peer.at(2 * HOUR + 11 * MINUTE).expected).to.equal(11);
    });

    it('for another window when they were ready again meanwhile', () => {
      const peer = scaledDown();
      peer.at(9 * MINUTE, up(30));
      peer.at(9 * MINUTE + SECOND, up(12));
      expect(peer.at(19 * MINUTE).expected).to.equal(30);
    });

    it('what is left of it when the member goes meanwhile', () => {
      const peer = scaledDown();
      expect(peer.at(14 * MINUTE + SECOND).expected).to.equal(18);
      peer.at(14 * MINUTE + SECOND, { path: 'dead' });
      expect(peer.at(3 * HOUR).expected).to.equal(18);
      expect(peer.at(3 * HOUR, { path: 'alive' }).expected).to.equal(18);
    });

    it('at once where more are ready', () => {
      expect(scaledDown().at(2 * SECOND, up(40)).expected).to.equal(40);
    });

    it('the same, however often somebody looks', () => {
      const looked = scaledDown();
      for (let ms = 2 * SECOND; ms < 13 * MINUTE; ms += 7 * SECOND) looked.at(ms, up(12));
      expect(looked.at(13 * MINUTE).expected).to.equal(scaledDown().at(13 * MINUTE).expected);
    });

    it('less step by step, each at the moment that is said', () => {
      for (const peak of [3, 7, 10, 29, 97, 1000]) {
        let state = foldFacts(undefined, up(peak), DEFAULT_POLICY, START);
        state = foldFacts(state, up(1), DEFAULT_POLICY, START + SECOND);
        let now = START + SECOND;
        for (let expected = peak - 1; expected >= 1; expected--) {
          now = nextFactsAt(state, DEFAULT_POLICY, now) ?? Number.NaN;
          state = foldFacts(state, {}, DEFAULT_POLICY, now);
          expect(state.facts.expected, `of ${peak}`).to.equal(expected);
        }
      }
    });

    // With a peak that goes on fading, one pod of thirty takes all traffic after a longer outage
    // (cilium#46633).
    it('as long as the member is gone, for a day', () => {
      const peer = new Peer();
      peer.at(0, up(30));
      peer.at(SECOND, up(0));
      expect(peer.at(2 * HOUR, up(1))).to.include({ expected: 30, usableSince: null });
      expect(peer.at(2 * HOUR + 9 * MINUTE, up(6))).to.include({ expected: 30, usableSince: peer.now });
      const gone = new Peer();
      gone.at(0, up(30));
      gone.at(SECOND, up(0));
      expect(gone.at(25 * HOUR).expected).to.equal(0);
      expect(gone.at(25 * HOUR + 1, up(1)).usableSince).to.equal(gone.now);
    });

    it('what is ready at last, where nobody comes back', () => {
      const peer = new Peer();
      peer.at(0, up(30));
      // Scaled down to 5 of 30, which is below the minimum until that is the new number.
      expect(peer.at(SECOND, up(5)).usableSince).to.equal(null);
      expect(peer.at(10 * MINUTE).usableSince).to.equal(null);
      expect(peer.at(20 * MINUTE)).to.include({ expected: 5 });
      expect(peer.facts.usableSince).to.be.a('number');
    });
  });

  it('go on where another peer left off', () => {
    const first = new Peer();
    first.at(0, up(10));
    first.at(SECOND, { path: 'dead' });
    first.at(2 * SECOND, { path: 'alive' });
    const second = new Peer();
    second.state = resumedFacts(first.facts, START + MINUTE);
    expect(second.at(MINUTE, up(10))).to.deep.equal({ ...first.facts, lastWord: START + MINUTE });
    expect(second.writes).to.deep.equal([]);
    expect(second.at(2 * MINUTE, { ready: 0 }).flaps).to.equal(2);
    const third = new Peer();
    third.state = resumedFacts(second.facts, START + 3 * MINUTE);
    expect(third.at(2 * HOUR, up(1))).to.include({ expected: 10, usableSince: null });
  });

  it('follow what somebody says is expected', () => {
    const rules = { ...DEFAULT_POLICY, stated: 30 };
    const state = foldFacts(undefined, up(5), rules, START);
    expect(state.facts).to.include({ expected: 5, usableSince: null });
    expect(foldFacts(state, up(6), rules, START).facts.usableSince).to.equal(START);
  });

  describe('are published', () => {
    it('when the number of those that are not ready is another', () => {
      const peer = new Peer();
      peer.at(0, up(10));
      peer.at(SECOND, { known: 12 });
      peer.at(MINUTE);
      expect(peer.writes).to.deep.equal([0, 5000]);
    });

    it('at once when the path or whether it can be used is another, or a tenth of the endpoints is gone', () => {
      const peer = new Peer();
      peer.at(0, up(20));
      peer.at(100, up(18));
      peer.at(200, { path: 'dead' });
      peer.at(300, { path: 'alive' });
      peer.at(400, up(0));
      expect(peer.writes).to.deep.equal([0, 100, 200, 300, 400]);
    });

    it('every 5 s at most otherwise, and not at all where nothing is new', () => {
      const peer = new Peer();
      peer.at(0, up(20));
      for (let ms = 100; ms <= 12_000; ms += 100) peer.at(ms, up(ms < 12_000 ? 20 + (ms % 300) / 100 : 22));
      expect(peer.writes).to.deep.equal([0, 5000, 10_000]);
      for (let ms = 13_000; ms <= HOUR; ms += 1000) peer.at(ms, up(22));
      expect(peer.writes).to.deep.equal([0, 5000, 10_000, 15_000]);
    });

    it('when time alone changes them', () => {
      const peer = new Peer();
      peer.at(0, up(3));
      peer.at(SECOND, up(2));
      peer.at(HOUR);
      expect(peer.state?.published).to.include({ ready: 2, expected: 2 });
      peer.at(HOUR + SECOND, { path: 'dead' });
      peer.at(HOUR + 2 * SECOND, { path: 'alive' });
      peer.at(2 * HOUR);
      expect(peer.state?.published).to.include({ flaps: 0 });
    });

    it('again until they were written', () => {
      let state = foldFacts(undefined, up(10), DEFAULT_POLICY, START);
      expect(publishAt(state, START)).to.equal(START);
      state = foldFacts(state, {}, DEFAULT_POLICY, START + SECOND);
      expect(publishAt(state, START + SECOND)).to.equal(START + SECOND);
      state = publishedFacts(state, state.facts, START + SECOND);
      expect(publishAt(state, START + SECOND)).to.equal(undefined);
    });

    it('twice in 5 s at most, whatever comes and goes each second', () => {
      const peer = new Peer();
      for (let second = 0; second < 3600; second++) peer.at(second * SECOND, up(second % 2 === 0 ? 10 : 0));
      for (const [at, when] of peer.writes.entries())
        expect(
          peer.writes.filter((other) => other > when - 5000 && other <= when).length,
          `write ${at}`,
        ).to.be.at.most(when < 10 * SECOND ? 4 : 2);
    });
  });

  /**
   * P5: for outages of any length the cluster returns five times in ten minutes at most, never within its
   * hold, and its share grows no faster than its ramp.
   */
  it('keep a cluster that comes and goes from doing harm (P5)', () => {
    const outages = fc.array(
      fc.record({
        downMs: fc.integer({ min: SECOND, max: 25 * MINUTE }),
        upMs: fc.integer({ min: 200, max: 15 * MINUTE }),
      }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(outages, fc.boolean(), (some, byPath) => {
        const life = new Life(byPath);
        for (const { downMs, upMs } of some) {
          life.live(downMs, false);
          life.live(upMs, true);
        }
        life.live(12 * MINUTE, true);
        expect(life.share).to.equal(10_000);
      }),
      { numRuns: 25 },
    );
  });
});

/** A first tier that comes and goes before a second one that bears everything; looks once a second. */
class Life {
  share = 10_000;
  readonly #peer = new Peer();
  readonly #byPath: boolean;
  readonly #returns: number[] = [];
  #ms = 0;
  #usable = true;
  #backSince = 0;

  constructor(byPath: boolean) {
    this.#byPath = byPath;
    this.#peer.at(0, up(10));
  }

  live(ms: number, usable: boolean): void {
    const end = this.#ms + ms;
    this.#peer.at(this.#ms, this.#byPath ? { path: usable ? 'alive' : 'dead' } : up(usable ? 10 : 0));
    if (usable && !this.#usable) this.#backSince = this.#ms;
    this.#usable = usable;
    for (this.#look(0); this.#ms < end; this.#look(Math.min(SECOND, end - this.#ms))) continue;
  }

  #look(ms: number): void {
    this.#ms += ms;
    this.#peer.at(this.#ms);
    const local: Backend = { name: 'local', tier: 0, facts: this.#peer.facts };
    const healthy = {
      ...this.#peer.facts,
      path: 'alive',
      ready: 10,
      expected: 10,
      usableSince: 0,
      flaps: 0,
    } as const;
    const { backends } = decide(
      [local, { name: 'west', tier: 1, facts: healthy }],
      DEFAULT_POLICY,
      this.#peer.now,
    );
    const { share = 0, holdMs = 0 } = backends[0] ?? {};
    if (share > this.share) this.#checkGrowth(share, ms, holdMs);
    this.share = share;
  }

  #checkGrowth(share: number, ms: number, holdMs: number): void {
    const most = (ms / DEFAULT_POLICY.rampMs) * 10_000 * DEFAULT_POLICY.overprovision;
    expect(share - this.share, 'growth').to.be.at.most(most + 1);
    if (this.share > 0) return;
    expect(holdMs).to.be.at.least(DEFAULT_POLICY.delayMs);
    expect(this.#ms - this.#backSince, 'hold').to.be.at.least(holdMs);
    this.#returns.push(this.#ms);
    const recent = this.#returns.filter((at) => at > this.#ms - 10 * MINUTE);
    expect(recent.length, 'returns in ten minutes').to.be.at.most(5);
  }
}

import { expect } from 'chai';
import fc from 'fast-check';
import { RAPID_MS } from '../../../../src/proxy/http2/flood-protection.ts';
import { StreamAges } from '../../../../src/proxy/http2/stream-ages.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/** Turns that begin when they are told to, so late. */
function turnOf(clock: VirtualClock) {
  let began = clock.monotonic();
  let lag = 0;
  return {
    get began() {
      return began;
    },
    read: () => {},
    lagMs: () => lag,
    late(ms: number) {
      lag = ms;
    },
    next(ms: number) {
      began = clock.monotonic();
      lag = ms;
    },
  };
}

describe('how old a stream is', () => {
  // A reset that is read late is not rapid for that, nor is one that is read in time excused.
  it('counts from when its bytes may have come', async () => {
    const clock = new VirtualClock();
    const turn = turnOf(clock);
    const ages = new StreamAges(() => clock.monotonic(), turn, 10);
    ages.read();
    expect(ages.isRapid(ages.born())).to.equal(true);
    await clock.advance(RAPID_MS);
    turn.next(RAPID_MS);
    ages.read();
    expect(ages.isRapid(ages.born())).to.equal(false);
  });

  it('does not grow while what was read together is dealt with', async () => {
    const clock = new VirtualClock();
    const ages = new StreamAges(() => clock.monotonic(), turnOf(clock), 10);
    ages.read();
    const born = ages.born();
    await clock.advance(100);
    expect(ages.isRapid(born)).to.equal(true);
    ages.read();
    expect(ages.isRapid(born)).to.equal(false);
  });

  // A flood makes us late itself.
  it('is no more than it looks for what the client has sent before in the same turn', async () => {
    const clock = new VirtualClock();
    const turn = turnOf(clock);
    const ages = new StreamAges(() => clock.monotonic(), turn, 10);
    ages.read();
    expect(ages.isRapid(ages.born())).to.equal(true);
    turn.late(RAPID_MS);
    ages.read();
    expect(ages.isRapid(ages.born())).to.equal(true);
  });

  // Else whoever makes us late could reset what it likes.
  it('is excused for no more streams in any time than could have been waited for', async () => {
    const step = fc.record({ ms: fc.integer({ min: 0, max: 10 }), lagMs: fc.integer({ min: 0, max: 200 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
        const MAX = 7;
        const clock = new VirtualClock();
        const turn = turnOf(clock);
        const ages = new StreamAges(() => clock.monotonic(), turn, MAX);
        const start = clock.monotonic();
        let excused = 0;
        for (const { ms, lagMs } of steps) {
          await clock.advance(ms);
          turn.next(lagMs);
          ages.read();
          for (let stream = 0; stream < 3 * MAX; stream++) if (!ages.isRapid(ages.born())) excused++;
        }
        const windows = Math.floor((clock.monotonic() - start) / RAPID_MS) + 1;
        expect(excused).to.be.at.most(windows * MAX);
      }),
      { numRuns: 50 },
    );
  });
});

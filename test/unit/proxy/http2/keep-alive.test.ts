import { expect } from 'chai';
import { KeepAlive } from '../../../../src/proxy/http2/keep-alive.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

// A gateway that fell silent was sent a PING after 2 s and given up 3 s later, even while streams were open.
describe('keep-alive of a connection', () => {
  let clock: VirtualClock;
  let busy: boolean;
  let congested: boolean;
  let unconfirmed: number;
  let asked: number[];
  let dead: number | undefined;
  let start: number;

  const watch = (whileBusy?: { periodMs: number; timeoutMs: number }): KeepAlive => {
    clock = new VirtualClock();
    start = clock.monotonic();
    [busy, congested, unconfirmed, asked, dead] = [false, false, 0, [], undefined];
    return new KeepAlive({
      clock,
      periodMs: 2000,
      timeoutMs: 3000,
      whileBusy,
      busy: () => busy,
      congested: () => congested,
      unconfirmed: () => unconfirmed,
      ask: () => asked.push(clock.monotonic() - start),
      onDead: () => {
        dead = clock.monotonic() - start;
      },
    });
  };
  const isDead = () => dead !== undefined;
  const CLOSELY = { periodMs: 500, timeoutMs: 1000 };
  const begins = (one: KeepAlive) => {
    busy = true;
    one.begins();
  };

  it('asks a peer that is silent, and gives it up when it goes on so', async () => {
    watch(CLOSELY);
    await clock.advance(20_000);
    expect([asked, dead]).to.deep.equal([[2000], 5000]);
  });

  it('is closer while something is in hand, counted from when it began', async () => {
    const one = watch(CLOSELY);
    await clock.advance(1800);
    begins(one);
    await clock.advance(10_000);
    expect([asked, dead]).to.deep.equal([[2300], 3300]);
  });

  it('is no closer where that is not asked for', async () => {
    begins(watch());
    await clock.advance(20_000);
    expect([asked, dead]).to.deep.equal([[2000], 5000]);
  });

  it('doubts a peer that has not answered for longer than a round trip, until it says something', async () => {
    const one = watch(CLOSELY);
    begins(one);
    await clock.advance(700);
    expect(one.doubtful).to.equal(false);
    await clock.advance(100);
    expect(one.doubtful).to.equal(true);
    one.heard();
    await clock.advance(100);
    expect(one.doubtful).to.equal(false);
    expect(dead).to.equal(undefined);
  });

  it('asks again and again a peer that answers and says nothing else, and never gives it up', async () => {
    const one = watch(CLOSELY);
    begins(one);
    for (let tick = 0; tick < 100; tick++) {
      await clock.advance(100);
      if (asked.length > 0 && clock.monotonic() - start === (asked.at(-1) ?? 0) + 100) one.heard();
    }
    expect(dead).to.equal(undefined);
    expect(asked.length).to.be.within(10, 20);
  });

  it('has more patience for an answer that is due when nothing is in hand any more', async () => {
    const one = watch(CLOSELY);
    begins(one);
    await clock.advance(600);
    busy = false;
    await clock.advance(2800);
    expect([asked, dead]).to.deep.equal([[500], undefined]);
    one.heard();
    await clock.advance(100);
    begins(one);
    await clock.advance(400);
    expect([asked, dead]).to.deep.equal([[500], undefined]);
  });

  // Each client went away before the peer was given up, and the next one's request began the watch anew.
  for (const [patienceMs, pauseMs] of [
    [1000, 50],
    [1000, 900],
    [400, 100],
    [50, 450],
  ] as const)
    it(`gives up a dead peer whose clients wait for ${patienceMs} ms each, ${pauseMs} ms apart`, async () => {
      const one = watch(CLOSELY);
      for (let request = 0; request < 100 && !isDead(); request++) {
        begins(one);
        await clock.advance(patienceMs);
        busy = false;
        await clock.advance(pauseMs);
      }
      expect(dead).to.be.within(1500, 5000);
    });

  // Each of fifteen timers came a few milliseconds late, and a black hole was found after 1.7 s in place of
  // 1.5.
  it('finds a dead peer in time although each of its timers is late', async () => {
    const one = watch(CLOSELY);
    const after = clock.after.bind(clock);
    clock.after = (ms, run) => after(ms + 7, run);
    begins(one);
    await clock.advance(5000);
    expect(dead).to.be.within(1500, 1510);
  });

  it('counts a time in which this process did nothing as one look, whatever the clock says', async () => {
    const one = watch(CLOSELY);
    const after = clock.after.bind(clock);
    begins(one);
    await clock.advance(550);
    clock.after = (ms, run) => after(ms + 3000, run);
    await clock.advance(50);
    clock.after = after;
    // The look of 700 ms comes at 3,700, and eight more of ten are left.
    await clock.advance(3100 + 8 * 100 - 60);
    expect([asked, dead]).to.deep.equal([[500], undefined]);
    await clock.advance(100);
    expect(dead).to.equal(3700 + 50 + 7 * 100);
  });

  // Uploads over a slow line were cut after 1.5 s: the PING waits behind what was sent before.
  it('takes it for an answer that bytes go out for which there was no room', async () => {
    const one = watch(CLOSELY);
    begins(one);
    congested = true;
    for (let count = 0; count < 50; count++) {
      await clock.advance(900);
      one.drained();
    }
    expect(dead).to.equal(undefined);
    await clock.advance(1600);
    expect(dead).to.be.a('number');
  });

  it('does not where there was room: that only the kernel has taken them says nothing of the peer', async () => {
    const one = watch(CLOSELY);
    begins(one);
    for (let count = 0; count < 50 && !isDead(); count++) {
      await clock.advance(150);
      congested = true;
      congested = false;
      one.drained();
    }
    expect(dead).to.equal(1500);
  });

  for (const [bytes, atMs] of [
    [20_000, 1700],
    [256_000, 3500],
    [10_000_000, 7000],
  ] as const)
    it(`has patience for ${bytes} bytes that may still be on their way: ${atMs} ms`, async () => {
      const one = watch(CLOSELY);
      begins(one);
      unconfirmed = bytes;
      await clock.advance(10_000);
      expect([asked, dead]).to.deep.equal([[500], atMs]);
    });
});

import { expect } from 'chai';
import type { FailoverDrain } from '../../../src/api/failover/failover-drain.ts';
import { waitForDrain } from '../../../src/drains/drain-wait.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const clock = new VirtualClock();
const SEEN = { trouble: undefined, unseen: undefined };
const calm = {
  sight: () => Promise.resolve(SEEN),
  onBlind: () => expect.fail('somebody sees'),
  pause: () => Promise.resolve(0),
};
const drain = (): FailoverDrain => ({
  to: 0,
  start: clock.now(),
  rampMs: 2500,
  until: clock.now() + 60_000,
  drill: false,
});

describe('waiting for a drain', () => {
  it('ends with its ramp', async () => {
    const wanted = drain();
    const left: number[] = [];
    let done = false;
    const look = () => Promise.resolve({ drain: { ...wanted }, now: clock.now() });
    const waiting = waitForDrain(wanted, { ...calm, look, clock, onLook: (ms) => left.push(ms) });
    void waiting.then(() => (done = true));
    for (let step = 0; step < 24; step++) {
      await settle();
      await clock.advance(100);
    }
    expect(done).to.equal(false);
    await clock.advance(200);
    await waiting;
    expect(left).to.deep.equal([2500, 1500, 500]);
  });

  it('pauses it when something is wrong with what clients get, once', async () => {
    const wanted = drain();
    const look = () => Promise.resolve({ drain: wanted, now: clock.now() });
    const paused: string[] = [];
    const error = await waitForDrain(wanted, {
      look,
      clock,
      ...calm,
      onLook: () => undefined,
      sight: () => Promise.resolve({ ...SEEN, trouble: 'shop/web: 3% of responses are failures' }),
      pause: (why) => {
        paused.push(why);
        return Promise.resolve(0.4321);
      },
    }).catch((one: unknown) => one);
    expect(paused).to.deep.equal(['shop/web: 3% of responses are failures']);
    expect(error).to.have.property('code', 'DRAIN_PAUSED');
    expect(error)
      .to.have.property('message')
      .that.contains('43.2% of its share are left to it: shop/web: 3%');
  });

  // It went on and was said to be done, while nobody could have known whether anything failed.
  describe('while no egress pod answers', () => {
    /** Waits, with what is seen after so many milliseconds. */
    const begin = (rampMs: number, unseen: (ms: number) => string | undefined) => {
      const wanted = { ...drain(), rampMs };
      const { start } = wanted;
      const blind: string[] = [];
      let outcome: unknown = 'waiting';
      void waitForDrain(wanted, {
        ...calm,
        clock,
        look: () => Promise.resolve({ drain: wanted, now: clock.now() }),
        onLook: () => undefined,
        sight: () => Promise.resolve({ ...SEEN, unseen: unseen(clock.now() - start) }),
        onBlind: ({ code, message }) => void blind.push(`${code}: ${message}`),
      }).then(
        () => (outcome = 'done'),
        (error: unknown) => (outcome = error),
      );
      const after = async (ms: number) => {
        for (let at = 0; at < ms; at += 100) {
          await settle();
          await clock.advance(100);
        }
        await settle();
        return { blind, outcome };
      };
      return after;
    };

    it('says so once, and is not done when the ramp is over', async () => {
      const after = begin(20_000, () => 'pod-a: timeout');
      expect(await after(4900)).to.deep.equal({ blind: [], outcome: 'waiting' });
      const said = 'DRAIN_BLIND: for 5 s nothing was seen of what clients get: pod-a: timeout';
      expect(await after(14_000)).to.deep.equal({ blind: [said], outcome: 'waiting' });
      const { blind, outcome } = await after(2000);
      expect(blind).to.have.length(1);
      expect(outcome).to.have.property('code', 'DRAIN_BLIND');
      expect(outcome).to.have.property('message').that.contains('for 20 s nothing was seen');
    });

    it('looks for a while even without a ramp', async () => {
      const after = begin(0, () => 'there is no egress pod');
      expect(await after(4900)).to.include({ outcome: 'waiting' });
      expect((await after(500)).outcome).to.have.property('code', 'DRAIN_BLIND');
    });

    it('is done as soon as somebody sees again, and says it anew of the next time', async () => {
      const after = begin(20_000, (ms) => (ms < 8000 || ms >= 9500 ? 'pod-a: timeout' : undefined));
      expect((await after(17_000)).blind).to.have.length(2);
      const end = begin(2000, (ms) => (ms < 4000 ? 'pod-a: timeout' : undefined));
      expect((await end(3900)).outcome).to.equal('waiting');
      expect(await end(1000)).to.deep.equal({ blind: [], outcome: 'done' });
      expect((await after(6000)).outcome).to.have.property('code', 'DRAIN_BLIND');
    });
  });

  it('ends when somebody else changes it', async () => {
    const wanted = drain();
    const others = [undefined, { ...wanted, until: clock.now() }];
    for (const other of others) {
      const look = () => Promise.resolve({ drain: other, now: clock.now() });
      const error = await waitForDrain(wanted, { ...calm, look, clock, onLook: () => undefined }).catch(
        (one: unknown) => one,
      );
      expect(error).to.have.property('code', 'DRAIN_CHANGED');
    }
  });
});

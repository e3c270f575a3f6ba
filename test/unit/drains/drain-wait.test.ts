import { expect } from 'chai';
import type { FailoverDrain } from '../../../src/api/failover/failover-drain.ts';
import { waitForDrain } from '../../../src/drains/drain-wait.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const clock = new VirtualClock();
const calm = { trouble: () => Promise.resolve(undefined), pause: () => Promise.resolve(0) };
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
      onLook: () => undefined,
      trouble: () => Promise.resolve('shop/web: 3% of responses are failures'),
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

import { expect } from 'chai';
import { PacedWork } from '../../../../src/egress/routes/paced-work.ts';
import { settle } from '../../../support/virtual-clock.ts';
import { WorkingClock } from '../../../support/working-clock.ts';

describe('work that many changes ask for', () => {
  let clock: WorkingClock;
  let work: PacedWork;
  let done: number;
  let isPaced: boolean;
  /** How long it takes, milliseconds. */
  let price: number;

  beforeEach(() => {
    clock = new WorkingClock();
    done = 0;
    isPaced = true;
    price = 50;
    work = new PacedWork({
      clock,
      isPaced: () => isPaced,
      work: () => {
        done++;
        clock.work(price);
      },
    });
  });
  afterEach(() => {
    work.stop();
    expect(clock.pending).to.equal(0);
  });

  /** Something changes each millisecond. */
  const storm = async (ms: number, isUrgent = false) => {
    for (let at = 0; at < ms; at++) {
      work.soon(isUrgent);
      await clock.advance(1);
    }
  };

  it('is done once for the changes of one turn, and at once', async () => {
    for (let n = 0; n < 100; n++) work.soon();
    expect(done).to.equal(0);
    await settle();
    expect(done).to.equal(1);
    work.soon();
    await settle();
    expect(done).to.equal(2);
  });

  it('takes a tenth of the time however often it is asked for, and the last change counts', async () => {
    await storm(2000);
    // What may be done at once is half a second.
    expect(done).to.be.at.least(10);
    const [before, begun] = [done, clock.monotonic()];
    await storm(10_000);
    expect(((done - before) * price) / (clock.monotonic() - begun)).to.be.within(0.09, 0.105);
    const asked = done;
    work.soon();
    await clock.advance(5000);
    expect(done).to.equal(asked + 1);
    // Nobody asks: it is not done for nothing, and then it need not wait.
    await clock.advance(60_000);
    expect(done).to.equal(asked + 1);
    work.soon();
    await settle();
    expect(done).to.equal(asked + 2);
  });

  it('waits a while at most, whatever it costs', async () => {
    price = 60_000;
    work.soon();
    await settle();
    work.soon();
    await clock.advance(4999);
    expect(done).to.equal(1);
    await clock.advance(1);
    expect(done).to.equal(2);
  });

  it('does not wait where it cannot, which serves those who do', async () => {
    await storm(2000);
    const before = done;
    work.soon();
    work.soon(true);
    await settle();
    expect(done).to.equal(before + 1);
    // It was for all, and is paid for.
    await clock.advance(450);
    expect(done).to.equal(before + 1);
  });

  it('does not wait before it has to, and begins without debts then', async () => {
    isPaced = false;
    await storm(1000);
    expect(done).to.equal(1000);
    isPaced = true;
    work.soon();
    await settle();
    expect(done).to.equal(1001);
  });

  it('goes on after it has thrown, and pays for that, too', async () => {
    const failing = new PacedWork({
      clock,
      isPaced: () => true,
      work: () => {
        done++;
        clock.work(1000);
        if (done === 1) throw new Error('a fault');
      },
    });
    const uncaught: unknown[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => void uncaught.push(error));
    try {
      failing.soon();
      await settle();
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
    expect(uncaught).to.have.length(1);
    failing.soon();
    await clock.advance(4900);
    expect(done).to.equal(1);
    await clock.advance(100);
    expect(done).to.equal(2);
    failing.stop();
  });

  it('is not done after the end', async () => {
    work.soon();
    work.stop();
    await settle();
    expect(done).to.equal(0);
  });
});

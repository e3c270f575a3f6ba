import { expect } from 'chai';
import { sleep, systemClock } from '../../../src/base/clock.ts';

const DAY = 86_400_000;

// Node takes a time of 25 days or more for 1 ms: a drain that ends in a month had all Services of its cluster
// looked at without end.
describe('the clock of the system', () => {
  for (const ms of [2 ** 31, 30 * DAY, 70 * 365 * DAY, Number.POSITIVE_INFINITY])
    it(`does not ring at once when it is to ring in ${ms} ms`, async () => {
      let rung = false;
      const timer = systemClock.after(ms, () => {
        rung = true;
      });
      await sleep(systemClock, 5);
      expect(rung).to.equal(false);
      timer.cancel();
    });

  it('rings when it is time, and not when it was told not to', async () => {
    const rung: string[] = [];
    systemClock.after(-1, () => rung.push('past'));
    systemClock.after(1, () => rung.push('soon'));
    systemClock.after(1, () => rung.push('not')).cancel();
    await sleep(systemClock, 5);
    expect(rung).to.have.members(['past', 'soon']);
  });
});

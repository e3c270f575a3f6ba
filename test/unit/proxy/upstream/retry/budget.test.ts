import { expect } from 'chai';
import fc from 'fast-check';
import { RetryBudget } from '../../../../../src/proxy/upstream/retry/budget.ts';
import { VirtualClock } from '../../../../support/virtual-clock.ts';

describe('retry budget', () => {
  it('bears its share of the requests', async () => {
    const clock = new VirtualClock();
    const budget = new RetryBudget({ ratio: 0.2, minPerSecond: 0, ttlMs: 10_000 }, clock);
    expect(budget.withdraw()).to.equal(false);
    for (let count = 0; count < 5; count++) budget.deposit();
    expect([budget.withdraw(), budget.withdraw()]).to.deep.equal([true, false]);
    for (let count = 0; count < 5; count++) budget.deposit();
    await clock.advance(11_000);
    expect(budget.withdraw(), 'requests of long ago do not count').to.equal(false);
  });

  it('bears a few each second without any', async () => {
    const clock = new VirtualClock();
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 2, ttlMs: 10_000 }, clock);
    let taken = 0;
    while (budget.withdraw()) taken++;
    expect(taken).to.equal(20);
    await clock.advance(5000);
    expect(budget.withdraw()).to.equal(false);
    await clock.advance(6000);
    expect(budget.withdraw()).to.equal(true);
  });

  // A service that fails gets its load, and no more than the share on top, whatever the order in which things
  // come.
  it('never bears more than its share and its minimum, over any time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0, max: 2, noNaN: true }),
        fc.integer({ min: 0, max: 3 }),
        fc.array(fc.constantFrom('request', 'request', 'retry', 'retry', 'wait'), { maxLength: 200 }),
        async (ratio, minPerSecond, steps) => {
          const clock = new VirtualClock();
          const budget = new RetryBudget({ ratio, minPerSecond, ttlMs: 1000 }, clock);
          let [requests, retries, waited] = [0, 0, 0];
          for (const step of steps) {
            if (step === 'request') {
              requests++;
              budget.deposit();
            }
            if (step === 'retry') retries += Number(budget.withdraw());
            if (step === 'wait') {
              waited += 150;
              await clock.advance(150);
            }
            const reserve = minPerSecond * (1 + waited / 900);
            if (retries > ratio * requests + reserve + 1e-6)
              throw new Error(`${retries} retries of ${requests} requests in ${waited} ms`);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

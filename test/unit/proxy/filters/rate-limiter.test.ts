import { expect } from 'chai';
import fc from 'fast-check';
import type { Rate, RateLimits } from '../../../../src/policy/rate-limits/rate-limits.ts';
import { TokenBucket, BucketPace } from '../../../../src/proxy/filters/token-bucket.ts';
import { RateLimiter, type RateLimiterOptions } from '../../../../src/proxy/filters/rate-limiter.ts';

const rates = fc.record({
  perSecond: fc.double({ min: 0.01, max: 5000, noNaN: true }),
  burst: fc.integer({ min: 1, max: 500 }),
});

/** Whether one more may pass; if so it does. */
function passes(bucket: TokenBucket, now: number): boolean {
  if (bucket.wait(now) > 0) return false;
  bucket.take(now);
  return true;
}

describe('a rate', () => {
  it('never lets through more than burst + rate × time, in any window', () => {
    fc.assert(
      fc.property(
        rates,
        fc.array(fc.double({ min: 0, max: 400, noNaN: true }), { minLength: 1, maxLength: 300 }),
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        (rate, gaps, start) => {
          const bucket = new TokenBucket(new BucketPace(rate));
          let now = start;
          const passed: number[] = [];
          for (const gap of gaps) {
            // Most come together, as they do when there is something to limit.
            now += gap < 200 ? 0 : gap - 200;
            if (passes(bucket, now)) passed.push(now);
          }
          for (let from = 0; from < passed.length; from++) {
            for (let to = from; to < passed.length; to++) {
              const seconds = ((passed[to] ?? 0) - (passed[from] ?? 0) + 0.01) / 1000;
              expect(to - from + 1).to.be.at.most(rate.burst + rate.perSecond * seconds + 1e-6);
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('lets through all that come no faster than it', () => {
    fc.assert(
      fc.property(
        rates,
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        fc.double({ min: 0, max: 3, noNaN: true }),
        (rate, start, slack) => {
          const bucket = new TokenBucket(new BucketPace(rate));
          for (let at = 0; at < 300; at++)
            expect(passes(bucket, start + (at * (1 + slack) * 1000) / rate.perSecond)).to.equal(true);
        },
      ),
    );
  });

  it('lets a whole burst through after a rest, and says truly how long to wait then', () => {
    fc.assert(
      fc.property(rates, fc.double({ min: 0, max: 1e6, noNaN: true }), (rate, start) => {
        const bucket = new TokenBucket(new BucketPace(rate));
        let count = 0;
        while (count < 1000 && passes(bucket, start)) count++;
        expect(count).to.equal(rate.burst);
        const wait = bucket.wait(start);
        expect(bucket.wait(start + wait * 0.99 - 0.01)).to.be.above(0);
        expect(passes(bucket, start + wait)).to.equal(true);
      }),
    );
  });
});

describe('RateLimiter', () => {
  const limits = (said: Partial<RateLimits>): RateLimits => ({
    key: 'Service demo/web',
    policy: 'core/service/web',
    overrides: [],
    ...said,
  });
  const rate = (perSecond: number, burst = perSecond): Rate => ({ perSecond, burst });
  const limiter = (said: Partial<RateLimits>, options: Partial<RateLimiterOptions> = {}) =>
    new RateLimiter(limits(said), {
      matches: (pattern, client) =>
        pattern === client || (pattern === '*.batch' && client.endsWith('.batch')),
      ...options,
    });

  /** How many of a client's requests pass at one moment. */
  function passing(of: RateLimiter, client: string, now: number, tries = 100): number {
    let count = 0;
    for (let i = 0; i < tries; i++) {
      if (of.excess(client, now) !== undefined) continue;
      of.take(client, now);
      count++;
    }
    return count;
  }

  it('gives each client its own limit, and all together theirs', () => {
    const one = limiter({ perClient: rate(5), total: rate(8) });
    expect(passing(one, 'a', 0)).to.equal(5);
    expect(one.excess('a', 0)).to.include({ scope: 'identity' });
    expect(passing(one, 'b', 0)).to.equal(3);
    expect(one.excess('b', 0)).to.include({ scope: 'total' });
  });

  it('takes nothing from the others for what is refused', () => {
    const one = limiter({ perClient: rate(5), total: rate(8) });
    passing(one, 'greedy', 0, 10_000);
    expect(passing(one, 'modest', 0)).to.equal(3);
    // Half a second later: four more for all, of which the greedy one may have two and a half.
    expect(passing(one, 'greedy', 500)).to.equal(2);
    expect(passing(one, 'modest', 500)).to.equal(2);
  });

  it('gives those that are named a limit that they share, instead of the one of each', () => {
    const one = limiter({ perClient: rate(2), overrides: [{ clients: ['*.batch'], rate: rate(6) }] });
    expect(passing(one, 'x.batch', 0)).to.equal(6);
    expect(passing(one, 'y.batch', 0)).to.equal(0);
    expect(one.excess('y.batch', 0)).to.include({ scope: 'override' });
    expect(passing(one, 'z', 0)).to.equal(2);
  });

  it('lets each of several processes take its part', () => {
    const workers = Array.from({ length: 4 }, () => limiter({ total: rate(100, 40) }, { shares: 4 }));
    expect(workers.map((worker) => passing(worker, 'a', 0))).to.deep.equal([10, 10, 10, 10]);
    expect(workers.map((worker) => passing(worker, 'a', 200))).to.deep.equal([5, 5, 5, 5]);
    expect(passing(limiter({ total: rate(1, 1) }, { shares: 4 }), 'a', 0)).to.equal(1);
  });

  it('remembers no more clients than it may, and nobody is rid of its past by coming under many names', () => {
    const one = limiter({ perClient: rate(1, 3) }, { maxClients: 50 });
    expect(passing(one, 'greedy', 0)).to.equal(3);
    let others = 0;
    for (let name = 0; name < 5000; name++) others += passing(one, `other-${name}`, 1, 5);
    expect(one.size).to.equal(50);
    expect(one.excess('greedy', 1)).to.include({ scope: 'identity' });
    // 49 have a limit of their own; all the rest share one.
    expect(others).to.equal(49 * 3 + 3);
  });

  it('forgets those that have rested, which changes nothing for them', () => {
    const one = limiter({ perClient: rate(1, 3) }, { maxClients: 50 });
    for (let name = 0; name < 50; name++) passing(one, `early-${name}`, 0);
    for (let name = 0; name < 50; name++) expect(passing(one, `late-${name}`, 10_000)).to.equal(3);
    expect(one.size).to.equal(50);
    expect(one.excess('late-3', 10_000)).to.include({ scope: 'identity' });
  });
});

import { expect } from 'chai';
import { EventRing } from '../../../src/tap/event-ring.ts';
import { admits, tapBucket } from '../../../src/tap/tap-rate.ts';

describe('Events that wait for one who taps', () => {
  it('are taken in their order; the oldest go when there is no room', () => {
    const ring = new EventRing<number>(3);
    for (const event of [1, 2, 3]) expect(ring.put(event)).to.equal(undefined);
    for (const event of [4, 5]) expect(ring.put(event)).to.equal(event - 3);
    expect([ring.length, ring.take(), ring.take(), ring.take(), ring.take()]).to.deep.equal([
      3,
      3,
      4,
      5,
      undefined,
    ]);
    for (let round = 0; round < 10; round++) {
      ring.put(round);
      expect(ring.take()).to.equal(round);
    }
  });

  it('are 1,000 at most', () => {
    const ring = new EventRing<number>();
    for (let event = 0; event < 5000; event++) ring.put(event);
    expect([ring.length, ring.take()]).to.deep.equal([1000, 4000]);
  });

  it('come no faster than was asked, a second of them at once', () => {
    const bucket = tapBucket({ maxRps: 10, forMs: 1000 });
    const passed = (now: number) => Array.from({ length: 100 }, () => admits(bucket, now)).filter(Boolean);
    expect(passed(0)).to.have.length(10);
    expect(passed(100)).to.have.length(1);
    expect(passed(5000)).to.have.length(10);
    expect(admits(tapBucket({ maxRps: 0.5, forMs: 1000 }), 0)).to.equal(true);
  });
});

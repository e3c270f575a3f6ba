import { expect } from 'chai';
import fc from 'fast-check';
import {
  addLatency,
  LatencyHistogram,
  latencyCount,
  latencyQuantile,
  latencySpan,
  NO_LATENCY,
  ofLatencySpan,
} from '../../../../src/proxy/metrics/latency-histogram.ts';

/** Within the range of the buckets, by ratio, so that short and long times are drawn alike. */
const time = fc.double({ min: -2.8, max: 17, noNaN: true }).map((exponent) => 2 ** exponent);
const times = fc.array(time, { minLength: 1, maxLength: 300 });

describe('latency in buckets that grow with what they hold', () => {
  const observed = (all: readonly number[]) => {
    const histogram = new LatencyHistogram();
    for (const ms of all) histogram.observe(ms);
    return histogram.numbers;
  };

  it('knows every quantile within 4.5 %', () => {
    fc.assert(
      fc.property(times, fc.double({ min: 0, max: 1, noNaN: true }), (all, q) => {
        const sorted = all.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(q * all.length)) - 1] ?? Number.NaN;
        const known = latencyQuantile(observed(all), q) ?? Number.NaN;
        expect(Math.abs(known - exact) / exact).to.be.at.most(0.045);
      }),
    );
  });

  it('adds up over processes as if one had observed', () => {
    fc.assert(
      fc.property(times, times, (a, b) => {
        const together = addLatency(observed(a), observed(b));
        const one = observed([...a, ...b]);
        expect(together.buckets).to.deep.equal(one.buckets);
        expect(together.sum).to.be.closeTo(one.sum, 1e-9 * one.sum);
        expect(addLatency(NO_LATENCY, one)).to.deep.equal(one);
      }),
    );
  });

  it('is the same behind JSON, with gaps and without', () => {
    fc.assert(
      fc.property(times, (all) => {
        const numbers = observed(all);
        expect(JSON.parse(JSON.stringify(numbers))).to.deep.equal(numbers);
        const span = latencySpan(numbers);
        const histogram = new LatencyHistogram();
        for (const ms of all) histogram.observe(ms);
        expect(histogram.span).to.deep.equal(span);
        expect(ofLatencySpan(span)).to.deep.equal(numbers);
        expect(span.counts.reduce((sum, count) => sum + count)).to.equal(latencyCount(numbers));
      }),
    );
    expect(latencySpan(NO_LATENCY)).to.deep.equal({ schema: 3, sumMs: 0, offset: 0, counts: [] });
    expect(new LatencyHistogram().span).to.deep.equal(latencySpan(NO_LATENCY));
    expect(latencyQuantile(NO_LATENCY, 0.5)).to.equal(undefined);
  });

  // Prometheus: a bucket with index n of schema 3 holds what is above 2^((n-1)/8) and not above 2^(n/8).
  it("has the bounds of Prometheus' native histograms", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -22, max: 135 }),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        (index, part) => {
          const within = 2 ** ((index - 1 + part) / 8);
          expect(observed([within]).buckets).to.deep.equal({ [index]: 1 });
        },
      ),
    );
    for (const exponent of [-2, 0, 1, 10])
      expect(observed([2 ** exponent]).buckets).to.deep.equal({ [exponent * 8]: 1 });
  });

  it('counts what is outside of its range at the ends', () => {
    expect(observed([0, -3, Number.NaN, 0.001]).buckets).to.deep.equal({ '-23': 4 });
    expect(observed([1e9, Number.POSITIVE_INFINITY]).buckets).to.deep.equal({ '136': 2 });
  });
});

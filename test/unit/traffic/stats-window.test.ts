import { expect } from 'chai';
import type { StatsReport } from '../../../src/api/answers/stats-report.ts';
import { keptReports, windowOf } from '../../../src/traffic/stats-window.ts';
import { flowOf, gatewayOf, latencyOf, reportOf, targetOf, times } from '../../support/traffic-readings.ts';

/** As a process says it that keeps no history: all since it has started. */
const totals = (at: number, change: Parameters<typeof reportOf>[0] = {}) => {
  const { windowMs: _, ...report } = reportOf({ at, ...change });
  return report;
};

describe('what a process has counted in a time', () => {
  it('is what it says, where it was asked for a window', () => {
    const report = reportOf({ windowMs: 60_000, targets: [targetOf()] });
    expect(windowOf(report)).to.deep.equal({ report, ms: 60_000 });
    expect(windowOf(reportOf({ windowMs: 0 }))).to.equal(undefined);
  });

  it('is the difference of two reports; what is no counter is of the later one', () => {
    const tcp = (opened: number, readBytes: number) => ({
      opened,
      open: 3,
      readBytes,
      writtenBytes: 0,
      closes: {},
    });
    const before = totals(10_000, {
      targets: [
        targetOf({ errors: { failfast: 4 }, latency: latencyOf(10, 10, 1000), tcp: tcp(5, 50), retries: 1 }),
      ],
      flows: [flowOf({ bytesIn: 5 })],
      gateways: [gatewayOf({ streams: 9 })],
    });
    const now = totals(12_000, {
      targets: [
        targetOf({
          requests: 130,
          inFlight: 7,
          responses: 120,
          failures: 2,
          errors: {
            failfast: 6,
            unauthorized: 1,
          },
          latency: latencyOf(0.2, 10, 10, 10, 1e3, 5e3),
          tcp: tcp(6, 80),
          retries: 3,
        }),
      ],
      flows: [flowOf({ requests: 130, failures: 1, bytesIn: 25, idleMs: 3 })],
      gateways: [gatewayOf({ requests: 107, streams: 1 })],
    });
    const window = windowOf(now, before);
    expect(window?.ms).to.equal(2000);
    const { targets = [], flows = [], gateways = [] } = window?.report ?? {};
    const [target] = targets;
    expect(target).to.include({ requests: 30, inFlight: 7, responses: 20, failures: 2, retries: 2 });
    expect(target?.errors).to.deep.equal({ failfast: 2, unauthorized: 1 });
    expect(target?.tcp).to.deep.equal({ opened: 1, open: 3, readBytes: 30, writtenBytes: 0, closes: {} });
    const { offset = 0, counts = [] } = target?.latency ?? {};
    const expected = latencyOf(0.2, 10, 5000);
    expect(offset).to.equal(expected.offset);
    expect(counts).to.deep.equal(expected.counts);
    expect(flows[0]).to.include({ requests: 30, failures: 1, bytesIn: 20, bytesOut: 0, idleMs: 3 });
    expect(gateways[0]).to.include({ requests: 7, streams: 1 });
  });

  it('is all of it for what is new, was forgotten meanwhile, or is of a process that has started anew', () => {
    const before = totals(10_000, {
      targets: [targetOf({ label: 'other:80' }), targetOf({ requests: 1000 })],
    });
    const now = totals(12_000, { targets: [targetOf({ label: 'new:80' }), targetOf({ requests: 5 })] });
    expect(windowOf(now, before)?.report.targets.map(({ requests }) => requests)).to.deep.equal([100, 5]);
    const anew = { ...now, startedAt: 11_500 };
    expect(windowOf(anew, before)).to.deep.equal({ report: anew, ms: 500 });
  });

  it('is nothing without an earlier report, or where no time has passed', () => {
    const now = totals(10_000, { targets: [targetOf({ latency: latencyOf(...times(3, 1)) })] });
    expect(windowOf(now)).to.equal(undefined);
    expect(windowOf(now, now)).to.equal(undefined);
    expect(windowOf(now, totals(11_000))).to.equal(undefined);
  });

  // A screen that is left on asks every 250 ms, and a report can have megabytes.
  it('of what is kept, the oldest is about as old as the window, and there are few', () => {
    for (const clock of [
      (nth: number) => nth * 250,
      () => 5,
      (nth: number) => 1e6 - nth,
      (nth: number) => nth * 9e9,
    ]) {
      let kept: StatsReport[] = [];
      for (let nth = 0; nth < 2000; nth++) kept = keptReports(kept, reportOf({ at: clock(nth) }), 60_000);
      expect(kept.length).to.be.at.most(33);
      expect(kept.at(-1)?.at).to.equal(clock(1999));
    }
    let kept: StatsReport[] = [];
    for (let nth = 0; nth < 2000; nth++) kept = keptReports(kept, reportOf({ at: nth * 250 }), 60_000);
    // A clock that is set back by hours hides nothing for hours.
    const back = totals(10);
    expect(keptReports(kept, back, 60_000)).to.deep.equal([back]);
    expect(1999 * 250 - (kept[0]?.at ?? 0)).to.be.within(60_000, 63_000);
  });
});

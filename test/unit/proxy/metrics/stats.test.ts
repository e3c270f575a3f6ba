import { expect } from 'chai';
import { STATS_PAGE, type StatsReport } from '../../../../src/api/answers/stats-report.ts';
import {
  addReports,
  EMPTY_REPORT,
  gatewayStats,
  numbersOf,
} from '../../../../src/gateway/gateway-metrics.ts';
import { addPairs } from '../../../../src/proxy/metrics/pair-counters.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { targetStats } from '../../../../src/proxy/metrics/stats.ts';
import { expectGolden } from '../../../support/golden.ts';
import { begun } from '../../../support/begun-flow.ts';

const WEB = 'web.demo.svc.cluster.local:8080';
const OF_ALL = { version: '0.2.0', startedAt: 1000, at: 61_000, workers: 2 };
const balancers = { [WEB]: { ready: 2, known: 3 } };

/** Seven requests, of which one is under way, one was refused and one has failed. */
function count(...processes: readonly ProxyCounters[]): void {
  const of = (at: number) => processes[at % processes.length] as ProxyCounters;
  for (const [at, ms] of [1, 2, 4, 8, 1000].entries()) {
    const target = begun(of(at), WEB);
    target.answered(ms);
    target.response(at === 4 ? 503 : 200, ms);
    target.end();
  }
  begun(of(0), WEB);
  of(0).pair('web.east', WEB).begin(0, 'http1');
  of(1).pair('web.east', WEB).error('unauthorized');
  of(1).pair('x'.repeat(1000), WEB).begin(0, 'http1');
  of(1).failure('unauthorized', WEB);
  const refused = begun(of(1), WEB);
  refused.answered(0.5);
  refused.response(403, 0.5);
  refused.end();
  const route = of(0).route(WEB, 'GET /cart');
  route.requests++;
  route.attempts += 2;
  route.retries.sent++;
  of(1).route(WEB, 'GET /cart').timeouts.try++;
  for (const [status, failed] of [
    [503, true],
    [200, false],
  ] as const)
    route.answer({ status, failed, grpc: undefined, ms: 3 });
  route.response({ status: 200, failed: false, grpc: undefined, ms: 7 });
  of(1).rateLimited(WEB, 'policy.linkspan.dev/ratelimit/all', 'total');
  of(1).endpointOf(WEB).begin({ bytesRead: 10, bytesWritten: 20 });
}

describe('GET /stats', () => {
  const reportOf = (counters: ProxyCounters) => ({
    ...EMPTY_REPORT,
    balancers,
    counters: counters.snapshot(),
  });
  const stats = (...processes: readonly ProxyCounters[]): Promise<StatsReport> =>
    gatewayStats(
      numbersOf(processes.map(reportOf).reduce(addReports, EMPTY_REPORT)),
      addPairs(processes.map(({ pairs }) => pairs.numbers())),
      OF_ALL,
    );

  it('says what there is, as the golden file has it, and is read as it was written', async () => {
    const counters = new ProxyCounters();
    count(counters);
    const written: unknown = JSON.parse(JSON.stringify(await stats(counters)));
    expectGolden('stats/gateway.txt', `${JSON.stringify(written, undefined, 2)}\n`);
    expect(STATS_PAGE.read(written)).to.deep.equal(written);
  });

  it('is of all workers together as if one had counted', async () => {
    const [one, a, b] = [new ProxyCounters(), new ProxyCounters(), new ProxyCounters()];
    count(one);
    count(a, b);
    expect(await stats(a, b)).to.deep.equal(await stats(one));
  });

  it('says of a mirror where it leads', async () => {
    const counters = new ProxyCounters();
    begun(counters, 'shop/web-west:80');
    const place = { cluster: 'west', name: 'web.shop.svc.cluster.local' };
    const [target] = await targetStats(counters.view(), { placeOf: () => place });
    expect(target).to.include({ service: 'web-west', namespace: 'shop', port: '80', inFlight: 1 });
    expect(target?.there).to.deep.equal(place);
  });

  it('is not believed where it is something else', async () => {
    const written = JSON.stringify(await stats(new ProxyCounters()));
    const change = (what: object): unknown => ({ ...(JSON.parse(written) as object), ...what });
    expect(STATS_PAGE.read(change({ more: 1 }))).to.deep.equal(JSON.parse(written));
    for (const wrong of [
      change({ v: 2 }),
      change({ targets: [{ label: 'x' }] }),
      change({ version: 'x'.repeat(513) }),
      change({ workers: -1 }),
      [],
      'no',
    ])
      expect(() => STATS_PAGE.read(wrong)).to.throw(RangeError, /the answer of \/stats/);
  });

  // All of thousands in one turn stopped the traffic, as a scrape did once.
  it('is made in turns', async () => {
    const counters = new ProxyCounters();
    for (let nth = 0; nth < 1000; nth++) begun(counters, `web-${nth}.demo.svc.cluster.local:80`);
    let turns = 0;
    let over = false;
    const turn = () => {
      turns++;
      if (!over) setImmediate(turn);
    };
    setImmediate(turn);
    expect(await targetStats(counters.view(), {})).to.have.length(1000);
    over = true;
    expect(turns).to.be.at.least(4);
  });
});

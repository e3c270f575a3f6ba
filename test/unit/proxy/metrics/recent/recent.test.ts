import { expect } from 'chai';
import { STATS_PAGE, type StatsReport } from '../../../../../src/api/answers/stats-report.ts';
import { gatewayStats } from '../../../../../src/gateway/gateway-metrics.ts';
import { ProxyCounters } from '../../../../../src/proxy/metrics/counters.ts';
import { Recent } from '../../../../../src/proxy/metrics/recent/recent.ts';
import { BadQuery } from '../../../../../src/telemetry/admin-pages.ts';
import { VirtualClock } from '../../../../support/virtual-clock.ts';
import { eventually } from '../../../../support/eventually.ts';
import { begun } from '../../../../support/begun-flow.ts';

const WEB = 'web.demo.svc.cluster.local:80';
const MAX_BYTES = 512 * 1024;

/** A process that counts, and remembers. */
class Remembering {
  readonly clock = new VirtualClock();
  readonly counters = new ProxyCounters({ clock: this.clock });
  readonly errors: unknown[] = [];
  /** What is done before each look. */
  before: () => void = () => undefined;
  #looks = 0;
  readonly recent = new Recent({
    clock: this.clock,
    read: async () => {
      this.before();
      this.#looks++;
      return this.report();
    },
    maxBytes: MAX_BYTES,
    onError: (error) => void this.errors.push(error),
  });

  report(): Promise<StatsReport> {
    const numbers = { counters: this.counters.view(), balancers: [] };
    const of = { version: '0.2.0', startedAt: 0, at: this.clock.now(), workers: 1 };
    return gatewayStats(numbers, this.counters.pairs.numbers(), of);
  }

  /** Requests of one client that are answered. */
  ask(requests: number, { target = WEB, ms = 4, status = 200 } = {}): void {
    for (let nth = 0; nth < requests; nth++) {
      const counters = begun(this.counters, target);
      const pair = this.counters.pair('web.east', target);
      pair.begin(this.clock.monotonic(), 'http1');
      counters.answered(ms);
      counters.response(status, ms);
      counters.end();
      pair.end();
    }
  }

  /** Lets seconds pass, a step at a time: each is made in turns of its own. */
  async pass(seconds: number): Promise<void> {
    for (let left = seconds; left > 0; left -= 10) {
      const looks = this.#looks + (left >= 10 ? 1 : 0);
      await this.clock.advance(Math.min(left, 10) * 1000);
      await eventually('the step is made', () => this.#looks >= looks && this.clock.pending === 1);
    }
  }

  async ask1(query: string): Promise<StatsReport> {
    const report = await this.recent.answer(new URLSearchParams(query));
    const written: unknown = JSON.parse(JSON.stringify(report));
    expect(STATS_PAGE.read(written)).to.deep.equal(written);
    return report;
  }

  async web(query: string) {
    const { targets, windowMs, complete } = await this.ask1(query);
    const { requests = 0, latency } = targets.find(({ label }) => label === WEB) ?? {};
    return { requests, timed: latency?.counts.reduce((sum, n) => sum + n, 0), windowMs, complete };
  }
}

describe('The last half hour of what was counted', () => {
  let one: Remembering;

  beforeEach(() => {
    one = new Remembering();
  });
  afterEach(() => one.recent.close());

  it('is what was counted in the window, that of this moment included', async () => {
    one.ask(5);
    await one.pass(100);
    one.ask(7);
    await one.pass(10);
    one.ask(2);
    await one.pass(5);
    const all = { requests: 14, timed: 14 };
    expect(await one.web('window=10s')).to.deep.equal({
      requests: 9,
      timed: 9,
      windowMs: 15_000,
      complete: true,
    });
    expect(await one.web('window=1m')).to.include({ requests: 9, windowMs: 65_000, complete: true });
    expect(await one.web('window=10m')).to.deep.equal({ ...all, windowMs: 115_000, complete: false });
    expect(await one.web('')).to.deep.equal({ ...all, windowMs: undefined, complete: undefined });
  });

  it('is forgotten when it is over, and what is under way is there anyway', async () => {
    one.ask(5, { status: 503 });
    begun(one.counters, WEB);
    await one.pass(1800);
    expect(await one.web('window=30m')).to.include({ requests: 6, windowMs: 1_800_000, complete: true });
    await one.pass(60);
    const { targets, flows } = await one.ask1('window=30m');
    expect(targets).to.have.length(1);
    expect(targets[0]).to.deep.include({ requests: 0, responses: 0, failures: 0, errors: {}, inFlight: 1 });
    expect(flows).to.deep.equal([]);
    expect((await one.ask1('')).targets[0]).to.include({ requests: 6, failures: 5 });
  });

  it('says nothing went back when a worker took its numbers along', async () => {
    one.ask(5);
    await one.pass(10);
    let gone = one.counters.targets.get(WEB);
    if (gone === undefined) expect.fail();
    gone.requests -= 3;
    expect(await one.web('window=10s')).to.include({ requests: 5 });
    await one.pass(10);
    gone = one.counters.targets.get(WEB);
    one.ask(1);
    expect(await one.web('window=1m')).to.include({ requests: 6 });
  });

  it('is told in steps, of which a reader takes those that are new', async () => {
    one.ask(5);
    await one.pass(10);
    one.ask(2, { ms: 100, status: 500 });
    one.counters.failure('failfast', WEB);
    await one.pass(10);
    const first = await one.ask1('window=1m&since=');
    expect(first.points?.map(({ ms, targets }) => [ms, targets[0]?.requests])).to.deep.equal([
      [10_000, 5],
      [10_000, 2],
    ]);
    const { p50Ms = 0, ...rest } = first.points?.[1]?.targets[0] ?? {};
    expect(rest).to.deep.include({ label: WEB, responses: 2, failures: 2, errors: 1 });
    expect(p50Ms).to.be.within(95, 105);
    const after = async () => (await one.ask1(`window=1m&since=${first.cursor}`)).points;
    expect(await after()).to.deep.equal([]);
    one.ask(1);
    await one.pass(10);
    expect((await after())?.map(({ targets }) => targets[0]?.requests)).to.deep.equal([1]);
    // A cursor of a process that there is no more.
    expect((await one.ask1('window=1m&since=1-99')).points).to.have.length(3);
    expect((await one.ask1('window=1m')).points).to.equal(undefined);
  });

  it('goes on after a look that failed, and that one misses nothing', async () => {
    one.ask(5);
    one.before = () => {
      throw new Error('no answer');
    };
    await one.clock.advance(10_000);
    await eventually('it is told', () => one.errors.length === 1);
    one.before = () => undefined;
    one.ask(1);
    await one.pass(10);
    expect(await one.web('window=10s')).to.include({ requests: 6 });
  });

  it('refuses windows that there are not', async () => {
    for (const query of ['window=5m', 'window=', 'since=1-1', 'window=toString'])
      expect(await one.ask1(query).catch((error: unknown) => error), query).to.be.instanceOf(BadQuery);
  });

  it('stays within its room, and loses no request of those that have none of their own', async () => {
    const labels = Array.from({ length: 500 }, (_, nth) => `web-${nth}.demo.svc.cluster.local:80`);
    one.before = () => {
      for (const [nth, target] of labels.entries()) {
        const counters = begun(one.counters, target);
        counters.requests += nth;
        for (let bucket = 0; bucket < 60; bucket++) counters.latency.observe(2 ** (bucket / 6));
      }
    };
    for (let steps = 0; steps < 12; steps++) await one.pass(10);
    expect(one.recent.size).to.be.within(MAX_BYTES / 4, MAX_BYTES);
    const recent = await one.ask1('window=10m');
    const { targets: total } = await one.report();
    const asked = (targets: StatsReport['targets']) =>
      targets.reduce((sum, { requests }) => sum + requests, 0);
    const other = recent.targets.find(({ label }) => label === 'other')?.requests ?? 0;
    expect(asked(recent.targets)).to.equal(asked(total));
    expect(other).to.be.within(1, asked(total) - 1);
    expect(recent.targets.find(({ label }) => label === labels.at(-1))?.requests).to.equal(13 * 500);
  });
});

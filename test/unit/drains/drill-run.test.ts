import { expect } from 'chai';
import { drillText } from '../../../src/cli/output/drill-text.ts';
import { troubleIn } from '../../../src/drains/abort-rule.ts';
import { drillReport } from '../../../src/drains/drill-report.ts';
import {
  type DrillLook,
  type DrillRecord,
  type DrillScript,
  runDrill,
} from '../../../src/drains/drill-run.ts';
import { noTraffic, type ServiceTraffic } from '../../../src/drains/egress-traffic.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const WEB = 'shop/web-federated';
const RULE = { errors: 0.01, p99: undefined };
const SCRIPT: DrillScript = { forMs: 5000, afterMs: 1000, rule: RULE };

/** A stage on which 100 requests come between two looks, and `play` says what becomes of them. */
function stage(play: (at: number, away: boolean) => { from: string; failed?: number; moved?: number }) {
  const clock = new VirtualClock();
  const begun = clock.monotonic();
  const counts: ServiceTraffic = noTraffic();
  const log: string[] = [];
  const stopping = new AbortController();
  let away = false;
  const look = (): Promise<DrillLook> => {
    const at = clock.monotonic() - begun;
    const { from, failed = 0, moved = 0 } = play(at, away);
    counts.responses += 100;
    counts.failures += failed;
    counts.failed += failed;
    counts.moved += moved;
    counts.buckets[5] = (counts.buckets[5] ?? 0) + 100;
    counts.served.set(from, (counts.served.get(from) ?? 0) + 100 - failed);
    const traffic = new Map([
      ['pod', new Map([[WEB, { ...counts, buckets: [...counts.buckets], served: new Map(counts.served) }]])],
    ]);
    return Promise.resolve({ traffic, short: new Map(away ? [[WEB, 0.7]] : []), silent: new Map() });
  };
  const run = async (script: Partial<DrillScript> = {}): Promise<DrillRecord> => {
    let isOver = false;
    const playing = runDrill(
      {
        clock,
        look,
        begin: () => {
          log.push('begin');
          away = true;
          return Promise.resolve();
        },
        end: () => {
          log.push('end');
          away = false;
          return Promise.resolve();
        },
        onLook: () => undefined,
        signal: stopping.signal,
      },
      { ...SCRIPT, ...script },
    ).finally(() => (isOver = true));
    const over = () => isOver;
    // Whoever awaits it below hears of a failure.
    playing.catch(() => undefined);
    for (let step = 0; step < 200 && !over(); step++) {
      await settle(5);
      await clock.advance(100);
    }
    return playing;
  };
  return { run, log, stopping, clock };
}

const report = (record: DrillRecord) =>
  drillReport(record, { cluster: 'west', kind: 'fail', services: [WEB], mayFail: 0.01 });

describe('a drill', () => {
  it('passes where nobody has noticed', async () => {
    const { run, log } = stage((at, away) => ({
      from: away ? 'north' : 'west',
      moved: away && at < 1000 ? 7 : 0,
    }));
    const record = await run();
    expect(log).to.deep.equal(['begin', 'end']);
    const found = report(record);
    expect(found).to.deep.include({ verdict: 'PASSED', reasons: [], capacityShort: { [WEB]: 0.7 } });
    expect(found.services[0]).to.deep.include({
      failed: 0,
      moved: 7,
      firstSuccessSeconds: 0.5,
      steadySeconds: 0.5,
    });
    expect(found.services[0]?.shares[0]).to.deep.equal({ at: 0.5, parts: { north: 1, west: 0 } });
    expect(drillText(found)).to.equal(
      [
        'Drill "fail" of west, 5s: PASSED',
        '',
        'SERVICE              SERVED BY              FAILED   MOVED   FIRST SUCCESS   STEADY   P99 BEFORE   P99',
        'shop/web-federated   north 1000, west 200   0        7       0.5s            0.5s     9.9ms        9.9ms',
        '',
        'CapacityShort: shop/web-federated, 70% of what is asked',
        '',
      ].join('\n'),
    );
  });

  // Backends of a Service without selector are called as their Services are, and not as the cluster.
  it('is about the backends that lead to the cluster, whatever they are called', async () => {
    const leads = (_: string, backend: string) => backend === 'web-west';
    const subject = { cluster: 'west', kind: 'fail', services: [WEB], mayFail: 0.01, leads } as const;
    const went = drillReport(await stage(() => ({ from: 'web-west' })).run(), subject);
    expect(went.verdict).to.equal('FAILED');
    expect(went.reasons).to.deep.equal([`${WEB}: west served 500 requests meanwhile, it was not taken away`]);
    expect(went.services[0]?.firstSuccessSeconds).to.equal(null);
    const stayed = drillReport(await stage(() => ({ from: 'web' })).run(), subject);
    expect(stayed.verdict).to.equal('PASSED');
    expect(stayed.services[0]?.firstSuccessSeconds).to.equal(0.5);
  });

  it('is given up, and ended, when too much fails', async () => {
    const { run, log, clock } = stage((at, away) => ({ from: 'north', failed: away && at >= 2000 ? 50 : 0 }));
    const before = clock.monotonic();
    const found = report(await run({ forMs: 60_000 }));
    expect(log).to.deep.equal(['begin', 'end']);
    expect(found.verdict).to.equal('ABORTED');
    expect(found.reasons[0]).to.match(/^shop\/web-federated: .* of responses are failures, 0% before$/);
    expect(clock.monotonic() - before).to.be.below(6000);
    expect(drillText(found)).to.contain('ABORTED\n  shop/web-federated: ');
  });

  it('is given up, and ended, when somebody interrupts it', async () => {
    const { run, log, stopping, clock } = stage(() => ({ from: 'north' }));
    clock.after(1000, () => stopping.abort(new Error('interrupted')));
    const found = report(await run({ forMs: 60_000 }));
    expect(log).to.deep.equal(['begin', 'end']);
    expect(found).to.deep.include({ verdict: 'ABORTED', reasons: ['it was interrupted'] });
  });

  // Its program ended with what the API server had said, without a report, whatever it had seen before.
  it('is given up, ended and reported when nobody can see any more what clients get', async () => {
    const { run, log, clock } = stage((at) => {
      if (at > 3000) throw new Error('no answer');
      return { from: 'north' };
    });
    const before = clock.monotonic();
    const record = await run({ forMs: 60_000 });
    expect(log).to.deep.equal(['begin', 'end']);
    expect(record.blind).to.equal('for 5 s nothing was seen: no answer');
    expect(clock.monotonic() - before).to.be.within(8000, 9500);
    const found = report(record);
    expect(found.verdict).to.equal('ABORTED');
    expect(found.reasons).to.deep.equal(['for 5 s nothing was seen: no answer']);
    expect(found.services[0]?.served).to.deep.equal({ north: 600 });
  });

  it('goes on when a look fails now and then', async () => {
    const { run, log } = stage((at) => {
      if (at > 1000 && at % 2000 > 600) throw new Error('no answer');
      return { from: 'north' };
    });
    const record = await run();
    expect(log).to.deep.equal(['begin', 'end']);
    expect(record).to.include({ blind: undefined, aborted: undefined });
  });

  /** A stage that cannot be seen as it should be, or not be left. */
  const odd = (parts: { look: () => Promise<DrillLook>; end?: () => Promise<void> }) => {
    const log: string[] = [];
    const clock = new VirtualClock();
    const playing = runDrill(
      {
        clock,
        begin: () => Promise.resolve(void log.push('begin')),
        end: () => Promise.resolve(void log.push('end')),
        onLook: () => undefined,
        signal: new AbortController().signal,
        ...parts,
      },
      SCRIPT,
    ).catch((error: unknown) => error);
    return { log, clock, playing };
  };
  const seen: DrillLook = { traffic: new Map([['pod', new Map()]]), short: new Map(), silent: new Map() };

  for (const [what, look, why] of [
    [
      'no pod answers',
      () => Promise.resolve({ ...seen, traffic: new Map(), silent: new Map([['a', '503']]) }),
      'a: 503',
    ],
    ['there is no pod', () => Promise.resolve({ ...seen, traffic: new Map() }), 'there is no egress pod'],
    ['the API server refuses', () => Promise.reject(new Error('forbidden')), 'forbidden'],
    ['a look has no end', () => new Promise<never>(() => undefined), 'it took too long'],
  ] as const)
    it(`is not begun where ${what}`, async () => {
      const { log, clock, playing } = odd({ look });
      await settle(5);
      await clock.advance(5000);
      const error = await playing;
      expect(error).to.have.property('code', 'DRILL_BLIND');
      expect(error).to.have.property('message').that.contains(why);
      expect(log).to.deep.equal([]);
      expect(clock.pending).to.equal(0);
    });

  it('is reported where it could not be ended', async () => {
    const { clock, playing } = odd({
      look: () => Promise.resolve(seen),
      end: () => Promise.reject(new Error('refused')),
    });
    for (let step = 0; step < 100; step++) {
      await settle(5);
      await clock.advance(100);
    }
    expect(await playing)
      .to.have.property('notEnded')
      .that.has.property('message', 'refused');
  });

  // The write was carried out and its answer lost: the drill stood until its end, and nobody looked on.
  it('is ended where its beginning has failed', async () => {
    const ended: string[] = [];
    const failing = runDrill(
      {
        clock: new VirtualClock(),
        look: () => Promise.resolve(seen),
        begin: () => Promise.reject(new Error('no answer')),
        end: () => Promise.resolve(void ended.push('end')),
        onLook: () => undefined,
        signal: new AbortController().signal,
      },
      SCRIPT,
    );
    const error = await failing.catch((one: unknown) => one);
    expect(error).to.have.property('message', 'no answer');
    expect(ended).to.deep.equal(['end']);
  });

  // A Service with few requests could fail as a whole for as long as the drill went on.
  it('is given up where few requests come, and half of them fail', () => {
    const traffic = (responses: number, failures: number) =>
      new Map([[WEB, { ...noTraffic(), responses, failures }]]);
    const trouble = (responses: number, failures: number) =>
      troubleIn(traffic(responses, failures), new Map(), RULE).length;
    expect(trouble(12, 12)).to.equal(1);
    expect(trouble(4, 4)).to.equal(0);
    expect(trouble(40, 6)).to.equal(0);
    expect(trouble(60, 6)).to.equal(1);
  });

  // An egress of an older version knows nothing of drills: it had passed, as if it had been tried.
  it('fails where the cluster goes on serving', async () => {
    const { run } = stage(() => ({ from: 'west' }));
    const found = report(await run());
    expect(found.verdict).to.equal('FAILED');
    expect(found.reasons[0]).to.match(/west served \d+ requests meanwhile, it was not taken away$/);
  });

  it('fails where clients have noticed, and where nothing was to be seen', async () => {
    const rule = { errors: undefined, p99: undefined };
    const { run } = stage((_, away) => ({ from: 'north', failed: away ? 5 : 0 }));
    const noticed = report(await run({ rule }));
    expect(noticed).to.deep.include({ verdict: 'FAILED' });
    expect(noticed.reasons).to.deep.equal(['shop/web-federated: 50 of 1200 requests failed']);
    expect(noticed.services[0]?.steadySeconds).to.equal(null);
    const record = {
      usual: new Map(),
      samples: [],
      endedAt: 5000,
      aborted: undefined,
      blind: undefined,
      notEnded: undefined,
      silent: ['pod: away'],
    };
    expect(report(record)).to.deep.include({
      verdict: 'FAILED',
      reasons: ['no request was seen: it has shown nothing'],
      silentPods: ['pod: away'],
    });
    expect(drillText(report(record))).to.match(
      /shop\/web-federated +- +0 +0 +- +0\.0s +- +-\n\nno answer from pod: away\n$/,
    );
  });
});

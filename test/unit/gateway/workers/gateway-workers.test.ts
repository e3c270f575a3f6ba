import { NO_SPANS } from '../../../../src/telemetry/traces/span-counts.ts';
import { expect } from 'chai';
import type { TapFlow } from '../../../../src/api/answers/tap-events.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { EMPTY_REPORT, type GatewayReport } from '../../../../src/gateway/gateway-metrics.ts';
import type { SyncStats } from '../../../../src/api/answers/stats-report.ts';
import type {
  WorkerQuestion,
  WorkerRequest,
  WorkerMessage,
  WorkerEvents,
} from '../../../../src/gateway/workers/worker.ts';
import { GatewayWorkers } from '../../../../src/gateway/workers/gateway-workers.ts';
import type { Health } from '../../../../src/telemetry/admin.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';
import { begun } from '../../../support/begun-flow.ts';

const WEB = 'web.demo.svc.cluster.local:80';

/** A worker process that does what the test says. */
class FakeWorker {
  readonly counters = new ProxyCounters();
  readonly signals: string[] = [];
  readonly number: number;
  readonly events: WorkerEvents;
  sync: SyncStats[];
  ready: Health = { ok: true, reason: '' };
  /** Its event loop hangs. */
  silent = false;
  asked = 0;
  readonly questions: WorkerQuestion[] = [];

  constructor(number: number, events: WorkerEvents) {
    this.number = number;
    this.sync = [{ kind: 'services', ok: true, ageS: number }];
    this.events = events;
  }

  get report(): GatewayReport {
    const counters = JSON.parse(JSON.stringify(this.counters.snapshot())) as GatewayReport['counters'];
    return {
      counters,
      balancers: { [WEB]: { ready: 2, known: 3 } },
      spans: NO_SPANS,
      accessLogDropped: 1,
      processErrors: { exceptions: 1, rejections: 2, contained: 3 },
    };
  }

  send({ id, question }: WorkerRequest): void {
    this.asked++;
    this.questions.push(question);
    if (this.silent) return;
    const answers = {
      ready: this.ready,
      report: this.report,
      target: { status: 503, reason: 'none' },
      level: true,
      tap: true,
      untap: true,
      pairs: this.counters.pairs.numbers(),
      sync: this.sync,
    };
    queueMicrotask(() => this.tell({ id, answer: answers[question.ask] }));
  }

  tell(told: WorkerMessage): void {
    this.events.onMessage(told);
  }
}

describe('Workers of a gateway', () => {
  let clock: VirtualClock;
  let spawned: FakeWorker[];
  let workers: GatewayWorkers;

  beforeEach(async () => {
    clock = new VirtualClock();
    spawned = [];
    workers = new GatewayWorkers({
      count: 3,
      spawn: (number, events) => {
        const worker = new FakeWorker(number, events);
        spawned.push(worker);
        return {
          pid: number,
          send: (asked) => worker.send(asked),
          kill: (signal) => void worker.signals.push(signal),
        };
      },
      clock,
      processErrors: () => ({ exceptions: 10, rejections: 0, contained: 0 }),
      random: () => 0.5,
      log: createLogger({ name: 'test', level: 'silent' }),
      stopMs: 30_000,
    });
  });

  async function start(): Promise<void> {
    const started = workers.start();
    spawned[0]?.tell({ event: 'started' });
    await started;
  }

  const at = (index: number): FakeWorker => {
    const worker = spawned[index];
    if (worker === undefined) throw new Error(`no worker ${index}`);
    return worker;
  };

  const requests = async () => (await workers.report()).counters.targets[WEB]?.requests;

  it('say once what is wrong with the configuration: the first starts alone', async () => {
    const started = workers.start();
    expect(spawned).to.have.length(1);
    at(0).events.onExit('exit code 1');
    const error = await started.then(
      () => undefined,
      (failure: unknown) => failure as { code: string; message: string },
    );
    expect(error?.code).to.equal('WORKER_FAILED');
    expect(error?.message).to.contain('exit code 1');
    await clock.advance(60_000);
    expect(spawned).to.have.length(1);
  });

  it('all start once the first has', async () => {
    await start();
    expect(spawned.map(({ number }) => number)).to.deep.equal([1, 2, 3]);
  });

  it('are ready together when one of them is', async () => {
    await start();
    at(0).ready = { ok: false, reason: 'no certificate yet' };
    at(1).ready = { ok: false, reason: 'no certificate yet' };
    expect((await workers.ready()).ok).to.equal(true);
    at(2).ready = { ok: false, reason: 'no exports yet' };
    const { ok, reason } = await workers.ready();
    expect(ok).to.equal(false);
    expect(reason).to.contain('worker 3: no exports yet');
  });

  it('add up what passed between clients and services', async () => {
    await start();
    for (const { counters } of spawned.slice(0, 2))
      counters.pair('web.east', WEB).begin(clock.monotonic(), 'http1');
    at(0).counters.pair('api.east', WEB).begin(clock.monotonic(), 'http1');
    const found = (await workers.pairs()).map(({ peer, requests: asked }) => [peer, asked] as const);
    expect(Object.fromEntries(found)).to.deep.equal({ 'api.east': 1, 'web.east': 2 });
  });

  it('say the worst of what any of them follows', async () => {
    await start();
    expect(await workers.sync()).to.deep.equal([{ kind: 'services', ok: true, ageS: 3 }]);
    at(1).sync = [{ kind: 'services', ok: false }];
    at(2).silent = true;
    const answer = workers.sync();
    await clock.advance(2000);
    expect(await answer).to.deep.equal([{ kind: 'services', ok: false }]);
  });

  it('show who looks what each of them carries, also one that is started later, until nobody looks', async () => {
    await start();
    const filter = { maxRps: 10, forMs: 1000, path: '/cart' };
    const seen: unknown[] = [];
    const leave = workers.tap(filter, {
      event: ({ id }) => void seen.push(id),
      lost: ({ name }, count) => void seen.push(`${count} of ${name}`),
    });
    const tapOf = (worker: FakeWorker) => worker.questions.find((one) => one.ask === 'tap');
    expect(spawned.map((worker) => tapOf(worker)?.filter)).to.deep.equal([filter, filter, filter]);
    const tap = tapOf(at(1))?.tap ?? 0;
    const events = [{ id: 'a-1' }, { id: 'a-2' }] as TapFlow[];
    at(1).tell({ event: 'tapped', tap, events, lost: [{ target: { name: 'web', port: '80' }, count: 3 }] });
    at(0).events.onExit('SIGKILL');
    await clock.advance(1000);
    at(3).tell({ event: 'started' });
    expect(tapOf(at(3))).to.deep.equal({ ask: 'tap', tap, filter });
    at(3).tell({ event: 'tapped', tap, events: events.slice(0, 1), lost: [] });
    expect(seen).to.deep.equal(['a-1', 'a-2', '3 of web', 'a-1']);
    leave();
    expect(at(1).questions.at(-1)).to.deep.equal({ ask: 'untap', tap });
    at(1).tell({ event: 'tapped', tap, events, lost: [] });
    expect(seen).to.have.length(4);
  });

  it('add up what they have counted, and take the best view of endpoints', async () => {
    await start();
    for (const worker of spawned) begun(worker.counters, WEB);
    const report = await workers.report();
    expect(report.counters.targets[WEB]?.requests).to.equal(3);
    expect(report.balancers[WEB]).to.deep.equal({ ready: 2, known: 3 });
    expect(report.accessLogDropped).to.equal(3);
    expect(report.processErrors).to.deep.equal({ exceptions: 13, rejections: 6, contained: 9 });
  });

  // Prometheus takes a counter that goes backwards for a restart of everything, and shows a rate that never
  // was.
  it('keep the counters of one that was killed', async () => {
    await start();
    for (const worker of spawned) begun(worker.counters, WEB);
    at(0).counters.client.begin({ bytesRead: 7, bytesWritten: 0 });
    expect(await requests()).to.equal(3);
    at(0).events.onExit('SIGKILL');
    expect(await requests()).to.equal(3);
    await clock.advance(1000);
    begun(at(3).counters, WEB);
    const { counters } = await workers.report();
    expect(counters.targets[WEB]?.requests).to.equal(4);
    expect(counters.client).to.include({ opened: 1, open: 0, readBytes: 7 });
  });

  it('count what one told at its end, after the last scrape', async () => {
    await start();
    await workers.report();
    begun(at(0).counters, WEB);
    at(0).tell({ event: 'last', report: at(0).report });
    at(0).events.onExit('exit code 0');
    expect(await requests()).to.equal(1);
  });

  it('show one that does not answer a scrape as it was', async () => {
    await start();
    begun(at(1).counters, WEB);
    expect(await requests()).to.equal(1);
    at(1).silent = true;
    const report = workers.report();
    await clock.advance(2000);
    expect((await report).counters.targets[WEB]?.requests).to.equal(1);
  });

  it('do not count one twice that is replaced while a scrape waits for another', async () => {
    await start();
    begun(at(0).counters, WEB);
    at(1).silent = true;
    const report = workers.report();
    await clock.advance(100);
    at(0).events.onExit('SIGKILL');
    await clock.advance(5000);
    expect((await report).counters.targets[WEB]?.requests).to.equal(1);
    at(1).silent = false;
    expect(await requests()).to.equal(1);
  });

  it('are replaced after a growing delay', async () => {
    await start();
    const delays: number[] = [];
    for (let round = 0; round < 4; round++) {
      const before = spawned.length;
      const since = clock.now();
      at(before === 3 ? 2 : before - 1).events.onExit('exit code 1');
      while (spawned.length === before) await clock.advance(10);
      delays.push(clock.now() - since);
    }
    expect(delays).to.deep.equal([150, 300, 600, 1200]);
    expect((await workers.counts()).restarts).to.equal(4);
  });

  // A worker that hangs still gets its share of the connections from the kernel: every third client would
  // wait for ever.
  it('that hang are killed', async () => {
    await start();
    at(1).silent = true;
    await clock.advance(34_000);
    expect(at(1).signals).to.deep.equal([]);
    await clock.advance(2000);
    expect(at(1).signals).to.deep.equal(['SIGKILL']);
    expect(at(0).signals).to.deep.equal([]);
  });

  it('are asked once however many ask', async () => {
    await start();
    const before = at(0).asked;
    await Promise.all(Array.from({ length: 100 }, () => workers.ready()));
    expect(at(0).asked).to.equal(before + 1);
  });

  it('drain together, and are not replaced', async () => {
    await start();
    const stopped = workers.stop();
    expect(spawned.map(({ signals }) => signals)).to.deep.equal([['SIGTERM'], ['SIGTERM'], ['SIGTERM']]);
    expect((await workers.ready()).reason).to.equal('shutting down');
    for (const worker of spawned) worker.events.onExit('exit code 0');
    await stopped;
    await clock.advance(60_000);
    expect(spawned).to.have.length(3);
  });

  it('that do not end in time are killed', async () => {
    await start();
    const stopped = workers.stop();
    at(0).events.onExit('exit code 0');
    await clock.advance(30_000);
    expect(at(0).signals).to.deep.equal(['SIGTERM']);
    expect(at(1).signals).to.deep.equal(['SIGTERM', 'SIGKILL']);
    at(1).events.onExit('SIGKILL');
    at(2).events.onExit('SIGKILL');
    await stopped;
  });

  it('give the best answer about a target', async () => {
    await start();
    expect(await workers.targetReady({ namespace: 'demo', service: 'web' })).to.deep.equal({
      status: 503,
      reason: 'none',
    });
  });

  it('begin with nothing counted', async () => {
    await start();
    expect((await workers.report()).counters.targets).to.deep.equal(EMPTY_REPORT.counters.targets);
  });
});

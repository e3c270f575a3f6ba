import type { SyncStats } from '../../api/answers/stats-report.ts';
import { worstSync } from '../../kube/informer/followed.ts';
import type { TapFilter } from '../../api/answers/tap-events.ts';
import type { TapSink } from '../../tap/tap.ts';
import type { TappedEvents } from './worker-taps.ts';
import { addPairs, type PairNumbers } from '../../proxy/metrics/pair-counters.ts';
import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { endedSnapshot } from '../../proxy/metrics/counters-snapshot.ts';
import type { Health, PartHealth } from '../../telemetry/admin.ts';
import type { ProcessErrors } from '../../telemetry/last-resort.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { GatewayAdminView } from '../admin-view.ts';
import {
  addReports,
  EMPTY_REPORT,
  type GatewayNumbers,
  type GatewayReport,
  numbersOf,
  type WorkerCounts,
} from '../gateway-metrics.ts';
import { bestReadiness, type ReadinessQuery } from '../target-readiness.ts';
import type { WorkerQuestion, WorkerMessage, WorkerEvents, WorkerHandle } from './worker.ts';

/** Timeout of a worker's answer, milliseconds. */
const ANSWER_MS = 2000;
/**
 * How often a worker's liveness is checked, and after how long without an answer it is replaced;
 * milliseconds.
 */
const WATCH_MS = 5000;
const SILENT_MS = 30_000;
/** Delay before a worker is replaced; it grows with each that ends young. */
const RESTART = { minMs: 200, maxMs: 30_000 };
/** A worker that has lived this long is replaced after the shortest delay again; milliseconds. */
const STEADY_MS = 60_000;

/** How many workers there are, and how they are started. */
export interface WorkersOptions {
  readonly count: number;
  /** Starts a worker process (`forkWorker`). @param number of its slot, from 1 */
  spawn(number: number, events: WorkerEvents): WorkerHandle;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Internal errors of the parent process itself. */
  processErrors(): ProcessErrors;
  /** Time for workers to end after `stop`, their own grace period included; milliseconds. */
  readonly stopMs: number;
}

/** A question that a worker has not answered yet. */
interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly timer: Timer;
}

/** A worker's slot, whose process is replaced when it ends. */
interface Slot {
  readonly number: number;
  handle: WorkerHandle | undefined;
  ready: boolean;
  /** The last report of its process. */
  report: GatewayReport;
  /** When its process was started (monotonic milliseconds). */
  startedAt: number;
  /** Processes that have ended since one lived for `STEADY_MS`. */
  failures: number;
  /** Of the next check of its process, or of the start of the next one. */
  timer: Timer | undefined;
  /** By number of the question. */
  readonly waiting: Map<number, Waiting>;
}

/**
 * Worker processes that share the gateway's port (SO_REUSEPORT), presented as one gateway. A worker that ends
 * is replaced after a growing delay; its counts are kept, so that counters never go backwards. A worker that
 * hangs is killed and replaced.
 *
 * The gateway is ready when at least one worker is: the kernel gives connections only to workers that listen,
 * and a worker listens only when it is ready. If all had to be ready, the crash of one would withdraw all of
 * the cluster's exports.
 */
export class GatewayWorkers implements GatewayAdminView {
  readonly #options: WorkersOptions;
  readonly #slots: Slot[];
  /** The sum of what processes that have ended counted. */
  #retired = EMPTY_REPORT;
  #restarts = 0;
  #ids = 0;
  #stopping = false;
  /** Who looks, by number. */
  readonly #taps = new Map<number, { readonly filter: TapFilter; readonly sink: TapSink }>();
  /** Called when a process has ended. */
  #changed: () => void = () => undefined;
  /** Questions to all workers that are under way. */
  #asking: { ready?: Promise<Health>; report?: Promise<GatewayReport> } = {};

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count }, (_, at) => ({
      number: at + 1,
      handle: undefined,
      ready: false,
      report: EMPTY_REPORT,
      startedAt: 0,
      failures: 0,
      timer: undefined,
      waiting: new Map<number, Waiting>(),
    }));
  }

  /** How many workers there are; asks each whether it is ready. */
  async counts(): Promise<WorkerCounts> {
    await this.ready();
    const ready = this.#slots.filter((slot) => slot.ready).length;
    return { ready, wanted: this.#slots.length, restarts: this.#restarts };
  }

  /**
   * Starts the first worker alone, so that a configuration error is reported once, then the others.
   * @throws LinkspanError WORKER_FAILED
   */
  async start(): Promise<void> {
    const [first, ...others] = this.#slots;
    if (first === undefined) return;
    await new Promise<void>((resolve, reject) => {
      this.#spawn(first, {
        onStarted: resolve,
        onEarlyExit: (how) =>
          reject(
            new LinkspanError(
              'WORKER_FAILED',
              `the first worker ended (${how}) before it could serve; what it said stands above`,
            ),
          ),
      });
    });
    if (!this.#stopping) for (const slot of others) this.#spawn(slot);
  }

  /** Lets every worker finish its flows, and kills those that take too long. */
  async stop(): Promise<void> {
    const { clock, log, stopMs } = this.#options;
    this.#stopping = true;
    for (const slot of this.#slots) {
      slot.timer?.cancel();
      slot.handle?.kill('SIGTERM');
    }
    const late = clock.after(stopMs, () => {
      for (const { handle, number } of this.#slots) {
        if (handle === undefined) continue;
        log.warn({ worker: number, pid: handle.pid }, 'worker did not end in time, killed');
        handle.kill('SIGKILL');
      }
    });
    while (this.#slots.some(({ handle }) => handle !== undefined))
      await new Promise<void>((resolve) => (this.#changed = resolve));
    late.cancel();
  }

  /**
   * Whether some worker is ready. Concurrent callers share one answer, so that a flood of requests at the
   * admin port does not reach the workers.
   */
  ready(): Promise<Health> {
    this.#asking.ready ??= this.#askReady().finally(() => delete this.#asking.ready);
    return this.#asking.ready;
  }

  /**
   * The sum of all workers' reports, those that have ended included. Concurrent callers share one, as of
   * `ready`.
   */
  report(): Promise<GatewayReport> {
    this.#asking.report ??= this.#askReports().finally(() => delete this.#asking.report);
    return this.#asking.report;
  }

  async numbers(): Promise<GatewayNumbers> {
    return numbersOf(await this.report());
  }

  async pairs(): Promise<readonly PairNumbers[]> {
    const answers = await this.#askAll({ ask: 'pairs' });
    return addPairs(answers.filter((answer) => answer !== undefined) as PairNumbers[][]);
  }

  async sync(): Promise<readonly SyncStats[]> {
    const answers = await this.#askAll({ ask: 'sync' });
    return worstSync((answers.filter((answer) => answer !== undefined) as SyncStats[][]).flat());
  }

  async targetReady(target: ReadinessQuery): Promise<PartHealth> {
    const answers = await this.#askAll({ ask: 'target', target });
    return bestReadiness(answers.filter((answer) => answer !== undefined) as PartHealth[]);
  }

  tap(filter: TapFilter, sink: TapSink): () => void {
    const tap = ++this.#ids;
    this.#taps.set(tap, { filter, sink });
    void this.#askAll({ ask: 'tap', tap, filter });
    return () => {
      this.#taps.delete(tap);
      void this.#askAll({ ask: 'untap', tap });
    };
  }

  setLogLevel(level: string): void {
    void this.#askAll({ ask: 'level', level });
  }

  async #askReady(): Promise<Health> {
    if (this.#stopping) return { ok: false, reason: 'shutting down' };
    const answers = (await this.#askAll({ ask: 'ready' })) as (Health | undefined)[];
    const reasons: string[] = [];
    for (const [at, answer] of answers.entries()) {
      const slot = this.#slots[at];
      if (slot !== undefined) slot.ready = answer?.ok === true;
      if (answer?.ok !== true) reasons.push(`worker ${at + 1}: ${answer?.reason ?? 'does not answer'}`);
    }
    return { ok: reasons.length < answers.length, reason: reasons.join('; ') };
  }

  async #askReports(): Promise<GatewayReport> {
    await Promise.all(
      this.#slots.map(async (slot) => {
        const { handle } = slot;
        const answer = await this.#ask(slot, { ask: 'report' }, ANSWER_MS);
        // The counts of a worker that has ended meanwhile are kept already; a slow one is shown with its last
        // report.
        if (answer !== undefined && slot.handle === handle) slot.report = answer as GatewayReport;
      }),
    );
    const own = addReports(this.#retired, { ...EMPTY_REPORT, processErrors: this.#options.processErrors() });
    return this.#slots.reduce((sum, slot) => addReports(sum, slot.report), own);
  }

  #askAll(question: WorkerQuestion): Promise<unknown[]> {
    return Promise.all(this.#slots.map((slot) => this.#ask(slot, question, ANSWER_MS)));
  }

  /** Asks one worker. @returns undefined when there is no answer in time */
  #ask(slot: Slot, question: WorkerQuestion, timeoutMs: number): Promise<unknown> {
    const { handle, waiting } = slot;
    if (handle === undefined) return Promise.resolve(undefined);
    const id = ++this.#ids;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(
        timeoutMs,
        () => {
          waiting.delete(id);
          resolve(undefined);
        },
        { unref: true },
      );
      waiting.set(id, { resolve, timer });
      handle.send({ id, question });
    });
  }

  /** Starts a process in a slot. @param first if given, an end before it has started is told, not repaired */
  #spawn(slot: Slot, first?: { onStarted: () => void; onEarlyExit: (how: string) => void }): void {
    const { clock, log } = this.#options;
    let started = false;
    slot.timer = undefined;
    slot.startedAt = clock.monotonic();
    const handle = this.#options.spawn(slot.number, {
      onMessage: (told: WorkerMessage) => {
        // A late message of a process that has been replaced.
        if (slot.handle !== handle) return;
        if ('id' in told) this.#answered(slot, told.id, told.answer);
        else if (told.event === 'last') slot.report = told.report;
        else if (told.event === 'tapped') this.#tapped(told);
        else {
          started = true;
          log.info({ worker: slot.number, pid: handle.pid }, 'worker started');
          // What was asked before it listened is lost.
          for (const [tap, { filter }] of this.#taps)
            void this.#ask(slot, { ask: 'tap', tap, filter }, ANSWER_MS);
          first?.onStarted();
        }
      },
      onExit: (how) => {
        this.#ended(slot);
        if (first !== undefined && !started) first.onEarlyExit(how);
        else this.#replace(slot, how);
        this.#changed();
      },
    });
    slot.handle = handle;
    this.#watch(slot, handle);
  }

  #tapped({ tap, events, lost }: TappedEvents): void {
    const sink = this.#taps.get(tap)?.sink;
    for (const event of events) sink?.event(event);
    for (const { target, count } of lost) sink?.lost(target, count);
  }

  #answered(slot: Slot, id: number, answer: unknown): void {
    const waiting = slot.waiting.get(id);
    slot.waiting.delete(id);
    waiting?.timer.cancel();
    waiting?.resolve(answer);
  }

  /** The process of a slot has ended: its counts are kept, and questions to it get no answer. */
  #ended(slot: Slot): void {
    slot.handle = undefined;
    slot.ready = false;
    slot.timer?.cancel();
    for (const { resolve, timer } of slot.waiting.values()) {
      timer.cancel();
      resolve(undefined);
    }
    slot.waiting.clear();
    this.#retired = addReports(this.#retired, {
      ...slot.report,
      counters: endedSnapshot(slot.report.counters),
      balancers: {},
    });
    slot.report = EMPTY_REPORT;
  }

  #replace(slot: Slot, how: string): void {
    const { clock, random, log } = this.#options;
    if (this.#stopping) return;
    if (clock.monotonic() - slot.startedAt >= STEADY_MS) slot.failures = 0;
    const delayMs = Math.round(backoffDelay(slot.failures++, RESTART, random));
    this.#restarts++;
    log.error({ worker: slot.number, how, delayMs }, 'worker ended, will be replaced');
    slot.timer = clock.after(delayMs, () => this.#spawn(slot));
  }

  /** Checks a worker's liveness periodically. */
  #watch(slot: Slot, handle: WorkerHandle): void {
    const { clock } = this.#options;
    slot.timer = clock.after(
      WATCH_MS,
      () => {
        void this.#hear(slot, handle);
      },
      { unref: true },
    );
  }

  /** Asks whether a worker is still there; kills one that does not answer. */
  async #hear(slot: Slot, handle: WorkerHandle): Promise<void> {
    const { log } = this.#options;
    const answer = await this.#ask(slot, { ask: 'ready' }, SILENT_MS);
    if (slot.handle !== handle || this.#stopping) return;
    slot.ready = (answer as Health | undefined)?.ok === true;
    if (answer === undefined) {
      log.error({ worker: slot.number, pid: handle.pid }, 'worker does not answer, killed');
      handle.kill('SIGKILL');
    } else {
      this.#watch(slot, handle);
    }
  }
}

import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { endedSnapshot } from '../../proxy/metrics/counters.ts';
import type { Health, PartHealth } from '../../telemetry/admin.ts';
import type { ProcessErrors } from '../../telemetry/last-resort.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { GatewayAdminView } from '../admin-view.ts';
import { addReports, EMPTY_REPORT, type GatewayReport, type WorkerCounts } from '../gateway-metrics.ts';
import { bestReadiness, type ReadinessQuery } from '../target-readiness.ts';
import type { WorkerQuestion, WorkerMessage, WorkerEvents, WorkerHandle } from './worker.ts';

/** Time in which a worker answers, for a question that somebody waits for. */
const ANSWER_MS = 2000;
/** How often a worker is asked whether it is well, and after how long without an answer it is replaced. */
const WATCH_MS = 5000;
const SILENT_MS = 30_000;
const RESTART = { minMs: 200, maxMs: 30_000 };
/** A worker that lived as long as this is restarted without delay again. */
const STEADY_MS = 60_000;

export interface WorkersOptions {
  readonly count: number;
  spawn(number: number, events: WorkerEvents): WorkerHandle;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** What came to nobody's hands in this process, which carries no traffic. */
  processErrors(): ProcessErrors;
  /** Time for workers to end after `stop`, their own grace included. */
  readonly stopMs: number;
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly timer: Timer;
}

/** One place for a worker: the process in it may change. */
interface Slot {
  readonly number: number;
  handle: WorkerHandle | undefined;
  ready: boolean;
  /** What it told last. */
  report: GatewayReport;
  startedAt: number;
  failures: number;
  timer: Timer | undefined;
  readonly waiting: Map<number, Waiting>;
}

/**
 * Worker processes that share the gateway's port (SO_REUSEPORT), seen as one. One that ends is replaced after
 * a growing delay; what it has counted is kept, so counters never go backwards. One that has hung is killed
 * and replaced.
 *
 * The gateway is ready when at least one worker is: the kernel gives connections only to workers that listen,
 * and a worker listens only when it is ready. Were all demanded, the crash of one would take the whole
 * cluster's exports away.
 */
export class Workers implements GatewayAdminView {
  readonly #options: WorkersOptions;
  readonly #slots: Slot[];
  #retired = EMPTY_REPORT;
  #restarts = 0;
  #ids = 0;
  #stopping = false;
  #changed: () => void = () => undefined;
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

  /** How many carry traffic, asked now. */
  async counts(): Promise<WorkerCounts> {
    await this.ready();
    const ready = this.#slots.filter((slot) => slot.ready).length;
    return { ready, wanted: this.#slots.length, restarts: this.#restarts };
  }

  /**
   * Starts the first worker alone, so that what is wrong with the configuration is said once, then the
   * others.
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

  /** Lets every worker finish what is under way, and ends those that take too long. */
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
   * Shared by all who ask at the same time: a flood of questions at the admin port must not become one at the
   * workers.
   */
  ready(): Promise<Health> {
    this.#asking.ready ??= this.#askReady().finally(() => delete this.#asking.ready);
    return this.#asking.ready;
  }

  report(): Promise<GatewayReport> {
    this.#asking.report ??= this.#askReports().finally(() => delete this.#asking.report);
    return this.#asking.report;
  }

  async targetReady(target: ReadinessQuery): Promise<PartHealth> {
    const answers = await this.#askAll({ ask: 'target', target });
    return bestReadiness(answers.filter((answer) => answer !== undefined) as PartHealth[]);
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
        // One that has ended meanwhile has been counted already; one that is slow is shown as it was.
        if (answer !== undefined && slot.handle === handle) slot.report = answer as GatewayReport;
      }),
    );
    const own = addReports(this.#retired, { ...EMPTY_REPORT, processErrors: this.#options.processErrors() });
    return this.#slots.reduce((sum, slot) => addReports(sum, slot.report), own);
  }

  #askAll(question: WorkerQuestion): Promise<unknown[]> {
    return Promise.all(this.#slots.map((slot) => this.#ask(slot, question, ANSWER_MS)));
  }

  /** @returns undefined when there is no answer in time */
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

  #spawn(slot: Slot, first?: { onStarted: () => void; onEarlyExit: (how: string) => void }): void {
    const { clock, log } = this.#options;
    let started = false;
    slot.timer = undefined;
    slot.startedAt = clock.monotonic();
    const handle = this.#options.spawn(slot.number, {
      onMessage: (told: WorkerMessage) => {
        // A late word of one that has been replaced.
        if (slot.handle !== handle) return;
        if ('id' in told) this.#answered(slot, told.id, told.answer);
        else if (told.event === 'last') slot.report = told.report;
        else {
          started = true;
          log.info({ worker: slot.number, pid: handle.pid }, 'worker started');
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

  #answered(slot: Slot, id: number, answer: unknown): void {
    const waiting = slot.waiting.get(id);
    slot.waiting.delete(id);
    waiting?.timer.cancel();
    waiting?.resolve(answer);
  }

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

  /** Asks a worker again and again whether it is well. */
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

import { fork } from 'node:child_process';
import type { GatewayAdminView } from '../admin-view.ts';
import type { TapFilter } from '../../api/answers/tap-events.ts';
import { type TappedEvents, WorkerTaps } from './worker-taps.ts';
import type { GatewayReport } from '../gateway-metrics.ts';
import type { ReadinessQuery } from '../target-readiness.ts';
import type { Logger } from '../../telemetry/log.ts';

/** Environment variable of worker processes: their number, from 1. */
export const WORKER_VARIABLE = 'LINKSPAN_WORKER';

/** Requests of the parent to its workers. */
export type WorkerQuestion =
  | { readonly ask: 'ready' }
  | { readonly ask: 'report' }
  | { readonly ask: 'pairs' }
  | { readonly ask: 'sync' }
  | { readonly ask: 'target'; readonly target: ReadinessQuery }
  | { readonly ask: 'level'; readonly level: string }
  | { readonly ask: 'tap'; readonly tap: number; readonly filter: TapFilter }
  | { readonly ask: 'untap'; readonly tap: number };

/** A message from the parent: a request with its number. */
export interface WorkerRequest {
  readonly id: number;
  readonly question: WorkerQuestion;
}

/**
 * A message to the parent: the answer to a request, that the worker is ready to serve, or its last report
 * before it ends.
 */
export type WorkerMessage =
  | { readonly id: number; readonly answer: unknown }
  | { readonly event: 'started' }
  | TappedEvents
  | { readonly event: 'last'; readonly report: GatewayReport };

/** The parent's handle to a worker process. */
export interface WorkerHandle {
  readonly pid: number | undefined;
  /** Sends a message. Never throws; a process that has ended does not receive it. */
  send(asked: WorkerRequest): void;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

/** What the parent hears of a worker process. */
export interface WorkerEvents {
  onMessage(told: WorkerMessage): void;
  /** Called once. @param how exit code, signal, or why it could not be started */
  onExit(how: string): void;
}

/** This process's number among the workers of a gateway; undefined when it is no worker. */
export function workerNumber(env: NodeJS.ProcessEnv): number | undefined {
  const text = env[WORKER_VARIABLE];
  return text === undefined || process.send === undefined ? undefined : Number(text);
}

/** Starts this program once more with the same command line, as a worker. */
export function forkWorker(number: number, events: WorkerEvents): WorkerHandle {
  const [, program = '', ...args] = process.argv;
  const env: NodeJS.ProcessEnv = { ...process.env, [WORKER_VARIABLE]: String(number) };
  // The launcher's variable is not inherited: a worker watches this process, not the launcher.
  delete env['LINKSPAN_LAUNCHER'];
  const child = fork(program, args, {
    env,
    serialization: 'json',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let exited = false;
  const exit = (how: string) => {
    if (!exited) events.onExit(how);
    exited = true;
  };
  child.on('message', (message) => events.onMessage(message as WorkerMessage));
  child.on('exit', (code, signal) => exit(signal === null ? `exit code ${code ?? 0}` : signal));
  child.on('error', (error) => exit(error.message));
  return {
    pid: child.pid,
    send: (asked) => {
      if (child.connected) child.send(asked, () => undefined);
    },
    kill: (signal) => void child.kill(signal),
  };
}

/** A worker's channel to its parent. */
export interface ParentChannel {
  /** Tells the parent that the worker is ready to serve. */
  started(): void;
  /** Sends the final report and disconnects. */
  close(): Promise<void>;
}

/**
 * Answers the parent's requests, and ends this process when the parent is gone: otherwise nothing would stop
 * it, and it would keep the port.
 */
export function answerParent(view: GatewayAdminView, log: Logger): ParentChannel {
  const orphaned = () => process.exit(1);
  process.on('disconnect', orphaned);
  const send = process.send?.bind(process);
  const tell = (told: WorkerMessage) =>
    new Promise<void>((resolve) => {
      if (send === undefined || !process.connected) resolve();
      else send(told, undefined, undefined, () => resolve());
    });
  const taps = new WorkerTaps(view, (told) => void tell(told));
  const reply = async (id: number, question: WorkerQuestion) => {
    let answer: unknown;
    try {
      answer = await answerOf(view, taps, question);
    } catch (err) {
      // The parent treats a missing answer as a hanging worker.
      log.error({ err, ask: question.ask }, 'the parent was not answered');
      return;
    }
    await tell({ id, answer });
  };
  process.on('message', (message) => {
    const { id, question } = message as WorkerRequest;
    void reply(id, question);
  });
  return {
    started: () => void tell({ event: 'started' }),
    close: async () => {
      await tell({ event: 'last', report: await view.report() });
      process.off('disconnect', orphaned);
      if (process.connected) process.disconnect?.();
    },
  };
}

function answerOf(view: GatewayAdminView, taps: WorkerTaps, question: WorkerQuestion): unknown {
  if (question.ask === 'ready') return view.ready();
  if (question.ask === 'report') return view.report();
  if (question.ask === 'pairs') return view.pairs();
  if (question.ask === 'sync') return view.sync();
  if (question.ask === 'target') return view.targetReady(question.target);
  if (question.ask === 'tap') taps.begin(question.tap, question.filter);
  else if (question.ask === 'untap') taps.end(question.tap);
  else view.setLogLevel(question.level);
  return true;
}

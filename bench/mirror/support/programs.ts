import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { freePorts } from '../../../test/testbed/control-plane.ts';
import { cpuSeconds } from '../../cpu-seconds.ts';

const ROOT = path.join(import.meta.dirname, '../../..');
const STOP_MS = 20_000;
const SETTLED_MB = 1;
const START_IS_OVER_MS = 12_000;
const SETTLED_SAMPLES = 5;
const SAMPLE_MS = 1000;
const MAX_SAMPLES = 30;

/** Something of the benchmark's own that runs beside it. */
export interface Program {
  readonly child: ChildProcess;
  /** What it listens on. */
  readonly port: number;
}

/**
 * `NAME=value` that the watchdog of a cluster looks for: what carries it ends with this process, however this
 * process ends.
 */
export function markedEnv(marker: string): NodeJS.ProcessEnv {
  const [name = '', ...value] = marker.split('=');
  return { ...process.env, [name]: value.join('=') };
}

/** Starts a TypeScript file beside this one; it says the port that it listens on in its first line. */
export async function startProgram(file: string, args: readonly string[], marker: string): Promise<Program> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, file), ...args], {
    env: markedEnv(marker),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`${file} ended with ${String(code)}`);
    }),
  ])) as [Buffer];
  return { child, port: Number(line.toString().trim()) };
}

/** Ends a child process and waits for that. */
export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
}

export interface ControllerOptions {
  readonly kubeconfigFile: string;
  /** Of its Links. */
  readonly namespace: string;
  readonly marker: string;
  readonly logFile: string;
  /** Where it leaves a CPU profile when it ends, if at all. */
  readonly profileDir: string | undefined;
}

/** The product: `linkspan controller` as users run it, a process of its own. */
export class ControllerProcess {
  /** `performance.now()` when it was started. */
  readonly startedAt: number;
  readonly #child: ChildProcess;
  readonly #admin: string;
  readonly #logFile: string;

  private constructor(child: ChildProcess, admin: string, logFile: string) {
    this.startedAt = performance.now();
    this.#child = child;
    this.#admin = admin;
    this.#logFile = logFile;
  }

  /** Returns when the process has been started, which is before it can do anything. */
  static async start(options: ControllerOptions): Promise<ControllerProcess> {
    const { kubeconfigFile, namespace, marker, logFile, profileDir } = options;
    const { api: port } = await freePorts('127.0.0.1');
    const admin = `127.0.0.1:${port}`;
    const profile = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
    const program = [path.join(ROOT, 'bin/linkspan.js'), 'controller', '--kubeconfig', kubeconfigFile];
    const flags = [
      '--namespace',
      namespace,
      '--data-path',
      'gateway',
      '--admin',
      admin,
      '--replica',
      'bench',
    ];
    const log = openSync(logFile, 'a');
    const child = spawn(process.execPath, [...profile, ...program, ...flags], {
      // As in the image (Dockerfile) and in the chart (controller.yaml).
      env: { ...markedEnv(marker), MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '32768' },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    return new ControllerProcess(child, admin, logFile);
  }

  /** Sums of the values of its metrics, by name; undefined while it does not answer. */
  async metrics(): Promise<ReadonlyMap<string, number> | undefined> {
    this.#assertRunning();
    const text = await fetch(`http://${this.#admin}/metrics`)
      .then((response) => response.text())
      .catch(() => undefined);
    if (text === undefined) return undefined;
    const sums = new Map<string, number>();
    for (const line of text.split('\n')) {
      const [, name, value] = /^(\w+)(?:\{.*\})? (\S+)$/.exec(line) ?? [];
      if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value));
    }
    return sums;
  }

  /**
   * Waits until all peers (so many) have heard everything and nothing waits to be looked at;
   * `performance.now()` of that.
   */
  async idle(peers: number): Promise<number> {
    const end = performance.now() + 60_000;
    for (;;) {
      const metrics = await this.metrics();
      const now = performance.now();
      if (metrics?.get('linkspan_peer_synced') === peers && metrics.get('linkspan_queue_depth') === 0)
        return now;
      if (now > end) throw new Error('the controller does not come to rest');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Resident memory now and at its highest, MB of 10^6 bytes. */
  memory(): { readonly now: number; readonly peak: number } {
    this.#assertRunning();
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    const mb = (name: string) => (Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024) / 1e6;
    return { now: mb('VmRSS'), peak: mb('VmHWM') };
  }

  /** Its memory once it changes no more: five seconds within one MB, or after half a minute. */
  async settledMemory(): Promise<{ readonly now: number; readonly peak: number }> {
    // What its start has taken is given back 10 s after it (`src/processes/v8-tuning.ts`).
    const young = this.startedAt + START_IS_OVER_MS - performance.now();
    if (young > 0) await new Promise((resolve) => setTimeout(resolve, young));
    let samples: number[] = [];
    for (let n = 0; n < MAX_SAMPLES && samples.length < SETTLED_SAMPLES; n++) {
      const { now } = this.memory();
      samples = samples.every((sample) => Math.abs(sample - now) <= SETTLED_MB) ? [...samples, now] : [now];
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
    return this.memory();
  }

  /** Seconds of CPU that it has used, all threads. */
  cpuSeconds(): number {
    this.#assertRunning();
    return cpuSeconds(this.#child.pid ?? 0);
  }

  /** SIGTERM, as Kubernetes does; resolves when it is gone. */
  stop(): Promise<void> {
    return end(this.#child, 'SIGTERM');
  }

  #assertRunning(): void {
    const how = this.#child.signalCode ?? this.#child.exitCode;
    if (how === null) return;
    const tail = readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
    throw new Error(`the controller ended with ${how}; its last lines:\n${tail}`);
  }
}

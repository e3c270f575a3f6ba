import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { eventually } from './eventually.ts';

/** The checkout that the tests are of. */
export const root = path.join(import.meta.dirname, '../..');

/** The runtimes that gateway and egress have to run on. */
export const RUNTIMES = ['node', 'bun'] as const;
export type Runtime = (typeof RUNTIMES)[number];

/** The program that people start. */
const LINKSPAN = path.join(root, 'bin/linkspan.js');

/**
 * The environment of a gateway or an egress that is started by `bin/linkspan.js`: without the tests' own
 * cache of compiled code. The program chooses a folder for what it compiles with flags of V8 that others do
 * not have; in the folder of the tests the two would throw away what the other has kept, at every start.
 */
export function linkspanEnv(): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE: _ofTests, ...env } = process.env;
  return env;
}

/** What makes a runtime load a file before its program. */
const LOAD_FIRST: Readonly<Record<Runtime, string>> = { node: '--import', bun: '--preload' };

/** The arguments with which a runtime loads a file first; none where there is none. */
export function loadFirst(runtime: Runtime, file: string | undefined): string[] {
  return file === undefined ? [] : [LOAD_FIRST[runtime], file];
}

/** A program of this repository as a process of its own, with what it wrote. */
export abstract class RuntimeProcess {
  /** The port of its admin server, where it gives its metrics. */
  readonly admin: number;
  readonly #child: ChildProcess;
  #told = false;
  #log = '';

  /** @param own variables of its environment, beside those of the tests */
  protected constructor(
    runtime: Runtime,
    args: readonly string[],
    admin: number,
    own: Readonly<Record<string, string>> = {},
  ) {
    this.admin = admin;
    const env = { ...(args.includes(LINKSPAN) ? linkspanEnv() : process.env), ...own };
    const child = spawn(path.join(root, 'node_modules/.bin', runtime), args, { env });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Whether it has ended, of itself or not. */
  get gone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Whether it has ended, or was told to. */
  get ending(): boolean {
    return this.#told || this.gone;
  }

  /** All that it wrote until now. */
  get log(): string {
    return this.#log;
  }

  /**
   * Waits until `heard` finds in the log what it looks for; rejects with the log when the process ends
   * before.
   */
  protected async says<T>(what: string, heard: (log: string) => T): Promise<NonNullable<T>> {
    return this.orKilled(
      eventually(what, () => {
        if (this.#child.exitCode !== null) throw new Error(`it ended before: ${this.#log}`);
        return heard(this.#log);
      }),
    );
  }

  /**
   * Waits for what belongs to its start. When that fails it is killed: nobody has got it who could, and a
   * controller without its cluster asks on for ever.
   */
  async orKilled<T>(start: Promise<T>): Promise<T> {
    try {
      return await start;
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.admin}/metrics`)).text();
  }

  /**
   * Sends a signal. SIGUSR2 and SIGHUP: only if the program handles it, itself or by a file that was loaded
   * first. After SIGSTOP it neither ends nor answers until SIGCONT.
   */
  signal(signal: 'SIGUSR2' | 'SIGHUP' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  terminate(): void {
    this.#told = true;
    this.#child.kill('SIGTERM');
  }

  /** When the process is no more: its exit code. */
  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    return this.#child.exitCode;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended();
  }
}

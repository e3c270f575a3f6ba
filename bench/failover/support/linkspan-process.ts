import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '../../../test/support/eventually.ts';
import { end, markedEnv } from '../../mirror/support/programs.ts';

const PROGRAM = path.join(import.meta.dirname, '../../../bin/linkspan.js');
const TAIL_LINES = 15;

export interface LinkspanOptions {
  /** Verb and flags, without `--admin`. */
  readonly args: readonly string[];
  /** Port on 127.0.0.1 of its admin server. */
  readonly admin: number;
  /** `NAME=value`, by which the testbed's watchdog ends it when this process is gone. */
  readonly marker: string;
  readonly logFile: string;
}

/** The product, `linkspan <verb>`, as a process that can be killed and started again. */
export class LinkspanProcess {
  readonly #options: LinkspanOptions;
  #child: ChildProcess | undefined;

  constructor(options: LinkspanOptions) {
    this.#options = options;
  }

  /** Starts it, unless it runs. @returns when it is ready */
  async start(): Promise<void> {
    if (this.#child === undefined) this.#child = this.#spawn();
    const child = this.#child;
    const { args, admin } = this.#options;
    await eventually(
      `linkspan ${args[0] ?? ''} is ready`,
      async () => {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`it has ended: ${this.#tail()}`);
        return (await fetch(`http://127.0.0.1:${admin}/ready`)).ok;
      },
      { timeoutMs: 60_000, everyMs: 20 },
    );
  }

  /** SIGKILL: what it has open is reset. @returns when it is gone */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined) await end(child);
  }

  #spawn(): ChildProcess {
    const { args, admin, marker, logFile } = this.#options;
    const log = openSync(logFile, 'a');
    const child = spawn(process.execPath, [PROGRAM, ...args, '--admin', `127.0.0.1:${admin}`], {
      // As in the image (Dockerfile).
      env: { ...markedEnv(marker), MALLOC_ARENA_MAX: '1' },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    return child;
  }

  #tail(): string {
    return readFileSync(this.#options.logFile, 'utf8').trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  }
}

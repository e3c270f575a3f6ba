import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Places, Sample } from '../../../test/e2e/programs/open-loop.mts';
import { markedEnv } from '../../mirror/support/programs.ts';

const PROGRAM = path.join(import.meta.dirname, '../../../test/e2e/programs/open-loop.mts');

/** Open-loop clients in a process of their own. */
export class Load {
  /** Of all requests that have ended. */
  readonly samples: Sample[] = [];
  readonly #child: ChildProcess;
  #places = '';

  /** @param rps requests per second, of all protocols together */
  constructor(rps: number, places: Places, marker: string) {
    this.#child = spawn(process.execPath, [PROGRAM, String(rps)], {
      env: markedEnv(marker),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    // Ended by whoever ends this process.
    this.#child.stdin?.on('error', () => undefined);
    if (this.#child.stdout !== null)
      createInterface({ input: this.#child.stdout }).on('line', (line) =>
        this.samples.push(JSON.parse(line) as Sample),
      );
    this.place(places);
  }

  /** Where new connections go from now on. */
  place(places: Places): void {
    const text = JSON.stringify(places);
    if (text === this.#places) return;
    this.#places = text;
    this.#child.stdin?.write(`${text}\n`);
  }

  /** Asks no more. @returns when all requests have ended: all of them */
  async stop(): Promise<readonly Sample[]> {
    this.#child.stdin?.end();
    await once(this.#child, 'close');
    return this.samples;
  }
}

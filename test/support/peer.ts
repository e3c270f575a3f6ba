import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { eventually } from './eventually.ts';

/** Another program that prints JSON, one value per line, and ends with its standard input. */
export class Peer {
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  #said = '';
  #asked = 0;

  constructor(file: string, args: readonly string[]) {
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
    this.#exit = once(this.#child, 'close');
  }

  /** Whether it has ended. */
  get gone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /**
   * Its nth line, from 0, as soon as it is there.
   * @param timeoutMs default 10 s
   * @throws when it ends without it
   */
  async line<T>(nth: number, timeoutMs?: number): Promise<T> {
    const text = await eventually(
      `line ${nth} of a program`,
      () => {
        const line = this.#said.split('\n').slice(0, -1)[nth];
        if (line === undefined && this.gone) throw new Error(`it has ended: ${this.#said}`);
        return line;
      },
      timeoutMs === undefined ? {} : { timeoutMs },
    );
    return JSON.parse(text) as T;
  }

  /**
   * Writes a line to a program that answers each with one, and waits up to a minute for the answer. One
   * question at a time.
   */
  ask<T>(question: unknown): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(question)}\n`);
    return this.line<T>(this.#asked++, 60_000);
  }

  /** Its last line, when it has ended by itself. */
  async result<T>(): Promise<T> {
    await this.#exit;
    return JSON.parse(this.#said.trimEnd().split('\n').at(-1) ?? '') as T;
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    await this.#exit;
  }
}

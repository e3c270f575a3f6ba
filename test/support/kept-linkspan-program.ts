/**
 * Runs verbs of `linkspan` one after another, with its modules loaded once: the other end of `keptLinkspan`
 * (linkspan.ts). A verb has ended when a process of its own would end: its work is done, and nothing that it
 * opened holds the event loop.
 */
import { Writable } from 'node:stream';

/** What one run gets of the process that asks for it. */
export interface KeptRequest {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

const PROGRAM = new URL('../../bin/linkspan.js', import.meta.url).pathname;
const MAIN = new URL('../../src/cli/main.ts', import.meta.url).href;
const POLL_MS = 5;

/** A stream that is no terminal, and keeps what is written. */
class Kept extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}

async function run({ args, env, cwd }: KeptRequest): Promise<void> {
  const before = holders();
  const stdout = new Kept();
  const stderr = new Kept();
  Object.defineProperty(process, 'stdout', { value: stdout, configurable: true });
  Object.defineProperty(process, 'stderr', { value: stderr, configurable: true });
  process.argv = [process.execPath, PROGRAM, ...args];
  process.exitCode = undefined;
  process.chdir(cwd);
  for (const name of Object.keys(process.env)) if (env[name] === undefined) delete process.env[name];
  Object.assign(process.env, env);
  // Another address is another module, which runs; all that it loads is there already.
  await import(`${MAIN}?run=${performance.now()}`);
  while (!isCovered(holders(), before))
    await new Promise((resolve) => void setTimeout(resolve, POLL_MS).unref());
  process.send?.({ code: exitCode(), stdout: stdout.text, stderr: stderr.text });
}

function exitCode(): number {
  return Number(process.exitCode ?? 0);
}

/** How many things of which kind keep the process from ending. */
function holders(): ReadonlyMap<string, number> {
  const kinds = Map.groupBy(process.getActiveResourcesInfo(), (kind) => kind);
  return new Map([...kinds].map(([kind, its]) => [kind, its.length]));
}

function isCovered(now: ReadonlyMap<string, number>, before: ReadonlyMap<string, number>): boolean {
  return [...now].every(([kind, count]) => count <= (before.get(kind) ?? 0));
}

process.on('message', (request: KeptRequest) => void run(request));
// Whatever a verb has left open: nobody asks any more.
process.on('disconnect', () => process.exit());

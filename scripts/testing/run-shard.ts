/** Runs one process of mocha and watches over it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestSummary } from '../../test/support/counting-reporter.ts';
import { Pieces } from './pieces.ts';
import type { Shard } from './shards.ts';

const root = path.join(import.meta.dirname, '../..');
/**
 * How long mocha may go on after its last test; longer means that a test left a socket, a timer or a process
 * open.
 */
const LINGER_MS = 20_000;
/**
 * A process that takes longer hangs: one with a whole suite, as in CI, takes a quarter of an hour on two slow
 * cores.
 */
const STUCK_MS = 40 * 60_000;
const POLL_MS = 250;
/**
 * How long output of a process that has ended may come; a program that a test left behind holds the pipe for
 * ever.
 */
const DRAIN_MS = 2000;

/**
 * Of V8. What sockets have read counts as memory beside the heap, and 64 MB of it make V8 mark all of the
 * heap, however small that is: where gateways, their clients and their targets are in one process that comes
 * several times a second, and took a tenth of its CPU. It counts towards the limit of the heap instead. And a
 * heap that begins small is marked again and again while the tests load.
 */
const V8_FLAGS = ['--external-memory-accounted-in-global-limit', '--initial-old-space-size=256'];

/** What all shards of a run have in common. */
export interface Run {
  /** Mocha's, such as `--grep X`. */
  readonly options: readonly string[];
  /** A dot for each test instead of its name. */
  readonly terse: boolean;
  /** A folder for this run's own files. */
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  /** Whether others run beside it: then what it says comes in whole pieces, and its failures at the end. */
  readonly shared: boolean;
  /** Processes that run now, for signals. */
  readonly running: Set<ChildProcess>;
}

export interface ShardResult extends TestSummary {
  /**
   * What is to be said after all tests: mocha's count and its failures, empty where that was said already.
   */
  readonly report: string;
}

/** The command of a shard. */
function commandOf({ suite, files }: Shard, { options, shared, terse }: Run, summary: string): string[] {
  const config = JSON.parse(readFileSync(path.join(root, '.mocharc.json'), 'utf8')) as { timeout: number };
  const netns = suite === 'integration' ? [process.execPath, path.join(root, 'test/testbed/run.ts')] : [];
  return [
    ...netns,
    process.execPath,
    ...V8_FLAGS,
    path.join(root, 'node_modules/mocha/bin/mocha.js'),
    '--no-config',
    '--forbid-only',
    '--forbid-pending',
    '--timeout',
    String(config.timeout),
    '--reporter',
    path.join(root, 'test/support/counting-reporter.ts'),
    '--reporter-option',
    `summary=${summary}`,
    ...(terse ? ['--reporter-option', 'terse=true'] : []),
    ...(shared ? ['--reporter-option', 'pieces=true', ...(process.stdout.isTTY ? ['--color'] : [])] : []),
    ...options,
    ...files,
  ];
}

/** Runs a shard to its end; never rejects over what its tests do. */
export async function runShard(shard: Shard, run: Run): Promise<ShardResult> {
  const summary = path.join(run.directory, shard.title.replaceAll(/\W/g, '-'));
  const [command = '', ...args] = commandOf(shard, run, summary);
  const pieces = new Pieces((piece) => void process.stdout.write(piece));
  const output = run.shared ? 'pipe' : 'inherit';
  const child = spawn(command, args, { cwd: root, env: run.env, stdio: ['inherit', output, output] });
  child.stdout?.setEncoding('utf8').on('data', (text: string) => pieces.take(text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => pieces.take(text));
  run.running.add(child);
  const exit = ended(child);
  const lingered = await endLingering(child, exit, summary);
  const outcome = await exit;
  run.running.delete(child);
  const counted = readSummary(summary);
  const trouble = troubleOf(outcome, counted, lingered);
  const report = pieces.rest();
  if (trouble === undefined) return { passed: 0, failed: 0, files: {}, ...counted, report };
  return {
    passed: counted?.passed ?? 0,
    failed: (counted?.failed ?? 0) + 1,
    files: counted?.files ?? {},
    report: `${report}\n${shard.title} tests: ${trouble}\n`,
  };
}

/** The exit code or signal as text, or why the process could not be started. */
function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? String(code)));
    child.once('exit', (code, signal) => {
      setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve(signal ?? String(code));
      }, DRAIN_MS).unref();
    });
  });
}

function troubleOf(outcome: string, counted: TestSummary | undefined, lingered: boolean): string | undefined {
  if (counted === undefined) return `mocha ended with ${outcome} before its tests were through`;
  if (lingered)
    return `mocha went on for ${LINGER_MS / 1000} s after its last test: a test left something open`;
  if (counted.failed === 0 && outcome !== '0') return `mocha ended with ${outcome} although no test failed`;
  return undefined;
}

/** Ends a mocha that is through with its tests, or has hung over one, and does not end by itself. */
async function endLingering(child: ChildProcess, exit: Promise<string>, summary: string): Promise<boolean> {
  const start = performance.now();
  let through: number | undefined;
  let lingered = false;
  const timer = setInterval(() => {
    if (!existsSync(summary) && performance.now() - start < STUCK_MS) return;
    through ??= performance.now();
    if (performance.now() - through < LINGER_MS) return;
    child.kill(lingered ? 'SIGKILL' : 'SIGTERM');
    lingered = true;
    through = performance.now() - LINGER_MS / 2;
  }, POLL_MS);
  await exit;
  clearInterval(timer);
  return lingered;
}

function readSummary(file: string): TestSummary | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as TestSummary) : undefined;
}

/**
 * `npm test [-- unit|integration] [mocha options, such as --grep X]`: the unit tests, then the integration tests in a network namespace
 * of their own. Mocha's output is streamed; the last line is `N passed, N failed`. The exit code is 1 when a test failed, none ran, or a
 * mocha process crashed or did not end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { TestSummary } from '../test/support/counting-reporter.ts';
import { binaries, CONTROL_PLANE, ended } from '../test/testbed/binaries.ts';
import { orExplain } from '../test/testbed/errors.ts';

const root = path.dirname(import.meta.dirname);
const INTEGRATION = 'test/integration/**/*.test.ts';
const INTEGRATION_TIMEOUT_MS = 60_000;
/** How long mocha may go on after its last test; longer means that a test left a socket, a timer or a process open. */
const LINGER_MS = 20_000;
/** A suite that takes longer hangs. */
const STUCK_MS = 20 * 60_000;
const POLL_MS = 250;
const suites = ['unit', 'integration'] as const;
type Suite = (typeof suites)[number];

/** The command of a suite; the runner's own options follow. */
function commandOf(suite: Suite): string[] {
  const mocha = [process.execPath, path.join(root, 'node_modules/mocha/bin/mocha.js')];
  if (suite === 'unit') return mocha;
  const netns = [process.execPath, path.join(root, 'test/testbed/run.ts')];
  const config = ['--no-config', '--extension', 'ts', '--forbid-only', '--forbid-pending'];
  return [...netns, ...mocha, ...config, '--timeout', String(INTEGRATION_TIMEOUT_MS), INTEGRATION];
}

let running: ChildProcess | undefined;

async function runSuite(suite: Suite, options: readonly string[], summary: string): Promise<TestSummary> {
  const [command = '', ...args] = commandOf(suite);
  const reporter = ['--reporter', path.join(root, 'test/support/counting-reporter.ts')];
  const child = spawn(
    command,
    [...args, ...reporter, '--reporter-option', `summary=${summary}`, ...options],
    {
      cwd: root,
      stdio: 'inherit',
    },
  );
  running = child;
  const exit = ended(child);
  const lingered = await endLingering(child, exit, summary);
  const outcome = await exit;
  running = undefined;
  const counted = readSummary(summary);
  const trouble = troubleOf(outcome, counted, lingered);
  if (trouble === undefined) return counted ?? { passed: 0, failed: 0 };
  process.stdout.write(`\n${suite} tests: ${trouble}\n`);
  return { passed: counted?.passed ?? 0, failed: (counted?.failed ?? 0) + 1 };
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

async function main(): Promise<void> {
  const [first, ...rest] = process.argv.slice(2);
  const only = suites.find((suite) => suite === first);
  const options = only === undefined ? process.argv.slice(2) : rest;
  const directory = mkdtempSync(path.join(os.tmpdir(), 'linkspan-test-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!(process.stdin.isTTY && signal === 'SIGINT')) running?.kill(signal);
    });
  }
  const total = { passed: 0, failed: 0 };
  for (const suite of only === undefined ? suites : [only]) {
    if (suite === 'integration' && globSync(INTEGRATION, { cwd: root }).length === 0) continue;
    const { passed, failed } = await counted(suite, options, path.join(directory, suite));
    total.passed += passed;
    total.failed += failed;
  }
  if (total.passed + total.failed === 0) process.stdout.write('no test ran\n');
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
}

/** A testbed that cannot be had counts as one failure, so that the last line never looks like a success. */
async function counted(suite: Suite, options: readonly string[], summary: string): Promise<TestSummary> {
  let result: TestSummary = { passed: 0, failed: 1 };
  await orExplain(async () => {
    // Before mocha starts, or a first build would run into the tests' time-outs.
    if (suite === 'integration') await binaries([...CONTROL_PLANE, 'helm']);
    result = await runSuite(suite, options, summary);
  });
  return result;
}

await main();

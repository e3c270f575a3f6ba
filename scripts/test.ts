/**
 * `npm test [-- unit|integration] [--from build|download] [--require-all] [mocha options, such as --grep X]`: gets the programs that
 * the tests need, then runs the unit tests, and the integration tests in a network namespace of their own. Mocha's output is streamed;
 * the last line is `N passed, N failed`. The exit code is 1 when a test failed, none ran, or a mocha process crashed or did not end.
 * Tests whose programs cannot be had here (programs.ts, OPTIONAL) are named at the start and at the end, and not counted; with
 * `--require-all` that is a failure, except of programs that only the machine can have.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { TestSummary } from '../test/support/counting-reporter.ts';
import { ended } from '../test/testbed/binaries/build.ts';
import { takeFromFlag } from '../test/testbed/binaries/flags.ts';
import { type LeftOut, prepare, prepareOptional } from '../test/testbed/binaries/prepare.ts';
import { NEEDS, OPTIONAL } from '../test/testbed/binaries/programs.ts';
import { systemPath } from '../test/testbed/binaries/system-path.ts';
import { orExplain, TestbedError } from '../test/testbed/errors.ts';
import { needsOfNetns, unshareCommand } from '../test/testbed/netns.ts';

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

/** What all runs of mocha here share. */
interface Run {
  readonly options: readonly string[];
  /** A folder for this run's own files. */
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly leftOut: readonly LeftOut[];
}

/** The command of a suite; the runner's own options follow. */
function commandOf(suite: Suite, leftOut: readonly LeftOut[]): string[] {
  const mocha = [process.execPath, path.join(root, 'node_modules/mocha/bin/mocha.js')];
  const ignored = leftOut.flatMap(({ need }) => need.files.flatMap((file) => ['--ignore', file]));
  if (suite === 'unit') return [...mocha, ...ignored];
  const netns = [process.execPath, path.join(root, 'test/testbed/run.ts')];
  const config = ['--no-config', '--extension', 'ts', '--forbid-only', '--forbid-pending'];
  return [
    ...netns,
    ...mocha,
    ...config,
    ...ignored,
    '--timeout',
    String(INTEGRATION_TIMEOUT_MS),
    INTEGRATION,
  ];
}

let running: ChildProcess | undefined;

async function runSuite(suite: Suite, run: Run): Promise<TestSummary> {
  const { options, env, leftOut } = run;
  const summary = path.join(run.directory, suite);
  const [command = '', ...args] = commandOf(suite, leftOut);
  const reporter = ['--reporter', path.join(root, 'test/support/counting-reporter.ts')];
  const child = spawn(
    command,
    [...args, ...reporter, '--reporter-option', `summary=${summary}`, ...options],
    {
      cwd: root,
      env,
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
  let args: string[] = [];
  const understood = await explained(() => {
    args = takeFromFlag(process.argv.slice(2));
  });
  if (!understood) return void process.stdout.write('0 passed, 1 failed\n');
  const requireAll = args.includes('--require-all');
  const [first, ...rest] = args.filter((arg) => arg !== '--require-all');
  const only = suites.find((suite) => suite === first);
  const options = only === undefined && first !== undefined ? [first, ...rest] : rest;
  const directory = mkdtempSync(path.join(os.tmpdir(), 'linkspan-test-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // While programs are fetched or built there is no mocha that would end, and us with it.
      if (running === undefined) process.exit(128 + os.constants.signals[signal]);
      if (!(process.stdin.isTTY && signal === 'SIGINT')) running.kill(signal);
    });
  }
  const chosen = only === undefined ? suites : [only];
  const total = { passed: 0, failed: 0 };
  const leftOut: LeftOut[] = [];
  // Before the first test, not between the suites: what is missing is said in the first second.
  const prepared = await explained(async () => {
    await getPrograms(chosen, requireAll, leftOut);
  });
  if (!prepared) total.failed++;
  const machine = OPTIONAL.filter((need) => !leftOut.some((out) => out.need === need)).flatMap(
    (need) => need.machine ?? [],
  );
  const env = { ...process.env, PATH: systemPath(path.join(directory, 'bin'), { machine }) };
  for (const suite of chosen) {
    if (suite === 'integration' && !prepared) continue;
    const counted = await runSuite(suite, { options, directory, env, leftOut });
    total.passed += counted.passed;
    total.failed += counted.failed;
  }
  if (total.passed + total.failed === 0) process.stdout.write('no test ran\n');
  sayLeftOut(leftOut);
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
}

/** Whether it went well; a testbed that cannot be had counts as one failure, so that the last line never looks like a success. */
async function explained(step: () => void | Promise<void>): Promise<boolean> {
  let well = false;
  await orExplain(async () => {
    await step();
    well = true;
  });
  return well;
}

async function getPrograms(chosen: readonly Suite[], requireAll: boolean, leftOut: LeftOut[]): Promise<void> {
  const integration = chosen.includes('integration');
  if (integration) unshareCommand();
  // First what may be missing: that it is, is said at the start, not after minutes of building the rest.
  leftOut.push(...(await prepareOptional(OPTIONAL.filter(({ suite }) => chosen.includes(suite)))));
  sayLeftOut(leftOut);
  // What only the machine can have is not the checkout's to bring.
  const owed = leftOut.filter(({ need }) => need.machine === undefined);
  if (requireAll && owed.length > 0)
    throw new TestbedError(
      'TESTBED_LEFT_OUT',
      `--require-all was given, and ${owed.map(({ need }) => need.title).join(', ')} cannot be had here; the lines above say why.`,
    );
  if (integration) await prepare([...NEEDS.tests, ...needsOfNetns()]);
}

/** At the start and at the end: which tests do not run here, by name, and why. */
function sayLeftOut(leftOut: readonly LeftOut[]): void {
  for (const { need, reason } of leftOut) {
    process.stdout.write(`left out: ${need.title}: ${reason}\n`);
    for (const name of need.files.flatMap(namesOfTests)) process.stdout.write(`left out:   ${name}\n`);
  }
}

const titles = new Map<string, readonly string[]>();

/** The full titles of a file's tests, as mocha lists them without running them. */
function namesOfTests(file: string): readonly string[] {
  const known = titles.get(file);
  if (known !== undefined) return known;
  const mocha = path.join(root, 'node_modules/mocha/bin/mocha.js');
  const args = [mocha, '--no-config', '--extension', 'ts', '--dry-run', '--reporter', 'json', file];
  const { stdout } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  const { tests } = JSON.parse(stdout) as { readonly tests: readonly { readonly fullTitle: string }[] };
  const names = tests.map((test) => `${file}: ${test.fullTitle}`);
  titles.set(file, names);
  return names;
}

await main();

/**
 * `npm test [-- unit|wire|integration|fast] [FILE…] [--shards N] [--from build|download] [--require-all]
 * [--record] [mocha options, such as --grep X]`: gets the programs that the tests need, then runs unit tests,
 * tests at the wire (`unit` means both) and integration tests at the same time, dealt out to processes
 * (`--shards`: how many of each, all at once; default by the machine, which may take one after another),
 * those of integration in a network namespace of their own. A
 * process' output comes in pieces, one for each suite of a file, and the failures of all at the end; of one
 * process alone it is streamed; `fast` shows a dot for each test. The last line is `N passed, N failed`. The
 * exit code is 1 when a test failed, none ran, or a mocha process crashed or did not end. `--record` keeps
 * how long files took (test/durations.json), by which they are dealt out. Tests whose programs cannot be had
 * here (programs.ts, OPTIONAL) are named at the start and at the end, and not counted; with `--require-all`
 * that is a failure, except of programs that only the machine can have.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { inParallel } from '../src/base/in-parallel.ts';
import { takeFromFlag } from '../test/testbed/binaries/flags.ts';
import { type LeftOut, prepare, prepareOptional } from '../test/testbed/binaries/prepare.ts';
import { NEEDS, OPTIONAL, optionalNeedsOf } from '../test/testbed/binaries/programs.ts';
import { systemPath } from '../test/testbed/binaries/system-path.ts';
import { orExplain, TestbedError } from '../test/testbed/errors.ts';
import { needsOfNetns, unshareCommand } from '../test/testbed/netns.ts';
import { type Asked, chosenFiles, readArguments, type Suite } from './testing/arguments.ts';
import { type Run, runShard, type ShardResult } from './testing/run-shard.ts';
import {
  clustersOf,
  defaultShards,
  type Durations,
  fastOnly,
  recorded,
  schedule,
  type Shard,
} from './testing/shards.ts';

const root = path.dirname(import.meta.dirname);
const DURATIONS = path.join(root, 'test/durations.json');

const running = new Set<ChildProcess>();
let interrupted = false;

async function main(): Promise<void> {
  let asked: Asked | undefined;
  let files = new Map<Suite, string[]>();
  const understood = await explained(() => {
    asked = readArguments(takeFromFlag(process.argv.slice(2)), root);
    files = chosenFiles(asked, root);
  });
  if (!understood || asked === undefined) return sayEnd({ passed: 0, failed: 1 });
  const directory = mkdtempSync(path.join(os.tmpdir(), 'linkspan-test-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  handOnSignals();
  const durations = JSON.parse(readFileSync(DURATIONS, 'utf8')) as Durations;
  if (asked.fast) files.set('unit', fastOnly(files.get('unit') ?? [], durations));
  const total = { passed: 0, failed: 0 };
  const leftOut: LeftOut[] = [];
  const { requireAll } = asked;
  // Before the first test, not between the suites: what is missing is said in the first second.
  const prepared = await explained(async () => {
    await getPrograms(files, requireAll, leftOut);
  });
  if (!prepared) {
    total.failed++;
    files.delete('integration');
  }
  const notHere = new Set<string>(leftOut.flatMap(({ need }) => need.files));
  for (const [suite, its] of files)
    files.set(
      suite,
      its.filter((file) => !notHere.has(file)),
    );
  const results = await runAll(files, { asked, durations, directory, leftOut });
  for (const { passed, failed } of results) {
    total.passed += passed;
    total.failed += failed;
  }
  if (asked.record) record(durations, results);
  if (total.passed + total.failed === 0) process.stdout.write('no test ran\n');
  sayLeftOut(leftOut);
  sayEnd(total);
}

function sayEnd({ passed, failed }: { passed: number; failed: number }): void {
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

function handOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      interrupted = true;
      // While programs are fetched or built there is no mocha that would end, and us with it.
      if (running.size === 0) process.exit(128 + os.constants.signals[signal]);
      if (!(process.stdin.isTTY && signal === 'SIGINT')) for (const child of running) child.kill(signal);
    });
  }
}

interface Surroundings {
  readonly asked: Asked;
  readonly durations: Durations;
  readonly directory: string;
  readonly leftOut: readonly LeftOut[];
}

/** Runs all shards, and then says what failed, shard by shard. */
async function runAll(
  files: ReadonlyMap<Suite, readonly string[]>,
  { asked, durations, directory, leftOut }: Surroundings,
): Promise<ShardResult[]> {
  const programs = OPTIONAL.filter((need) => !leftOut.some((out) => out.need === need)).flatMap(
    (need) => need.machine ?? [],
  );
  const given = asked.shards;
  const machine = { cores: os.availableParallelism(), bytes: os.totalmem() };
  const { shards, atOnce } =
    given === undefined
      ? defaultShards([...files.keys()], machine)
      : { shards: { unit: given, wire: given, integration: given }, atOnce: Math.max(1, given * files.size) };
  const clusters = (file: string) => clustersOf(readFileSync(path.resolve(root, file), 'utf8'));
  const { together, alone } = schedule(files, { durations, shards, clusters });
  const run: Run = {
    options: asked.options,
    terse: asked.fast,
    directory,
    env: {
      ...process.env,
      PATH: systemPath(path.join(directory, 'bin'), { machine: programs }),
      // TypeScript without its types, compiled: most processes of the tests load the same files.
      NODE_COMPILE_CACHE: path.join(os.tmpdir(), 'node-compile-cache'),
    },
    shared: together.length + alone.length > 1,
    running,
  };
  const start = performance.now();
  const runOne = async (shard: Shard): Promise<ShardResult> => {
    if (interrupted) return { passed: 0, failed: 0, files: {}, report: '' };
    const result = await runShard(shard, run);
    const seconds = Math.round((performance.now() - start) / 1000);
    if (run.shared) process.stdout.write(`\n== ${shard.title}: ended after ${seconds} s ==\n\n`);
    return result;
  };
  const results = await inParallel(together, atOnce, runOne);
  for (const shard of alone) results.push(await runOne(shard));
  for (const [index, { report }] of results.entries())
    if (report !== '') process.stdout.write(`\n== ${[...together, ...alone][index]?.title} ==\n${report}`);
  return results;
}

function record(before: Durations, results: readonly ShardResult[]): void {
  const measured = Object.assign({}, ...results.map(({ files }) => files)) as Durations;
  const kept = recorded(before, measured, (file) => existsSync(path.join(root, file)));
  writeFileSync(DURATIONS, `${JSON.stringify(kept, undefined, 2)}\n`);
}

/**
 * Whether it went well; a testbed that cannot be had counts as one failure, so that the last line never looks
 * like a success.
 */
async function explained(step: () => void | Promise<void>): Promise<boolean> {
  let well = false;
  await orExplain(async () => {
    await step();
    well = true;
  });
  return well;
}

async function getPrograms(
  files: ReadonlyMap<Suite, readonly string[]>,
  requireAll: boolean,
  leftOut: LeftOut[],
): Promise<void> {
  const integration = files.has('integration');
  if (integration) unshareCommand();
  // First what may be missing: that it is, is said at the start, not after minutes of building the rest.
  leftOut.push(...(await prepareOptional(optionalNeedsOf([...files.values()].flat()))));
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

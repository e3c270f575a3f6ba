/**
 * `npm run bench:mirror [-- NAME…] [--quick] [--json FILE] [--cpu-prof DIR]`: what mirroring costs, on real
 * API servers on this machine, against what plain requests cost in the same run. Prints one table. Exit code
 * 1 when a benchmark could not be run.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/api/errors/linkspan-error.ts';
import { orExplain } from '../../test/testbed/errors.ts';
import { NEEDS } from '../../test/testbed/binaries/programs.ts';
import { reexecInNetns } from '../../test/testbed/netns.ts';
import type { Sizes, Stage } from './stage.ts';
import { judge, type Measurement, type Result, tableOf } from './support/results.ts';

type Benchmark = (stage: Stage) => Promise<Measurement[]>;

const FULL: Sizes = {
  services: 1000,
  singles: 200,
  bulk: 5000,
  busySingles: 400,
  huge: 10_000,
  few: 25,
  links: 100,
  servicesPerLink: 50,
  idleSeconds: 60,
};
const QUICK: Sizes = {
  ...FULL,
  services: 200,
  singles: 100,
  bulk: 1000,
  busySingles: 100,
  huge: 2000,
  links: 20,
  idleSeconds: 15,
};

/** In the order in which they run: each finds most of what it needs left by the one before. */
const benchmarks: Readonly<Record<string, () => Promise<Benchmark>>> = {
  cold: async () => (await import('./cold.ts')).cold,
  restart: async () => (await import('./restart.ts')).restart,
  idle: async () => (await import('./idle.ts')).idle,
  one: async () => (await import('./one.ts')).one,
  'gateway-dead': async () => (await import('./gateway-dead.ts')).gatewayDead,
  unexport: async () => (await import('./unexport.ts')).unexport,
  busy: async () => (await import('./busy.ts')).busy,
  memory: async () => (await import('./memory.ts')).memory,
  links: async () => (await import('./links.ts')).links,
};

const start = performance.now();
const say = (text: string) =>
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);

let stage: Stage | undefined;
let stopping = false;
/** What was found so far. */
const results: Result[] = [];
const failures: string[] = [];

async function stop(code: number): Promise<void> {
  if (stopping) process.exit(code);
  stopping = true;
  process.stdout.write(`\n${tableOf(results)}\n\n`);
  for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
  say('stopping');
  // What does not stop in good order goes with this process: the clusters' watchdogs see to it.
  await stage?.close().catch(() => undefined);
  process.exit(code);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.find((name) => benchmarks[name] === undefined);
  if (values.help || unknown !== undefined) {
    if (unknown !== undefined) process.stderr.write(`there is no benchmark "${unknown}"\n`);
    process.stderr.write(
      `usage: npm run bench:mirror -- [NAME…] [--quick] [--json FILE] [--cpu-prof DIR]\nbenchmarks: ${Object.keys(benchmarks).join(', ')}\n`,
    );
    process.exit(values.help ? 0 : 2);
  }
  await reexecInNetns(NEEDS.controlPlane);
  process.once('SIGINT', () => void stop(130));
  process.once('SIGTERM', () => void stop(143));
  const profileDir = values['cpu-prof'];
  if (profileDir !== undefined) mkdirSync(profileDir, { recursive: true });
  const { Stage } = await import('./stage.ts');
  const sizes = values.quick ? QUICK : FULL;
  stage = await Stage.open({ sizes, profileDir, say });
  const chosen = Object.keys(benchmarks).filter(
    (name) => positionals.length === 0 || positionals.includes(name),
  );
  await runAll(stage, chosen);
  if (values.quick) process.stdout.write('--quick: smaller than what the targets are set for\n');
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report(), null, 2)}\n`);
  await stop(failures.length === 0 ? 0 : 1);
}

async function runAll(onStage: Stage, names: readonly string[]): Promise<void> {
  for (const name of names) {
    try {
      const benchmark = await benchmarks[name]?.();
      const found = (await benchmark?.(onStage)) ?? [];
      results.push(...found.map((measurement) => judge(name, measurement)));
    } catch (error) {
      if (stopping) return;
      failures.push(`${name}: ${messageOf(error)}`);
      say(`${name} failed: ${messageOf(error)}`);
      await onStage.clear().catch((reason: unknown) => say(`not cleared: ${messageOf(reason)}`));
    }
  }
}

function report(): object {
  const [cpu] = os.cpus();
  return {
    machine: { cpus: os.cpus().length, model: cpu?.model, node: process.version },
    results,
    failures,
  };
}

await orExplain(main);

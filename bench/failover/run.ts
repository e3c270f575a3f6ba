/**
 * `npm run bench:failover [-- --only FAULT… --runs N --rps N --failures FILE --keep FILE --write]`: how long
 * clients notice that a cluster is lost, and how many of their requests fail. Embedded control planes of
 * three clusters, and controllers, gateways and an egress as processes; clients of each protocol ask on
 * schedule, whatever comes back. Prints one table; `--write` puts it into docs/failover.md, `--failures`
 * every failed or slow request into a file, one line of JSON each; `--keep` keeps the runs in a file, which
 * is gone on with when it is there: all runs take more than an hour. Exit code 1 when a fault could not be
 * measured.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/api/errors/linkspan-error.ts';
import { orExplain } from '../../test/testbed/errors.ts';
import { NEEDS } from '../../test/testbed/binaries/programs.ts';
import { reexecInNetns } from '../../test/testbed/netns.ts';
import { type Fault, FAULTS } from './faults.ts';
import { keepRun, keptRuns } from './kept.ts';
import { withTable } from './page.ts';
import type { Stage } from './stage.ts';
import { type Row, reasonsText, rowOf, type Run, tableOf } from './summary.ts';

const PAGE = path.join(import.meta.dirname, '../../docs/failover.md');

const start = performance.now();
const say = (text: string) =>
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);

let stage: Stage | undefined;
const stopping = new AbortController();
/** What was found so far. */
const rows: Row[] = [];
const failures: string[] = [];

async function stop(code: number): Promise<void> {
  if (stopping.signal.aborted) process.exit(code);
  stopping.abort();
  process.stdout.write(`\n${tableOf(rows)}\n\n`);
  for (const row of rows)
    for (const reason of reasonsText(row)) process.stdout.write(`${row.fault.name}: ${reason}\n`);
  for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
  say('stopping');
  // What does not stop in good order goes with this process: the clusters' watchdogs see to it.
  await stage?.close().catch((error: unknown) => say(`not stopped in good order: ${messageOf(error)}`));
  process.exit(code);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [] },
      runs: { type: 'string', default: '50' },
      rps: { type: 'string', default: '200' },
      failures: { type: 'string' },
      keep: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const names = FAULTS.map(({ name }) => name);
  const unknown = values.only.find((name) => !names.includes(name));
  const [runs, rps] = [Number(values.runs), Number(values.rps)];
  if (values.help || unknown !== undefined || !(runs >= 1) || !(rps >= 1)) {
    if (unknown !== undefined) process.stderr.write(`there is no fault "${unknown}"\n`);
    process.stderr.write(
      `usage: npm run bench:failover -- [--only FAULT]… [--runs N] [--rps N] [--failures FILE] [--keep FILE] [--write]\nfaults: ${names.join(', ')}\n`,
    );
    process.exit(values.help ? 0 : 2);
  }
  await reexecInNetns(NEEDS.demo);
  process.once('SIGINT', () => void stop(130));
  process.once('SIGTERM', () => void stop(143));
  const { Stage } = await import('./stage.ts');
  stage = await Stage.open(say);
  const chosen = FAULTS.filter(({ name }) => values.only.length === 0 || values.only.includes(name));
  const { failures: file, keep } = values;
  const before = keep === undefined ? undefined : keptRuns(keep);
  for (const fault of chosen)
    await measure(stage, fault, { runs, rps, file, keep, before: before?.get(fault.name) ?? [] });
  if (values.write && rows.length > 0) write(process.argv.slice(2).filter((word) => word !== '--write'));
  await stop(failures.length === 0 ? 0 : 1);
}

interface MeasureOptions {
  readonly runs: number;
  readonly rps: number;
  /** Where failed requests are told one by one, if at all. */
  readonly file: string | undefined;
  /** Where runs are kept, if at all, and those that were there. */
  readonly keep: string | undefined;
  readonly before: readonly Run[];
}

/** All runs of one fault; those that could not be made are told and do not count. */
async function measure(on: Stage, fault: Fault, options: MeasureOptions): Promise<void> {
  const { runOnce } = await import('./run-once.ts');
  const found: Run[] = [...options.before];
  for (let count = found.length + 1; count <= options.runs && !stopping.signal.aborted; count++) {
    try {
      const run = await runOnce(on, fault, options.rps);
      found.push(run);
      if (options.keep !== undefined) keepRun(options.keep, fault.name, run);
      for (const one of options.file === undefined ? [] : run.bad)
        appendFileSync(options.file ?? '', `${JSON.stringify({ fault: fault.name, run: count, ...one })}\n`);
      say(`${fault.name} ${count}/${options.runs}: ${runText(run)}`);
    } catch (error) {
      if (stopping.signal.aborted) return;
      failures.push(`${fault.name} ${count}: ${messageOf(error)}`);
      say(`${fault.name} ${count}/${options.runs} could not be run: ${messageOf(error)}`);
    }
  }
  if (found.length > 0) rows.push(rowOf(fault, found));
}

function runText({ firstMs, steadyMs, failed, calmMs, floorMs, slowestMs, reasons }: Run): string {
  const count = failed.reduce((sum, one) => sum + one.count, 0);
  const [why = ''] = reasons.keys();
  return [
    `first ${firstMs?.toFixed(0) ?? 'never'}`,
    `steady ${steadyMs.toFixed(0)} ms`,
    `${count} failed${why === '' ? '' : ` (${why.replaceAll('\n', ' ').slice(0, 120)})`}`,
    `slowest ${slowestMs.toFixed(0)}, calm ${calmMs.toFixed(0)}, floor ${floorMs.toFixed(0)} ms`,
  ].join(', ');
}

function write(flags: readonly string[]): void {
  const [cpu] = os.cpus();
  const command = ['npm run bench:failover', ...(flags.length === 0 ? [] : ['--', ...flags])].join(' ');
  const machine = `${os.cpus().length} CPUs (${cpu?.model.trim() ?? 'unknown'}), Node ${process.version}`;
  const text = withTable(readFileSync(PAGE, 'utf8'), { command, machine, date: new Date(), rows });
  writeFileSync(PAGE, text);
  say(`written: ${PAGE}`);
}

await orExplain(main);

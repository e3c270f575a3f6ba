import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { type BenchOptions, median } from './bench-py.ts';
import type { LoopLine } from './loop-first.ts';
import type { Scrapes, ScrapeResult } from './scrape.ts';
import { RUNTIMES, type Runtime } from './stage.ts';
import { number, type Row, verdict } from './verdicts.ts';

/** What must be reached on both runtimes. */
const MUST = { workMs: 10, cpuMs: 150 } as const;

type Found = Readonly<Record<Runtime, readonly ScrapeResult[]>>;

/**
 * What being looked at costs a gateway of 1,000 services: each round on a gateway of its own, by `scrape.ts`.
 */
export function observeRows({ rounds, say }: Pick<BenchOptions, 'rounds' | 'say'>): Row[] {
  const found: Record<Runtime, ScrapeResult[]> = { node: [], bun: [] };
  for (let round = 0; round < rounds; round++)
    for (const runtime of RUNTIMES) {
      const result = scrapesOf(runtime);
      found[runtime].push(result);
      say(`observe ${round} ${runtime}: ${stalls([result], 'text')}`);
    }
  return [
    loopRow(found, 'text'),
    loopRow(found, 'gzip'),
    cpuRow(found, 'text', MUST.cpuMs),
    cpuRow(found, 'gzip', undefined),
    requestsRow(found),
  ];
}

function scrapesOf(runtime: Runtime): ScrapeResult {
  const script = path.join(import.meta.dirname, 'scrape.ts');
  const text = execFileSync('taskset', ['-c', '1', process.execPath, script, '--runtime', runtime], {
    encoding: 'utf8',
  });
  return JSON.parse(text) as ScrapeResult;
}

type Encoding = 'text' | 'gzip';

function loopRow(found: Found, encoding: Encoding): Row {
  const worst = (runtime: Runtime) =>
    Math.max(...all(found[runtime], encoding, 'loop').map(({ workMs }) => workMs));
  return judged(
    `longest stop of the event loop by a scrape, ${encoding}`,
    (runtime) => stalls(found[runtime], encoding),
    `work without a break ≤ ${MUST.workMs} ms at worst`,
    (runtime) => worst(runtime) <= MUST.workMs,
  );
}

/** Median and worst: of this thread's work, and by the clock; with a scrape, and in the same time without. */
function stalls(results: readonly ScrapeResult[], encoding: Encoding): string {
  const pair = (lines: readonly LoopLine[], key: keyof LoopLine) => {
    const values = lines.map((line) => line[key]);
    return `${ms(median(values))} / ${ms(Math.max(...values))}`;
  };
  const [loop, quiet] = [all(results, encoding, 'loop'), all(results, encoding, 'quiet')];
  const against = (key: keyof LoopLine) => `${pair(loop, key)} (without: ${pair(quiet, key)})`;
  return `work ${against('workMs')}, clock ${against('stallMs')} ms`;
}

function cpuRow(found: Found, encoding: Encoding, limit: number | undefined): Row {
  const cpu = (runtime: Runtime) => median(all(found[runtime], encoding, 'cpuMs')) ?? Infinity;
  const bytes = (runtime: Runtime) => found[runtime][0]?.[encoding].bytes ?? 0;
  const what = `CPU of a scrape, ${encoding}`;
  const cell = (runtime: Runtime) =>
    `${number(cpu(runtime))} ms (worst ${number(Math.max(...all(found[runtime], encoding, 'cpuMs')))}), ${number(bytes(runtime) / 1000)} kB`;
  if (limit === undefined) return { what, measured: cells(cell), must: '', met: '' };
  return judged(what, cell, `≤ ${limit} ms`, (runtime) => cpu(runtime) <= limit);
}

function requestsRow(found: Found): Row {
  const p99 = (runtime: Runtime, key: keyof ScrapeResult['requests']) =>
    median(found[runtime].map(({ requests }) => percentile(requests[key], 0.99))) ?? Infinity;
  const cell = (runtime: Runtime) =>
    `${ms(p99(runtime, 'beside'))} ms (without: ${ms(p99(runtime, 'alone'))})`;
  return { what: 'p99 of requests, two scrapes a second beside', measured: cells(cell), must: '', met: '' };
}

function judged(
  what: string,
  cell: (runtime: Runtime) => string,
  must: string,
  reaches: (runtime: Runtime) => boolean,
): Row {
  const met = verdict({ best: RUNTIMES.some(reaches), node: reaches('node') });
  // Unlike work per CPU second, nobody may choose the better runtime for it.
  const both = met === 'yes' && !reaches('bun') ? 'on Node only' : met;
  return { what, measured: cells(cell), must, met: both };
}

function cells(cell: (runtime: Runtime) => string): Row['measured'] {
  return { node: cell('node'), bun: cell('bun') };
}

function all<K extends 'loop' | 'quiet' | 'cpuMs'>(
  results: readonly ScrapeResult[],
  encoding: Encoding,
  key: K,
): Scrapes[K][number][] {
  return results.flatMap((result) => [...result[encoding][key]] as Scrapes[K][number][]);
}

function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? NaN;
}

function ms(value: number | undefined): string {
  return value?.toFixed(1) ?? 'none';
}

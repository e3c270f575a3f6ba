import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Stage } from './stage.ts';

/** What `bench.py` found in one round for one gateway. */
export interface Sample {
  /** Work per second; for `lat` the median latency in µs. */
  readonly v?: number;
  /** Work per second of the gateway's CPU. */
  readonly percpu?: number;
  /** Share of a CPU that the gateway used. */
  readonly cpu?: number;
  /** µs */
  readonly p99?: number;
  /** MiB (PSS): empty, with 1,000 and with 5,000 connections. */
  readonly idle?: number;
  readonly c1000?: number;
  readonly c5000?: number;
  readonly err?: string | number;
  readonly fail?: string;
}

/** By metric, then by gateway, a sample for each round. */
export type Samples = Readonly<Record<string, Readonly<Record<string, readonly Sample[]>>>>;

export interface BenchOptions {
  /** Gateways that `bench.py` starts itself. */
  readonly peers: readonly string[];
  /** Ours, as `--add` wants them. */
  readonly products: readonly string[];
  readonly metrics: readonly string[];
  readonly rounds: number;
  /** Seconds of each measurement. */
  readonly seconds: number;
  readonly workers?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly say: (text: string) => void;
}

/**
 * Runs `bench.py` (see its README): every round visits every gateway once for each metric, after a round that
 * does not count.
 * @throws Error when it fails
 */
export async function benchPy(stage: Stage, options: BenchOptions): Promise<Samples> {
  const { peers, products, metrics, rounds, seconds, workers = 1, env = {}, say } = options;
  const out = path.join(stage.work, 'results.json');
  const child = spawn(
    'python3',
    [
      path.join(stage.scripts, 'bench.py'),
      `--gw=${peers.join()}`,
      `--metrics=${metrics.join()}`,
      `--out=${out}`,
      `--rounds=${rounds}`,
      `--dur=${seconds}`,
      `--workers=${workers}`,
      ...products.flatMap((product) => ['--add', product]),
    ],
    { env: { ...process.env, GWB: stage.work, ...env }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    for (const line of chunk.split('\n')) if (/^\w+ \d+ /.test(line)) say(line.slice(0, 100));
  });
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`bench.py ended with ${code}: ${text.slice(-500)}`);
  return (JSON.parse(readFileSync(out, 'utf8')) as { results: Samples }).results;
}

/** The middle of them; undefined when there are none. */
export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  const [low, high] = [sorted[middle - 1], sorted[middle]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}

/** Median of one number over the rounds. */
export function medianOf(samples: readonly Sample[] | undefined, key: keyof Sample): number | undefined {
  return median((samples ?? []).map((sample) => sample[key]).filter((value) => typeof value === 'number'));
}

/** Median of what one gateway has of another's, round by round: what disturbs a round disturbs both. */
export function ratioOf(
  samples: readonly Sample[] | undefined,
  peers: readonly Sample[] | undefined,
  key: keyof Sample,
): number | undefined {
  const ratios: number[] = [];
  for (const [round, sample] of (samples ?? []).entries()) {
    const [own, peer] = [sample[key], peers?.[round]?.[key]];
    if (typeof own === 'number' && typeof peer === 'number' && peer > 0) ratios.push(own / peer);
  }
  return median(ratios);
}

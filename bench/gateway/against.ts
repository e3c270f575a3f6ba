/**
 * `npm run bench:against -- DIR [METRIC…] [--runtime node|bun] [--batches N] [--rounds N] [--seconds N]`:
 * what this tree's gateway does with a second of CPU against that of another checkout (with its
 * `node_modules`). Both are alive on one core and loaded in turns, so that what the machine does in a minute
 * hits both; each batch has processes of its own, since one process of a tree may be a tenth faster than the
 * next for good.
 */
import { rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { meanOf, median } from '../ratios.ts';
import { benchPy, type Sample } from './bench-py.ts';
import * as here from './stage.ts';
import { type Product, type Runtime, RUNTIMES, type Stage } from './stage.ts';

const METRICS = ['h2v', 'h1', 'up1', 'up8', 'down1', 'down8', 'hs'];
/** Ports of one gateway. */
const PORTS = 10;

interface Tree {
  readonly name: 'before' | 'after';
  /** The bench of that tree: it knows how its gateway is built and started. */
  readonly bench: Pick<typeof here, 'prepare' | 'startProduct' | 'cleanUp'>;
  readonly stage: Stage;
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    runtime: { type: 'string', default: 'node' },
    batches: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '6' },
    seconds: { type: 'string', default: '1' },
  },
});
const [dir, ...asked] = positionals;
const runtime = RUNTIMES.find((known) => known === values.runtime);
if (dir === undefined || runtime === undefined)
  throw new Error('usage: bench:against -- DIR [METRIC…] [--runtime node|bun]');
const metrics = asked.length === 0 ? METRICS : asked;
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
const say = (text: string) => process.stderr.write(`${text}\n`);

/** By metric and batch: the median of the rounds' ratios. */
const ratios = new Map<string, number[]>();
const trees: Tree[] = [];
try {
  const other = path.resolve(dir);
  trees.push({ name: 'after', bench: here, stage: here.prepare() });
  const bench = (await import(path.join(other, 'bench/gateway/stage.ts'))) as typeof here;
  process.chdir(other);
  trees.push({ name: 'before', bench, stage: bench.prepare() });
  shareCertificates(trees);
  for (let batch = 0; batch < Number(values.batches); batch++) {
    // In turns, as whoever is asked first may have it better.
    await oneBatch(batch % 2 === 0 ? trees : trees.toReversed(), runtime);
    say(`batch ${batch + 1} of ${values.batches}`);
  }
} finally {
  for (const { bench, stage } of trees) bench.cleanUp(stage);
}
process.stdout.write(
  `Work per CPU second, after : before, ${runtime}; ${values.batches} batches of ${rounds} rounds of ${seconds} s\n\n| metric | ratio | ± | of each batch |\n| --- | --- | --- | --- |\n`,
);
for (const [metric, all] of ratios) {
  const { mean, error } = meanOf(all);
  const cells = [mean, error].map((value) => value.toFixed(3));
  process.stdout.write(
    `| ${metric} | ${cells.join(' | ')} | ${all.map((ratio) => ratio.toFixed(2)).join(' ')} |\n`,
  );
}

async function oneBatch(order: readonly Tree[], on: Runtime): Promise<void> {
  const products: Product[] = [];
  try {
    const [first] = order;
    if (first === undefined) return;
    for (const [index, { name, bench, stage }] of order.entries()) {
      const product = await bench.startProduct(stage, on, {
        base: 13_000 + index * PORTS,
        cpu: 0,
        workers: 1,
      });
      products.push({ ...product, add: product.add.replace(/^[^,]+/, name) });
    }
    const added = products.map(({ add }) => add);
    const samples = await benchPy(first.stage, { peers: [], products: added, metrics, rounds, seconds, say });
    for (const [metric, { before = [], after = [] }] of Object.entries(samples)) {
      const ratio = median(after.map((one, round) => workOf(one) / workOf(before[round])));
      ratios.set(metric, [...(ratios.get(metric) ?? []), ratio]);
    }
  } finally {
    for (const product of products) await product.stop();
  }
}

/** @throws Error where a round failed: its work would look better than it was */
function workOf(sample: Sample | undefined): number {
  if (sample?.percpu === undefined || sample.fail !== undefined || (sample.err ?? '') !== '')
    throw new Error(`a round failed: ${JSON.stringify(sample)}`);
  return sample.percpu;
}

/** The load's client has one certificate, which both gateways have to know. */
function shareCertificates([first, second]: readonly Tree[]): void {
  if (first === undefined || second === undefined) return;
  const [from, to] = [first, second].map(({ stage }) => path.join(stage.work, 'certs'));
  rmSync(to ?? '', { recursive: true });
  symlinkSync(from ?? '', to ?? '');
}

/**
 * `npm run bench:gateway [-- PART…] [--rounds N] [--seconds N] [--json FILE]`: what the gateway does with a
 * second of CPU, against haproxy and Envoy in the same run. Metrics, balancing and authorization are on.
 * Parts: speed, latency, memory, header, flows, workers, observe; default all. All but flows and observe need
 * what `install.sh` of ../shared/gateway-bench brings.
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/api/errors/linkspan-error.ts';
import { benchPy, type BenchOptions, medianOf, ratioOf, type Samples } from './bench-py.ts';
import { throughHeader } from './header.ts';
import { newFlowsRow } from './flows.ts';
import { observeRows } from './observe.ts';
import { cleanUp, prepare, type Product, RUNTIMES, type Stage, startProduct } from './stage.ts';
import { latencyRows, memoryRows, number, type Row, speedRows, tableOf, times, verdict } from './verdicts.ts';

const PARTS = ['speed', 'latency', 'memory', 'header', 'flows', 'workers', 'observe'] as const;
type Part = (typeof PARTS)[number];

const start = performance.now();
const say = (text: string) =>
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
const wanted = positionals.length === 0 ? [...PARTS] : positionals.map(partOf);
const shared = { rounds: Number(values.rounds), seconds: Number(values.seconds), say };

function partOf(text: string): Part {
  const part = PARTS.find((known) => known === text);
  if (part === undefined) throw new Error(`there is no part ${text}: ${PARTS.join(', ')}`);
  return part;
}

let stage: Stage | undefined;
/** Where `bench.py` works; made for the first part that needs it. */
const staged = () => (stage ??= prepare());

/** Samples of the peers and of a product on each runtime, which are fresh for each part. */
async function beside(workers: number, options: Omit<BenchOptions, 'products'>): Promise<Samples> {
  const products: Product[] = [];
  const stage = staged();
  try {
    for (const [index, runtime] of RUNTIMES.entries()) {
      const cpu = workers === 1 ? 0 : undefined;
      products.push(await startProduct(stage, runtime, { base: 13_000 + index * 10, cpu, workers }));
    }
    return await benchPy(stage, { ...options, workers, products: products.map(({ add }) => add) });
  } finally {
    for (const product of products) await product.stop();
  }
}

const parts: Readonly<Record<Part, () => Promise<Row[]>>> = {
  speed: async () => {
    const metrics = ['h2v', 'h1', 'up1', 'up8', 'down1', 'down8', 'hs'];
    return speedRows(await beside(1, { ...shared, peers: ['haproxy', 'envoy'], metrics }));
  },
  latency: async () =>
    latencyRows(await beside(1, { ...shared, peers: ['haproxy', 'envoy'], metrics: ['lat'] })),
  memory: async () => memoryRows(await beside(1, { ...shared, peers: ['haproxy'], metrics: ['mem'] })),
  header: () => throughHeader(staged(), shared),
  flows: () => Promise.resolve(newFlowsRow(shared)),
  observe: () => Promise.resolve(observeRows(shared)),
  workers: async () => {
    const metrics = ['h1', 'h2v', 'up8'];
    const peers = ['haproxy'];
    const one = await beside(1, { ...shared, peers, metrics });
    const two = await beside(2, { ...shared, peers, metrics });
    return metrics.map((metric) => workersRow(metric, one, two));
  },
};

/** haproxy's own loss with a second worker is the machine's: two processes share its caches. */
function workersRow(metric: string, one: Samples, two: Samples): Row {
  const kept = (name: string) => {
    const [before, after] = [one, two].map((samples) => medianOf(samples[metric]?.[name], 'percpu'));
    return before === undefined || after === undefined ? undefined : after / before;
  };
  const against = (name: string) => {
    const ratio = (samples: Samples) =>
      ratioOf(samples[metric]?.[name], samples[metric]?.['haproxy'], 'percpu');
    return (ratio(two) ?? 0) / (ratio(one) ?? 1);
  };
  const cell = (name: string) =>
    `${times(kept(name))} of one worker's, ${times(against(name))} beside haproxy's`;
  const reaches = (name: string) => Math.max(kept(name) ?? 0, against(name)) >= 0.9;
  return {
    what: `two workers, ${metric}`,
    haproxy: times(kept('haproxy')),
    measured: { node: cell('linkspan-node'), bun: cell('linkspan-bun') },
    must: '≥ 0.9 × one worker, per CPU second',
    met: verdict({
      best: RUNTIMES.some((runtime) => reaches(`linkspan-${runtime}`)),
      node: reaches('linkspan-node'),
    }),
  };
}

const rows: Row[] = [];
try {
  for (const part of wanted) {
    say(part);
    rows.push(...(await parts[part]()));
  }
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
} finally {
  if (stage !== undefined) cleanUp(stage);
}
process.stdout.write(
  `Work per second of the gateway's CPU; ${os.cpus().length} CPUs (${os.cpus()[0]?.model ?? 'unknown'}), load ${number(os.loadavg()[0])}, Node ${process.versions.node}, ${values.rounds} rounds of ${values.seconds} s\n\n${tableOf(rows)}\n`,
);
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(rows, undefined, 1));

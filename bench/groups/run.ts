/**
 * `npm run bench:groups [-- --runtime node|bun] [--protocol http1|http2] [--batches N] [--rounds N]
 * [--seconds N] [--against DIR] [--memory no]`: what a group costs the egress. CPU for each request to a
 * Service of three clusters against one to a Service of one cluster, in turns at the same process (`h2load`);
 * and memory for each backend, of a Service that is quiet and of one that one protocol is spoken to, by what
 * lives behind a collection (Node); `--batches 0` measures memory alone. Three clusters behind one gateway
 * have the same connections as one, so that this is what choosing costs; with three gateways, less is sent
 * and read at once. With `--against`, the egress of another checkout (with its `node_modules`) is alive on
 * the same processor and loaded in the same turns; memory, and three gateways, are left out then. Needs
 * `h2load` (Debian: nghttp2-client) and two processors: the egresses have the first one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Runtime, RUNTIMES } from '../../test/support/runtime-process.ts';
import { meanOf, median } from '../ratios.ts';
import { memory, QUIET } from './memory.ts';
import { type Batch, HERE, type Load, oneBatch, ratioOf, type Subject, treeAt } from './requests.ts';
import { type Clusters, type Kind, pin, type Protocol, PROTOCOLS, startClusters } from './stage.ts';

const { values } = parseArgs({
  options: {
    runtime: { type: 'string' },
    protocol: { type: 'string' },
    batches: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '24' },
    seconds: { type: 'string', default: '0.3' },
    against: { type: 'string' },
    memory: { type: 'string', default: 'yes' },
  },
});
const [batches, rounds, seconds] = [values.batches, values.rounds, values.seconds].map(Number) as [
  number,
  number,
  number,
];
const runtimes = asked(RUNTIMES, values.runtime);
const protocols = asked(PROTOCOLS, values.protocol);
const trees = values.against === undefined ? [HERE] : [HERE, await treeAt(values.against)];
const kinds: readonly Kind[] = trees.length > 1 ? ['alone', 'together'] : ['alone', 'together', 'apart'];
const COMPARED: readonly (readonly [Subject, Subject])[] =
  trees.length > 1
    ? [
        ['together here', 'alone here'],
        ['together there', 'alone there'],
        ['alone here', 'alone there'],
        ['together here', 'together there'],
      ]
    : [
        ['together here', 'alone here'],
        ['apart here', 'alone here'],
      ];

function asked<T extends string>(known: readonly T[], one: string | undefined): readonly T[] {
  const found = one === undefined ? known : known.filter((each) => each === one);
  if (found.length === 0) throw new Error(`${one} is none of ${known.join(', ')}`);
  return found;
}

const write = (cells: readonly string[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`);

function head(...cells: string[]): void {
  process.stdout.write('\n');
  write(cells);
  write(cells.map(() => '---'));
}

async function requests(dir: string, runtime: Runtime, clusters: Clusters): Promise<void> {
  for (const protocol of protocols) {
    const load: Load = { runtime, protocol, kinds, trees, rounds, seconds };
    const found: Batch[] = [];
    for (let batch = 0; batch < batches; batch++) {
      // In turns, as whoever is started first may have it better.
      const order = batch % 2 === 0 ? trees : trees.toReversed();
      found.push(await oneBatch(path.join(dir, `${protocol}-${batch}`), clusters, { ...load, trees: order }));
      process.stderr.write(`${runtime}, ${protocol}: batch ${batch + 1} of ${batches}\n`);
    }
    requestsTable(runtime, protocol, found);
  }
}

function requestsTable(runtime: Runtime, protocol: Protocol, found: readonly Batch[]): void {
  head(`CPU of a request, ${protocol}, ${runtime}`, 'µs', 'against µs', 'ratio', '±', 'of each batch');
  const micros = (subject: Subject) => median(found.map((batch) => median(batch.get(subject) ?? [])));
  for (const [subject, to] of COMPARED) {
    const ratios = found.map((batch) => ratioOf(batch, subject, to));
    const { mean, error } = meanOf(ratios);
    write([
      `${subject} : ${to}`,
      micros(subject).toFixed(1),
      micros(to).toFixed(1),
      mean.toFixed(3),
      error.toFixed(3),
      ratios.map((ratio) => ratio.toFixed(3)).join(' '),
    ]);
  }
}

async function memoryTable(dir: string, clusters: Clusters): Promise<void> {
  head('memory of a Service, node', 'one cluster', 'three', 'each cluster more');
  for (const spoken of [false, true]) {
    const { alone, grouped, more } = await memory(dir, clusters, spoken);
    const kib = [alone, grouped, more].map((value) => `${value.toFixed(2)} KiB`);
    write([spoken ? 'HTTP/1 spoken' : 'quiet', ...kib]);
  }
}

// With all that is started, but the egresses, which have the other processor to themselves.
pin(process.pid, 1);
const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-bench-groups-'));
try {
  for (const runtime of runtimes) {
    const own = path.join(dir, runtime);
    const clusters = await startClusters(runtime, own, QUIET);
    try {
      if (batches > 0) await requests(own, runtime, clusters);
      if (runtime === 'node' && trees.length === 1 && values.memory === 'yes')
        await memoryTable(own, clusters);
    } finally {
      await clusters.stop();
    }
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}

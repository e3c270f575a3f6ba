/**
 * `npm run bench:groups [-- --rounds N --seconds N]`: what a group costs the egress. CPU for each request to
 * a Service of three clusters against one to a Service of one cluster, in turns at the same process, over
 * HTTP/1 and HTTP/2 (`h2load`); and memory for each backend, by what lives behind a collection (Node). Three
 * clusters behind one gateway have the same connections as one, so that this is what choosing costs; with
 * three gateways, less is sent and read at once. Needs `h2load` (Debian: nghttp2-client) and two processors:
 * the egress has the first one.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { eventually } from '../../test/support/eventually.ts';
import type { EgressProcess, RelayedService } from '../../test/support/egress-process.ts';
import { type Runtime, RUNTIMES } from '../../test/support/runtime-process.ts';
import { cpuSeconds } from '../cpu-seconds.ts';
import {
  type Clusters,
  CLUSTERS,
  type Kind,
  KINDS,
  pin,
  type Protocol,
  PROTOCOLS,
  serviceOf,
  startClusters,
  startEgress,
} from './stage.ts';

const LOADS: Readonly<Record<Protocol, readonly string[]>> = {
  http1: ['--h1', '-c', '40'],
  http2: ['-c', '10', '-m', '20'],
};
/** Services of the measurement of memory: no more than ports are given to one process of tests. */
const SERVICES = 200;
const FIRST = path.join(import.meta.dirname, 'egress-first.ts');

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '8' }, seconds: { type: 'string', default: '2' } },
});
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];

const write = (cells: readonly string[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`);

const run = promisify(execFile);

/** @returns µs of the egress' CPU for each request */
async function cost(egress: EgressProcess, name: string, load: readonly string[]): Promise<number> {
  const before = cpuSeconds(egress.pid);
  const url = `http://127.0.0.1:${egress.client.portOf(name)}/hello`;
  // With the other processes, so that the egress has its processor to itself.
  const command = ['-c', '1', 'h2load', '-t1', '-D', String(seconds), ...load, url];
  const { stdout: said } = await run('taskset', command);
  const status = /^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/m.exec(said);
  const [served = 0, ...others] = (status ?? []).slice(1).map(Number);
  if (served === 0 || others.some((count) => count > 0)) throw new Error(`not all were served: ${said}`);
  return ((cpuSeconds(egress.pid) - before) * 1e6) / served;
}

const median = (all: readonly number[]) => {
  const sorted = all.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
};

async function row(runtime: Runtime, egress: EgressProcess, protocol: Protocol): Promise<string[]> {
  const found: Record<Kind, number[]> = { alone: [], together: [], apart: [] };
  // The first round warms up.
  for (let round = -1; round < rounds; round++) {
    // In turns, and not always in the same order: all have the same of what goes on beside them.
    for (const kind of round % 2 === 0 ? KINDS : KINDS.toReversed()) {
      const micros = await cost(egress, serviceOf(kind, protocol), LOADS[protocol]);
      if (round >= 0) found[kind].push(micros);
    }
  }
  const of = (kind: Kind) => {
    const ratio = median(found[kind].map((micros, round) => micros / (found.alone[round] ?? NaN)));
    return `${median(found[kind]).toFixed(1)} µs = ${ratio.toFixed(3)} ×`;
  };
  const alone = `${median(found.alone).toFixed(1)} µs`;
  return [`CPU of a request, ${protocol}, ${runtime}`, alone, of('together'), of('apart')];
}

async function requests(runtime: Runtime, dir: string, clusters: Clusters): Promise<void> {
  const members = { alone: undefined, together: clusters.oneGateway, apart: clusters.gateways };
  const services: RelayedService[] = PROTOCOLS.flatMap((protocol) =>
    KINDS.map((kind) => ({
      name: serviceOf(kind, protocol),
      ...(members[kind] === undefined ? {} : { members: members[kind] }),
    })),
  );
  const egress = await startEgress(runtime, path.join(dir, 'egress'), clusters, services, FIRST);
  try {
    pin(egress.pid, 0);
    for (const protocol of PROTOCOLS) write(await row(runtime, egress, protocol));
  } finally {
    await egress.kill();
  }
}

/** @returns bytes that live in an egress with so many Services, each of one cluster or of three */
async function liveBytes(dir: string, clusters: Clusters, grouped: boolean): Promise<number> {
  const services = Array.from({ length: SERVICES }, (_, nth) => ({
    name: `s${nth}.demo.svc.cluster.local`,
    ...(grouped ? { members: clusters.gateways, federated: `s${nth}-federated` } : {}),
  }));
  const egress = await startEgress('node', path.join(dir, `memory-${grouped}`), clusters, services, FIRST);
  try {
    egress.signal('SIGUSR2');
    const bytes = () => /^\{"liveBytes":(\d+)\}$/m.exec(egress.log)?.[1];
    return Number(await eventually('the egress says how much lives', bytes));
  } finally {
    await egress.kill();
  }
}

async function memory(dir: string, clusters: Clusters): Promise<void> {
  const alone = await liveBytes(dir, clusters, false);
  const grouped = await liveBytes(dir, clusters, true);
  const kib = (grouped - alone) / 1024 / (SERVICES * (CLUSTERS.length - 1));
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  write([
    `memory, ${SERVICES} Services, node`,
    mib(alone),
    '',
    `${mib(grouped)} = ${kib.toFixed(2)} KiB for each cluster more`,
  ]);
}

const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-bench-groups-'));
write(['', 'one cluster', 'three behind one gateway', 'three']);
write(['---', '---', '---', '---']);
try {
  for (const runtime of RUNTIMES) {
    const clusters = await startClusters(runtime, path.join(dir, runtime));
    try {
      await requests(runtime, path.join(dir, runtime), clusters);
      if (runtime === 'node') await memory(path.join(dir, runtime), clusters);
    } finally {
      await clusters.stop();
    }
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}

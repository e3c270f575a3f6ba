/**
 * `npm run bench:groups [-- --rounds N --seconds N]`: what a group costs the egress. CPU for each request to
 * a Service of three clusters against one to a Service of one cluster, in turns at the same process, over
 * HTTP/1 and HTTP/2 (`h2load`); and memory for each backend, of a Service that is quiet and of one that one
 * protocol is spoken to, by what lives behind a collection (Node). `--rounds 0` measures memory alone. Three
 * clusters behind one gateway have the same connections as one, so that this is what choosing costs; with
 * three gateways, less is sent and read at once. Needs `h2load` (Debian: nghttp2-client) and two processors:
 * the egress has the first one.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
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
const QUIET = Array.from({ length: 200 }, (_, nth) => `s${nth}.demo.svc.cluster.local`);
const FIRST = path.join(import.meta.dirname, 'egress-first.ts');
const LIVE = path.join(import.meta.dirname, 'egress-live.ts');

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

/** One request, on a connection of its own, which is closed when this resolves. */
async function ask(port: number, host: string): Promise<void> {
  const asked = http.get({ host: '127.0.0.1', port, path: '/hello', agent: false, headers: { host } });
  const [answer] = (await once(asked, 'response')) as [http.IncomingMessage];
  answer.resume();
  await once(answer, 'close');
  if (answer.statusCode !== 200) throw new Error(`${host} answered ${answer.statusCode}`);
}

/** What an egress has, whose live bytes are counted. */
interface Kept {
  readonly services: number;
  /** Of three clusters each, or of one. */
  readonly grouped: boolean;
  /** Whether HTTP/1 was spoken to each Service. */
  readonly spoken: boolean;
}

/** @returns bytes that live in such an egress */
async function liveBytes(
  dir: string,
  clusters: Clusters,
  { services, grouped, spoken }: Kept,
): Promise<number> {
  const names = QUIET.slice(0, services);
  const relayed = names.map((name, nth) => ({
    name,
    ...(grouped ? { members: clusters.gateways, federated: `s${nth}-federated` } : {}),
  }));
  const own = path.join(dir, `memory-${services}-${grouped}-${spoken}`);
  const egress = await startEgress('node', own, clusters, relayed, LIVE);
  try {
    // As many requests however many Services there are: what is compiled is the same then.
    for (const nth of spoken ? QUIET.keys() : []) {
      const name = names[nth % services] ?? '';
      await ask(egress.client.portOf(name), name);
    }
    egress.signal('SIGUSR2');
    const bytes = () => /^\{"liveBytes":(\d+)\}$/m.exec(egress.log)?.[1];
    return Number(await eventually('the egress says how much lives', bytes));
  } finally {
    await egress.kill();
  }
}

/**
 * What each cluster more takes. Of two numbers of Services, so that what is there once (code, connections to
 * gateways) does not count.
 */
async function memory(dir: string, clusters: Clusters, spoken: boolean): Promise<void> {
  const [few, many] = [QUIET.length / 4, QUIET.length];
  /** For each Service. */
  const cost = async (grouped: boolean) => {
    const bytes = async (services: number) => liveBytes(dir, clusters, { services, grouped, spoken });
    return ((await bytes(many)) - (await bytes(few))) / (many - few) / 1024;
  };
  const [alone, grouped] = [await cost(false), await cost(true)];
  const more = (grouped - alone) / (CLUSTERS.length - 1);
  write([
    `memory of a Service, ${spoken ? 'HTTP/1 spoken' : 'quiet'}, node`,
    `${alone.toFixed(2)} KiB`,
    '',
    `${grouped.toFixed(2)} KiB = ${more.toFixed(2)} KiB for each cluster more`,
  ]);
}

const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-bench-groups-'));
write(['', 'one cluster', 'three behind one gateway', 'three']);
write(['---', '---', '---', '---']);
try {
  for (const runtime of RUNTIMES) {
    const clusters = await startClusters(runtime, path.join(dir, runtime), QUIET);
    try {
      if (rounds > 0) await requests(runtime, path.join(dir, runtime), clusters);
      if (runtime !== 'node') continue;
      await memory(path.join(dir, runtime), clusters, false);
      await memory(path.join(dir, runtime), clusters, true);
    } finally {
      await clusters.stop();
    }
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}

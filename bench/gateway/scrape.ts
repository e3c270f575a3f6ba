/**
 * `node bench/gateway/scrape.ts --runtime node|bun [--scrapes N]`: what a scrape of 1,000 services with three
 * statuses each does to a gateway, which has the first processor to itself. Prints a line of JSON,
 * `ScrapeResult`. This process asks for everything and is the application behind all services.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { eventually } from '../../test/support/eventually.ts';
import { GatewayProcess } from '../../test/support/gateway-process.ts';
import { MeshClient } from '../../test/support/mesh-client.ts';
import { http1Origin } from '../../test/support/origins.ts';
import type { Runtime } from '../../test/support/runtime-process.ts';
import { threadSeconds } from '../cpu-seconds.ts';
import { pin } from '../groups/stage.ts';
import type { LoopLine } from './loop-first.ts';

const SERVICES = 1000;
/** One failure for each service, so that no endpoint is taken out. */
const STATUSES = [200, 404, 503] as const;
/** Services that are asked at the same time. */
const ASKED_AT_ONCE = 8;
/** Scrapes before anything is measured. */
const WARM_UP = 5;
/** The requests beside: one each so many milliseconds, for so long with scrapes and without. */
const REQUEST_MS = 5;
const BESIDE_MS = 4000;
/** Between two scrapes beside requests: thirty times as often as Prometheus asks by default. */
const SCRAPE_MS = 500;

/** How a gateway took its scrapes, of one encoding. */
export interface Scrapes {
  /** Of the answer, as it comes. */
  readonly bytes: number;
  readonly loop: readonly LoopLine[];
  /** For as long as each scrape took, without one. */
  readonly quiet: readonly LoopLine[];
  readonly cpuMs: readonly number[];
}

export interface ScrapeResult {
  readonly text: Scrapes;
  readonly gzip: Scrapes;
  /** Requests beside, milliseconds. */
  readonly requests: { readonly alone: readonly number[]; readonly beside: readonly number[] };
}

const nameOf = (at: number) => `service-${at}.namespace-${at % 20}.svc.cluster.local`;
const names = Array.from({ length: SERVICES }, (_, at) => nameOf(at));

/** Each service answers with each status once. @throws where an answer is another one */
async function askAll(client: MeshClient): Promise<void> {
  const left = names.values();
  const ask = async () => {
    for (const name of left) {
      for (const wanted of STATUSES) {
        const { status } = await client.request('http2', name, { path: `/status/${wanted}` });
        if (status !== wanted) throw new Error(`${name} answered ${status} instead of ${wanted}`);
      }
      (await client.session(name)).close();
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, ask));
}

/** @throws where a service or a status is missing in the scrape */
function expectAll(text: string): void {
  for (const status of STATUSES) {
    const series = new RegExp(`^response_total\\{.*status_code="${status}".*\\} 1$`, 'gm');
    const found = text.match(series)?.length ?? 0;
    if (found !== SERVICES) throw new Error(`${found} services instead of ${SERVICES} with ${status}`);
  }
}

/** One scrape, of which no more is looked at than how long it is. */
async function scrape({ admin }: GatewayProcess, encoding: string): Promise<number> {
  const socket = net.connect(admin, '127.0.0.1');
  socket.write(
    `GET /metrics HTTP/1.1\r\nhost: it\r\naccept-encoding: ${encoding}\r\nconnection: close\r\n\r\n`,
  );
  socket.resume();
  await once(socket, 'close');
  return socket.bytesRead;
}

/** A gateway whose event loop can be watched. */
class WatchedLoop {
  readonly #gateway: GatewayProcess;
  #lines = 0;

  constructor(gateway: GatewayProcess) {
    this.#gateway = gateway;
  }

  async during(act: () => Promise<unknown>): Promise<LoopLine> {
    await this.#next();
    await act();
    return JSON.parse(await this.#next()) as LoopLine;
  }

  #next(): Promise<string> {
    this.#gateway.signal('SIGUSR2');
    const at = this.#lines++;
    return eventually('what loop-first.ts says', () => {
      const lines = this.#gateway.log.match(/^\{"(?:watched|stallMs)".*\}$/gm);
      return lines?.[at];
    });
  }
}

async function measured(gateway: GatewayProcess, loop: WatchedLoop, encoding: string): Promise<Scrapes> {
  for (let at = 0; at < WARM_UP; at++) await scrape(gateway, encoding);
  const found = { bytes: 0, loop: [] as LoopLine[], quiet: [] as LoopLine[], cpuMs: [] as number[] };
  for (let at = 0; at < scrapes; at++) {
    let tookMs = 0;
    found.loop.push(
      await loop.during(async () => {
        const begun = performance.now();
        found.bytes = await scrape(gateway, encoding);
        tookMs = performance.now() - begun;
      }),
    );
    found.quiet.push(await loop.during(() => pause(tookMs)));
    // Not while its loop is watched, which costs something as well.
    const before = threadSeconds(gateway.pid);
    await scrape(gateway, encoding);
    found.cpuMs.push((threadSeconds(gateway.pid) - before) * 1000);
  }
  return found;
}

/** How long requests take that come one by one, milliseconds. */
async function requestsFor(client: MeshClient, ms: number): Promise<readonly number[]> {
  const taken: Promise<number>[] = [];
  const ask = async () => {
    const begun = performance.now();
    await client.request('http2', nameOf(0), { path: '/hello' });
    return performance.now() - begun;
  };
  for (let left = ms / REQUEST_MS; left > 0; left--) {
    taken.push(ask());
    await pause(REQUEST_MS);
  }
  return Promise.all(taken);
}

async function requestsBeside(
  gateway: GatewayProcess,
  client: MeshClient,
): Promise<ScrapeResult['requests']> {
  await requestsFor(client, 500);
  const alone = await requestsFor(client, BESIDE_MS);
  const timer = setInterval(() => void scrape(gateway, 'gzip'), SCRAPE_MS);
  try {
    return { alone, beside: await requestsFor(client, BESIDE_MS) };
  } finally {
    clearInterval(timer);
  }
}

const { values } = parseArgs({
  options: { runtime: { type: 'string', default: 'node' }, scrapes: { type: 'string', default: '20' } },
});
const scrapes = Number(values.scrapes);
const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-scrape-'));
const origin = await http1Origin();
const issuer = await createIssuer(await createAnchor({}), {});
const gateway = await GatewayProcess.start({
  runtime: values.runtime as Runtime,
  dir,
  identity: await issueLeaf(issuer, { identity: 'gateway.bench' }),
  targets: names.map((name) => ({ name, ports: [origin.port], protocol: 'http1' })),
  first: path.join(import.meta.dirname, 'loop-first.ts'),
});
const identity = await issueLeaf(issuer, { identity: 'egress.bench' });
const client = new MeshClient({ port: gateway.port, gatewayIdentity: 'gateway.bench', identity });
try {
  pin(gateway.pid, 0);
  await askAll(client);
  expectAll(await gateway.metrics());
  const loop = new WatchedLoop(gateway);
  const result: ScrapeResult = {
    text: await measured(gateway, loop, 'identity'),
    gzip: await measured(gateway, loop, 'gzip'),
    requests: await requestsBeside(gateway, client),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  client.close();
  await gateway.kill();
  origin.close();
  rmSync(dir, { recursive: true });
}

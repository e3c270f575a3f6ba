/**
 * `node bench/gateway/new-flows.ts`: how many new raw flows a gateway takes per second of its CPU, from our
 * own egress: in stream mode, and with a new mTLS connection each.
 *
 * Each flow is opened as the egress opens it (`src/egress/gateways/gateway-pool.ts`), carries one byte to an
 * echo server behind the gateway and back, and is closed by both ends. The egress and the echo server are
 * this process; only the gateway's CPU counts. Prints one line of JSON:
 * `{"flows", "seconds", "gatewayCpuSeconds"}`.
 *
 * Without `--gateway` it starts one (`--runtime node|bun`, default node) for itself, pinned to `--cpu` if
 * given. To use one that runs: `--gateway 127.0.0.1:4143 --pid N --gateway-identity NAME --target NAME:PORT`
 * and `--cert --key --ca` files; what stands behind must echo.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { parseAddress } from '../../src/base/address.ts';
import { systemClock } from '../../src/base/clock.ts';
import { GatewayPool } from '../../src/egress/gateways/gateway-pool.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { ProxyCounters } from '../../src/proxy/metrics/counters.ts';
import type { Connection, ConnectionHandler } from '../../src/proxy/io/connection.ts';
import { targetField } from '../../src/proxy/streams/stream-head.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { eventually } from '../../test/support/eventually.ts';
import { fixedIdentity } from '../../test/support/fixed-identity.ts';
import { cpuSeconds } from '../cpu-seconds.ts';

const root = path.join(import.meta.dirname, '../..');
const BYTE = Buffer.from('x');

export interface NewFlowsOptions {
  readonly host: string;
  readonly port: number;
  /** Of the gateway and its workers: their CPU time counts. */
  readonly pids: readonly number[];
  readonly gatewayIdentity: string;
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly target: { readonly name: string; readonly port: number };
  /** False: a new mTLS connection for each flow. */
  readonly streams: boolean;
  readonly seconds: number;
  /** Flows in hand. */
  readonly concurrency: number;
}

export interface NewFlowsResult {
  readonly flows: number;
  readonly seconds: number;
  readonly gatewayCpuSeconds: number;
}

/** Opens flows for a while, so many at a time. @throws Error when a flow fails */
export async function newFlows(options: NewFlowsOptions): Promise<NewFlowsResult> {
  const { host, port, gatewayIdentity, target, streams, seconds, concurrency } = options;
  const pool = new GatewayPool(
    { host, port, identity: gatewayIdentity },
    {
      identity: fixedIdentity({ ...options, name: '', notAfter: Number.POSITIVE_INFINITY }),
      counters: new ProxyCounters(),
      clock: systemClock,
      random: Math.random,
      log: createLogger({ name: 'bench', level: 'silent' }),
      streams,
    },
  );
  const purpose = { ...target, label: target.name, field: targetField(`${target.name}:${target.port}`) };
  const flow = async () => new EchoedByte(await pool.open(purpose, 'opaque')).done;
  let flows = 0;
  const until = async (end: number) => {
    const worker = async () => {
      while (performance.now() < end) {
        await flow();
        flows++;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
  };
  // Code that runs for the first time is slow, and the first connections are not what is measured.
  await until(performance.now() + Math.min(2000, seconds * 500));
  flows = 0;
  const [startedAt, cpu] = [performance.now(), cpuSeconds(...options.pids)];
  await until(startedAt + seconds * 1000);
  const result = {
    flows,
    seconds: (performance.now() - startedAt) / 1000,
    gatewayCpuSeconds: cpuSeconds(...options.pids) - cpu,
  };
  pool.destroy();
  return result;
}

/** One flow: a byte there and back, then both ends close. */
class EchoedByte implements ConnectionHandler {
  readonly done: Promise<void>;
  #resolve: () => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  #heard = false;

  constructor(connection: Connection) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    connection.handler = this;
    connection.resume();
    connection.send(BYTE);
  }

  onData(connection: Connection): void {
    this.#heard = true;
    connection.end();
  }

  onEnd(connection: Connection): void {
    connection.end();
  }

  onDrain(): void {
    // A byte needs no second attempt.
  }

  onClose(_: Connection, error: Error | undefined): void {
    if (this.#heard && error === undefined) this.#resolve();
    else this.#reject(error ?? new Error('the flow ended before its byte came back'));
  }
}

const flags = {
  mode: { type: 'string', default: 'streams' },
  seconds: { type: 'string', default: '5' },
  concurrency: { type: 'string' },
  runtime: { type: 'string', default: 'node' },
  cpu: { type: 'string' },
  gateway: { type: 'string' },
  pid: { type: 'string', multiple: true },
  'gateway-identity': { type: 'string' },
  target: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  ca: { type: 'string' },
} as const;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: flags });
  if (values.mode !== 'streams' && values.mode !== 'header') throw new Error('--mode: streams or header');
  const run = {
    streams: values.mode === 'streams',
    seconds: Number(values.seconds),
    // As many as keep a gateway busy; handshakes in greater number would wait longer than a connection may
    // take.
    concurrency: Number(values.concurrency ?? (values.mode === 'streams' ? 64 : 8)),
  };
  const print = (result: NewFlowsResult) => void process.stdout.write(`${JSON.stringify(result)}\n`);
  if (values.gateway === undefined)
    return ofOwnGateway(values.runtime, values.cpu, async (own) => print(await newFlows({ ...own, ...run })));
  const need = (name: 'gateway-identity' | 'target' | 'cert' | 'key' | 'ca'): string => {
    const value = values[name];
    if (value === undefined) throw new Error(`--gateway needs --${name}`);
    return value;
  };
  const target = need('target');
  const colon = target.lastIndexOf(':');
  print(
    await newFlows({
      ...parseAddress(values.gateway, '--gateway'),
      ...run,
      pids: (values.pid ?? []).map(Number),
      gatewayIdentity: need('gateway-identity'),
      target: { name: target.slice(0, colon), port: Number(target.slice(colon + 1)) },
      cert: readFileSync(need('cert'), 'utf8'),
      key: readFileSync(need('key'), 'utf8'),
      ca: readFileSync(need('ca'), 'utf8'),
    }),
  );
}

type Own = Omit<NewFlowsOptions, 'streams' | 'seconds' | 'concurrency'>;

/** Runs `use` with a gateway in a process of its own, before an echo server in this one. */
async function ofOwnGateway(
  runtime: string,
  cpu: string | undefined,
  use: (own: Own) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-new-flows-'));
  const echo = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const issuer = await createIssuer(await createAnchor({}), {});
  await writePemFiles(dir, identityFiles(await issueLeaf(issuer, { identity: 'gateway.bench' })), {
    force: true,
  });
  const name = 'echo.bench.svc.cluster.local';
  const endpoint = `127.0.0.1:${(echo.address() as net.AddressInfo).port}`;
  writeFileSync(
    path.join(dir, 'targets.json'),
    JSON.stringify({ services: [{ name, port: 80, protocol: 'opaque', endpoints: [endpoint] }] }),
  );
  const command = [
    path.join(root, 'node_modules/.bin', runtime),
    path.join(root, 'bin/linkspan.js'),
    'gateway',
    '--identity-dir',
    dir,
    '--targets',
    path.join(dir, 'targets.json'),
    '--listen',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
    '--probe',
    '127.0.0.1:0',
  ];
  const [program = '', ...args] = cpu === undefined ? command : ['taskset', '-c', cpu, ...command];
  const child = spawn(program, args);
  try {
    const port = await listeningPort(child);
    const client = await issueLeaf(issuer, { identity: 'egress.bench' });
    await use({
      host: '127.0.0.1',
      port,
      pids: [child.pid ?? 0],
      gatewayIdentity: 'gateway.bench',
      target: { name, port: 80 },
      ...client,
    });
  } finally {
    child.kill('SIGKILL');
    echo.close();
    rmSync(dir, { recursive: true });
  }
}

async function listeningPort(child: ChildProcess): Promise<number> {
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return eventually('the gateway listens', () => {
    if (child.exitCode !== null) throw new Error(`the gateway ended: ${text}`);
    const port = Number(/"listen":"127\.0\.0\.1:(\d+)"/.exec(text)?.[1] ?? 0);
    return port > 0 ? port : undefined;
  });
}

if (process.argv[1] === import.meta.filename) await main();

/**
 * `node scripts/http2-limits.ts`: how near real clients and servers come to the limits of HTTP/2
 * (docs/adr/0016-http2-limits.md). A gateway and an egress in this process, Go's programs at both ends
 * (`npm run testbed:prepare -- go-peers`), nghttp2's and grpcio where this machine has them (else it says
 * so), and a ledger beside each connection's budget. Exit code 1 when one comes nearer than a tenth of a
 * limit.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { issueLeaf } from '../src/identity/authority/issue.ts';
import { identityFiles, writePemFiles } from '../src/identity/authority/pem-files.ts';
import {
  IDLE_FRAME_LIMIT,
  FloodProtection,
  RESET_LIMIT,
  UPDATE_BYTES_SHIFT,
  UPDATES_PER_FRAME,
} from '../src/proxy/http2/flood-protection.ts';
import { HeaderBlock, MAX_BLOCK } from '../src/proxy/http2/header-block.ts';
import { HpackDecoder } from '../src/proxy/http2/hpack/decoder.ts';
import { fieldSize } from '../src/proxy/http2/hpack/dynamic-table.ts';
import { MAX_HEADER_LIST } from '../src/proxy/http2/http2-options.ts';
import { freePorts } from '../test/support/free-port.ts';
import { goClient, GoServer } from '../test/support/go-peers.ts';
import { grpcio, grpcioServer } from '../test/support/grpcio.ts';
import { h2load, nghttpd } from '../test/support/nghttp2.ts';
import type { Peer } from '../test/support/peer.ts';
import { startRelay } from '../test/support/relay.ts';
import { absentOf } from '../test/testbed/binaries/machine.ts';
import { GRPCIO, NGHTTP2 } from '../test/testbed/binaries/programs.ts';

const ROOM = 10;
/** Below this many WINDOW_UPDATEs their share says nothing. */
const FEW = 100;

/**
 * What one connection's peer has used: tokens that were not paid back at the worst moment, and WINDOW_UPDATEs
 * of those that are free.
 */
interface Ledger {
  idle: number;
  resets: number;
  worstIdle: number;
  worstResets: number;
  updates: number;
  free: number;
}

const ledgers = new Map<FloodProtection, Ledger>();

function ledgerOf(budget: FloodProtection): Ledger {
  let found = ledgers.get(budget);
  if (found === undefined) {
    found = { idle: 0, resets: 0, worstIdle: 0, worstResets: 0, updates: 0, free: 0 };
    ledgers.set(budget, found);
  }
  return found;
}

/**
 * Runs `note` before the method; what comes back per second is not counted, so that the figure is not of this
 * machine.
 */
function watch<
  K extends 'spendIdleFrame' | 'spendReset' | 'streamDone' | 'earn' | 'sentData' | 'spendWindowUpdate',
>(name: K, note: (ledger: Ledger, ...args: Parameters<FloodProtection[K]>) => void): void {
  const original = FloodProtection.prototype[name] as (...args: Parameters<FloodProtection[K]>) => void;
  const watched = function (this: FloodProtection, ...args: Parameters<FloodProtection[K]>): void {
    note(ledgerOf(this), ...args);
    original.apply(this, args);
  };
  Object.defineProperty(FloodProtection.prototype, name, { value: watched });
}

const less = (count: number) => Math.max(0, count - 1);
watch('spendIdleFrame', (ledger) => {
  ledger.worstIdle = Math.max(ledger.worstIdle, ++ledger.idle);
});
watch('earn', (ledger) => void (ledger.idle = less(ledger.idle)));
watch('spendReset', (ledger) => {
  ledger.worstResets = Math.max(ledger.worstResets, ++ledger.resets);
});
watch('streamDone', (ledger) => void (ledger.resets = less(ledger.resets)));
watch('spendWindowUpdate', (ledger) => void ledger.updates++);
watch('sentData', (ledger, bytes, dribbled) => {
  if (dribbled) return;
  ledger.idle = less(ledger.idle);
  ledger.free += UPDATES_PER_FRAME + (bytes >> UPDATE_BYTES_SHIFT);
});

/** The largest list of fields, header block and number of frames that one took, of what any peer has sent. */
const heads = { list: 0, block: 0, frames: 0 };
// oxlint-disable-next-line typescript/unbound-method -- called with its own `this`
const { decode } = HpackDecoder.prototype;
HpackDecoder.prototype.decode = function (block, start, end) {
  const decoded = decode.call(this, block, start, end);
  const size = decoded.fields.reduce((sum, field) => sum + fieldSize(field), 0);
  heads.list = Math.max(heads.list, size);
  heads.block = Math.max(heads.block, (end ?? block.length) - (start ?? 0));
  return decoded;
};
// oxlint-disable-next-line typescript/unbound-method -- called with its own `this`
const { continue: goOn } = HeaderBlock.prototype;
let frames = 0;
HeaderBlock.prototype.continue = function (streamId, flags, payload) {
  heads.frames = Math.max(heads.frames, ++frames);
  const whole = goOn.call(this, streamId, flags, payload);
  if (whole) frames = 0;
  return whole;
};

const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-limits-'));
const closing: { close(): unknown }[] = [];
const kept = <T extends { close(): unknown }>(one: T): T => {
  closing.push(one);
  return one;
};
const absent = [NGHTTP2, GRPCIO].map(({ machine }) => absentOf(machine));
const [noNghttp2, noGrpcio] = absent;
const servers: Record<string, number> = {
  http: kept(await GoServer.start('http-server')).port,
  few: kept(await GoServer.start('http-server', '-streams', '5')).port,
  grpc: kept(await GoServer.start('grpc-server')).port,
};
if (noNghttp2 === undefined) {
  const served = path.join(dir, 'served');
  mkdirSync(served);
  writeFileSync(path.join(served, 'bytes'), Buffer.alloc(64_000));
  writeFileSync(path.join(dir, 'up'), Buffer.alloc(1_000_000));
  servers['nghttpd'] = kept(await nghttpd(100, served)).port;
  servers['nghttpd-few'] = kept(await nghttpd(5, served)).port;
}
if (noGrpcio === undefined) {
  servers['grpcio'] = await grpcioServer(kept<Peer>);
  servers['grpcio-few'] = await grpcioServer(kept<Peer>, 5);
}
const names = Object.keys(servers);
const [listeners, ports] = [await freePorts(names.length), names.map((name) => servers[name] ?? 0)];
const full = (name: string) => `${name}.demo.svc.cluster.local`;
const relay = await startRelay({
  specs: names.map((name, index) => ({
    name: full(name),
    port: 80,
    protocol: 'http2',
    endpoints: [{ host: '127.0.0.1', port: ports[index] ?? 0, ready: true }],
  })),
  services: names.map((name) => ({ name: full(name) })),
  gateway: {
    listeners: names.map((name, index) => ({
      address: { host: '127.0.0.1', port: listeners[index] ?? 0 },
      name: full(name),
      port: 80,
      protocol: 'http',
    })),
  },
});
await writePemFiles(dir, identityFiles(await issueLeaf(relay.local.issuer, { identity: 'vm.east' })), {
  force: true,
});
/** The gateway's mTLS port of a service, and the egress' plain one. */
const secure = (name: string) => `127.0.0.1:${listeners[names.indexOf(name)]}`;
const plain = (name: string) => `127.0.0.1:${relay.client.portOf(full(name))}`;

const secured = ['-tls', dir, '-server-name', 'gateway.west'];
const httpCall =
  (name: string, at: string, ...flags: readonly string[]) =>
  () =>
    goClient('http-client', '-url', `https://${secure(name)}${at}`, ...secured, ...flags);
const grpcCall =
  (...flags: readonly string[]) =>
  () =>
    goClient('grpc-client', '-target', secure('grpc'), ...secured, ...flags);
const load =
  (name: string, at: string, ...flags: readonly string[]) =>
  () =>
    h2load([...flags, `http://${plain(name)}${at}`], dir);
const calls = (name: string, job: object) => async () => {
  const client = grpcio('client', plain(name));
  await client.ask(job);
  await client.close();
};
const many = ['-count', '2000', '-at-once', '80'];

type Row = readonly [title: string, run: () => Promise<unknown>];
const CLIENTS: readonly Row[] = [
  ['net/http client reads 200 MB, 4 KiB at a time', httpCall('http', '/bytes/200000000', '-buffer', '4096')],
  ['the same, 512 bytes at a time', httpCall('http', '/bytes/50000000', '-buffer', '512')],
  ['net/http client reads 64 kB × 2,000', httpCall('http', '/bytes/64000', '-buffer', '4096', ...many)],
  [
    'net/http server reads 200 MB, 4 KiB at a time',
    httpCall('http', '/sink?buffer=4096', '-upload', '200000000'),
  ],
  ['net/http server answers 2,000 uploads early', httpCall('http', '/early', '-upload', '200000', ...many)],
  ['net/http server that takes 5 streams', httpCall('few', '/hello', ...many)],
  ['grpc-go, 2,000 unary calls', grpcCall(...many)],
  [
    'grpc-go, 2,000 messages of 30 kB each way',
    grpcCall('-mode', 'chat', '-count', '2000', '-size', '30000'),
  ],
  [
    'grpc-go, 2,000 deadlines of 0.2 s',
    grpcCall('-count', '2000', '-late', '2000', '-late-at-once', '90', '-deadline', '200ms'),
  ],
  [
    'grpc-go, 500 deadlines of 5 ms, 10 at once, beside good calls',
    grpcCall('-count', '4000', '-at-once', '4', '-late', '500', '-late-at-once', '10', '-deadline', '5ms'),
  ],
];

/** Through the egress: h2load has no client certificates. */
const NGHTTP2_ROWS: readonly Row[] = [
  [
    'h2load reads 64 kB × 4,000, 50 at once on each of 20',
    load('nghttpd', '/bytes', '-n', '4000', '-c', '20', '-m', '50'),
  ],
  [
    'h2load reads 64 kB × 2,000 in windows of 16 KiB',
    load('nghttpd', '/bytes', '-n', '2000', '-c', '4', '-m', '10', '-w', '14', '-W', '16'),
  ],
  [
    'h2load uploads 1 MB × 100, nghttpd takes 5 streams',
    load('nghttpd-few', '/bytes', '-n', '100', '-c', '4', '-m', '20', '-d', 'up'),
  ],
];
const GRPCIO_ROWS: readonly Row[] = [
  ['grpcio, 2,000 unary calls', calls('grpcio', { mode: 'echo', count: 2000, atOnce: 80, size: 100 })],
  [
    'the same, its server takes 5 streams',
    calls('grpcio-few', { mode: 'echo', count: 2000, atOnce: 80, size: 100 }),
  ],
  [
    'grpcio reads 60 MB in messages of 30 kB',
    calls('grpcio', { mode: 'download', count: 1, atOnce: 1, messages: 2000, size: 30_000 }),
  ],
  [
    'grpcio, 20,000 messages of 10 bytes',
    calls('grpcio', { mode: 'download', count: 1, atOnce: 1, messages: 20_000, size: 10 }),
  ],
  [
    'grpcio sends 60 MB in messages of 30 kB',
    calls('grpcio', { mode: 'upload', count: 1, atOnce: 1, messages: 2000, size: 30_000 }),
  ],
  [
    'grpcio, 2,000 deadlines of 0.2 s',
    calls('grpcio', { mode: 'late', count: 2000, atOnce: 80, deadline: 0.2 }),
  ],
  [
    'grpcio, 500 deadlines of 5 ms, 10 at once',
    calls('grpcio', { mode: 'late', count: 500, atOnce: 10, deadline: 0.005 }),
  ],
];

const factor = (limit: number, used: number) => (used === 0 ? '' : ` (${Math.floor(limit / used)} ×)`);
let near = false;
process.stdout.write(
  '| client or server | WINDOW_UPDATEs of those free | idle frames unpaid | resets unpaid | bytes of fields; on the wire |\n',
);
process.stdout.write('| --- | --- | --- | --- | --- |\n');
for (const [title, run] of [
  ...CLIENTS,
  ...(noNghttp2 === undefined ? NGHTTP2_ROWS : []),
  ...(noGrpcio === undefined ? GRPCIO_ROWS : []),
]) {
  ledgers.clear();
  Object.assign(heads, { list: 0, block: 0, frames: 0 });
  await run();
  const worst = { idle: 0, resets: 0, updates: 0, free: 0 };
  for (const ledger of ledgers.values()) {
    worst.idle = Math.max(worst.idle, ledger.worstIdle);
    worst.resets = Math.max(worst.resets, ledger.worstResets);
    if (ledger.updates > worst.updates) [worst.updates, worst.free] = [ledger.updates, ledger.free];
  }
  const { idle, resets, updates, free } = worst;
  near ||= heads.list * ROOM > MAX_HEADER_LIST || heads.block * ROOM > MAX_BLOCK || heads.frames > 0;
  near ||= idle * ROOM > IDLE_FRAME_LIMIT.burst || resets * ROOM > RESET_LIMIT.burst;
  // Those beyond what is free are idle frames, and counted there.
  near ||= updates > FEW && updates <= free && updates * ROOM > free;
  process.stdout.write(
    `| ${title} | ${updates} of ${free}${updates <= free ? factor(free, updates) : ''} | ${idle}${factor(IDLE_FRAME_LIMIT.burst, idle)} | ${resets}${factor(RESET_LIMIT.burst, resets)} | ${heads.list}${factor(MAX_HEADER_LIST, heads.list)}; ${heads.block}${factor(MAX_BLOCK, heads.block)} |\n`,
  );
}
for (const why of absent) if (why !== undefined) process.stdout.write(`left out: ${why}\n`);
await relay.close();
for (const one of closing) await one.close();
rmSync(dir, { recursive: true, force: true });
process.exitCode = near ? 1 : 0;

/**
 * `node scripts/http2-limits.ts`: how near real clients and servers come to the limits of HTTP/2 (docs/adr/0016-http2-limits.md). A
 * gateway in this process, Go's programs at both ends (`npm run testbed:prepare -- go-peers`), and a ledger beside each connection's
 * budget. Exit code 1 when one comes nearer than a tenth of a limit.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { issueLeaf } from '../src/identity/issue.ts';
import { identityFiles, writePemFiles } from '../src/identity/pem-files.ts';
import {
  IDLE_FRAME_LIMIT,
  PeerBudget,
  RESET_LIMIT,
  UPDATE_BYTES_SHIFT,
  UPDATES_PER_FRAME,
} from '../src/proxy/http2/abuse.ts';
import { freePorts } from '../test/support/free-port.ts';
import { goClient, GoServer } from '../test/support/go-peers.ts';
import { localGateway } from '../test/support/local-gateway.ts';

const ROOM = 10;
/** Below this many WINDOW_UPDATEs their share says nothing. */
const FEW = 100;

/** What one connection's peer has used: tokens that were not paid back at the worst moment, and WINDOW_UPDATEs of those that are free. */
interface Ledger {
  idle: number;
  resets: number;
  worstIdle: number;
  worstResets: number;
  updates: number;
  free: number;
}

const ledgers = new Map<PeerBudget, Ledger>();

function ledgerOf(budget: PeerBudget): Ledger {
  let found = ledgers.get(budget);
  if (found === undefined) {
    found = { idle: 0, resets: 0, worstIdle: 0, worstResets: 0, updates: 0, free: 0 };
    ledgers.set(budget, found);
  }
  return found;
}

/** Runs `note` before the method; what comes back per second is not counted, so that the figure is not of this machine. */
function watch<
  K extends 'spendIdleFrame' | 'spendReset' | 'streamDone' | 'earn' | 'sentData' | 'spendWindowUpdate',
>(name: K, note: (ledger: Ledger, ...args: Parameters<PeerBudget[K]>) => void): void {
  const original = PeerBudget.prototype[name] as (...args: Parameters<PeerBudget[K]>) => void;
  const watched = function (this: PeerBudget, ...args: Parameters<PeerBudget[K]>): void {
    note(ledgerOf(this), ...args);
    original.apply(this, args);
  };
  Object.defineProperty(PeerBudget.prototype, name, { value: watched });
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

const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-limits-'));
const [http, few, grpc] = [
  await GoServer.start('http-server'),
  await GoServer.start('http-server', '-streams', '5'),
  await GoServer.start('grpc-server'),
];
const servers = { http, few, grpc };
const names = Object.keys(servers) as (keyof typeof servers)[];
const ports = await freePorts(names.length);
const full = (name: string) => `${name}.demo.svc.cluster.local`;
const local = await localGateway(
  names.map((name) => ({
    name: full(name),
    port: 80,
    protocol: 'http2',
    endpoints: [{ host: '127.0.0.1', port: servers[name].port, ready: true }],
  })),
  {
    listeners: names.map((name, index) => ({
      address: { host: '127.0.0.1', port: ports[index] ?? 0 },
      name: full(name),
      port: 80,
      protocol: 'http',
    })),
  },
);
await writePemFiles(dir, identityFiles(await issueLeaf(local.issuer, { identity: 'vm.east' })), {
  force: true,
});

const secured = ['-tls', dir, '-server-name', 'gateway.west'];
const url = (name: keyof typeof servers, at: string) => [
  '-url',
  `https://127.0.0.1:${ports[names.indexOf(name)]}${at}`,
];
const httpCall = (name: keyof typeof servers, at: string, ...flags: readonly string[]) => [
  'http-client',
  ...url(name, at),
  ...secured,
  ...flags,
];
const grpcCall = (...flags: readonly string[]) => [
  'grpc-client',
  '-target',
  `127.0.0.1:${ports[names.indexOf('grpc')]}`,
  ...secured,
  ...flags,
];
const many = ['-count', '2000', '-at-once', '80'];

const CLIENTS: readonly (readonly [title: string, args: readonly string[]])[] = [
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

const factor = (limit: number, used: number) => (used === 0 ? '' : ` (${Math.floor(limit / used)} ×)`);
let near = false;
process.stdout.write(
  '| client or server | WINDOW_UPDATEs of those free | idle frames unpaid | resets unpaid |\n',
);
process.stdout.write('| --- | --- | --- | --- |\n');
for (const [title, args] of CLIENTS) {
  ledgers.clear();
  await goClient(...args);
  const worst = { idle: 0, resets: 0, updates: 0, free: 0 };
  for (const ledger of ledgers.values()) {
    worst.idle = Math.max(worst.idle, ledger.worstIdle);
    worst.resets = Math.max(worst.resets, ledger.worstResets);
    if (ledger.updates > worst.updates) [worst.updates, worst.free] = [ledger.updates, ledger.free];
  }
  const { idle, resets, updates, free } = worst;
  near ||= idle * ROOM > IDLE_FRAME_LIMIT.burst || resets * ROOM > RESET_LIMIT.burst;
  near ||= updates > FEW && updates * ROOM > free;
  process.stdout.write(
    `| ${title} | ${updates} of ${free}${factor(free, updates)} | ${idle}${factor(IDLE_FRAME_LIMIT.burst, idle)} | ${resets}${factor(RESET_LIMIT.burst, resets)} |\n`,
  );
}
await local.close();
for (const server of Object.values(servers)) await server.close();
rmSync(dir, { recursive: true, force: true });
process.exitCode = near ? 1 : 0;

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.join(import.meta.dirname, '../..');

/**
 * Who the load generators and the gateways are: names of one mesh, so that the gateway has something to
 * authorize.
 */
export const IDENTITY = (account: string) => `${account}.bench.serviceaccount.identity.linkerd.cluster.local`;

/** Ports of the origins, which `bench.py` starts (its constants). */
const ORIGINS = { http1: 9001, opaque: 9002, http2: 9003 } as const;

/** The runtimes that the product is measured on. */
export const RUNTIMES = ['node', 'bun'] as const;
export type Runtime = (typeof RUNTIMES)[number];

/** Where everything is, and what to undo at the end. */
export interface Stage {
  /** `bench.py` and what belongs to it. */
  readonly scripts: string;
  /** What `bench.py` calls $GWB: tools, certificates, its scratch files. */
  readonly work: string;
}

/**
 * A working folder for `bench.py`: its tools as they were installed, and certificates whose names a mesh
 * would give.
 * @throws Error saying what to install
 */
export function prepare(): Stage {
  const scripts = path.resolve(process.env['GATEWAY_BENCH'] ?? path.join(root, '../shared/gateway-bench'));
  const tools = path.resolve(process.env['GWB'] ?? '/tmp/gwb');
  const wanted = [
    path.join(scripts, 'bench.py'),
    path.join(tools, 'bin/origin'),
    path.join(tools, 'bin/gwload'),
  ];
  const missing = wanted.find((file) => !existsSync(file));
  if (missing !== undefined)
    throw new Error(
      `${missing} is missing: run ${path.join(scripts, 'install.sh')}, or name its folders in $GATEWAY_BENCH and $GWB`,
    );
  const work = mkdtempSync(path.join(tmpdir(), 'linkspan-bench-'));
  for (const name of ['bin', 'envoy', 'node']) symlinkSync(path.join(tools, name), path.join(work, name));
  mkdirSync(path.join(work, 'run'));
  build(path.join(work, 'app'));
  makeCertificates(path.join(work, 'certs'));
  return { scripts, work };
}

/** The program as the image has it: compiled, beside its packages. */
function build(app: string): void {
  mkdirSync(app);
  const tsc = path.join(root, 'node_modules/.bin/tsc');
  execFileSync(tsc, ['-p', 'tsconfig.build.json', '--outDir', path.join(app, 'dist')], { cwd: root });
  for (const name of ['package.json', 'node_modules'])
    symlinkSync(path.join(root, name), path.join(app, name));
  // A copy: the program finds the rest of itself by where this really is.
  cpSync(path.join(root, 'bin'), path.join(app, 'bin'), { recursive: true });
}

export function cleanUp({ work }: Stage): void {
  rmSync(work, { recursive: true, force: true });
}

/** P-256 throughout, as `mkcerts.sh` makes them for all gateways, but with an identity as the first name. */
function makeCertificates(dir: string): void {
  mkdirSync(dir);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'ca.key');
  openssl(
    'req',
    '-x509',
    '-new',
    '-key',
    'ca.key',
    '-subj',
    '/CN=bench-ca',
    '-days',
    '30',
    '-out',
    'ca.crt',
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-addext',
    'keyUsage=keyCertSign',
  );
  for (const name of ['server', 'client']) {
    const key = path.join(dir, `${name}.key`);
    writeFileSync(key, openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'));
    writeFileSync(
      path.join(dir, 'ext'),
      `subjectAltName=DNS:${IDENTITY(name)},DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n`,
    );
    openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '30',
      '-extfile',
      'ext',
      '-out',
      `${name}.crt`,
    );
    execFileSync('sh', ['-c', `cat ${name}.crt ${name}.key > ${name}.pem`], { cwd: dir });
  }
}

/** A gateway of ours under load, as `bench.py --add` wants to know it. */
export interface Product {
  readonly name: string;
  readonly pid: number;
  readonly add: string;
  stop(): Promise<void>;
}

/**
 * Starts the product with three fixed listeners before the three origins; metrics, balancing and
 * authorization are on, as always.
 * @param cpu to be pinned to; undefined = not pinned
 */
export async function startProduct(
  stage: Stage,
  runtime: Runtime,
  options: {
    readonly base: number;
    readonly cpu: number | undefined;
    readonly workers: number;
    readonly flags?: readonly string[];
  },
): Promise<Product> {
  const dir = path.join(stage.work, `product-${runtime}`);
  mkdirSync(dir, { recursive: true });
  const certs = path.join(stage.work, 'certs');
  for (const [from, to] of [
    ['server.crt', 'tls.crt'],
    ['server.key', 'tls.key'],
    ['ca.crt', 'ca.crt'],
  ] as const)
    if (!existsSync(path.join(dir, to))) symlinkSync(path.join(certs, from), path.join(dir, to));
  const allow = [IDENTITY('client')];
  const services = Object.entries(ORIGINS).map(([protocol, port]) => ({
    name: `${protocol}.bench.svc.cluster.local`,
    port: 80,
    protocol,
    allow,
    endpoints: [`127.0.0.1:${port}`],
  }));
  writeFileSync(path.join(dir, 'targets.yaml'), JSON.stringify({ services }));
  const at = (offset: number) => `127.0.0.1:${options.base + offset}`;
  const command = [
    path.join(root, 'node_modules/.bin', runtime),
    path.join(stage.work, 'app/bin/linkspan.js'),
    'gateway',
    '--identity-dir',
    dir,
    '--targets',
    path.join(dir, 'targets.yaml'),
    '--listen',
    at(3),
    '--admin',
    at(4),
    '--probe',
    '127.0.0.1:0',
    '--workers',
    String(options.workers),
    '--log-level',
    'warn',
    '--listeners',
    `${at(0)}=http1.bench:80`,
    `${at(1)}=opaque.bench:80/opaque`,
    `${at(2)}=http2.bench:80`,
    ...(options.flags ?? []),
  ];
  const pinned = options.cpu === undefined ? command : ['taskset', '-c', String(options.cpu), ...command];
  const child = spawn(pinned[0] ?? '', pinned.slice(1), {
    stdio: ['ignore', 'ignore', 'inherit'],
    // As the image sets it.
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
  });
  await untilOpen(child, options.base);
  const pid = child.pid ?? 0;
  return {
    name: `linkspan-${runtime}`,
    pid,
    add: `linkspan-${runtime},h1=${at(0)},l4=${at(1)},h2=${at(2)},pid=${pid}`,
    stop: async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

async function untilOpen(child: ChildProcess, port: number): Promise<void> {
  for (let left = 200; left > 0; left--) {
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the gateway did not open its ports');
}

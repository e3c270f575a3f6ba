/**
 * A network namespace of our own with 10.x addresses on `lo`: API servers refuse loopback addresses in
 * Endpoints, so what the tests run has to be reachable at addresses that look like a network's, without
 * touching the machine's own interfaces. Works for root and, through a user namespace, for everybody else.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { Socket } from 'node:net';
import { binaries } from './binaries.ts';
import { prepare } from './binaries/prepare.ts';
import type { BinaryName } from './binaries/programs.ts';
import { TestbedError } from './errors.ts';
import { findExecutable } from './processes.ts';

/**
 * `setup:<tool>` for the first process inside, which puts the addresses on lo; `ready` for everything it
 * starts.
 */
const MARKER = 'LINKSPAN_TESTBED_NETNS';
const ADDRESSES = 20;
const LIFELINE_FD = 3;
const LAST_WORDS_MS = 5000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Whether this process is in a namespace that `reexecInNetns` made. */
export function inNetns(): boolean {
  return process.env[MARKER] === 'ready';
}

/**
 * The n-th address on lo, 10.200.0.n with n from 1 to 20.
 * @throws TestbedError TESTBED_NO_ADDRESS outside the namespace or for another n
 */
export function address(n: number): string {
  if (!inNetns()) {
    throw new TestbedError(
      'TESTBED_NO_ADDRESS',
      'the 10.200.0.x addresses are there in the network namespace only. Run through `npm test` or `node test/testbed/run.ts COMMAND`.',
    );
  }
  if (!Number.isInteger(n) || n < 1 || n > ADDRESSES) {
    throw new TestbedError('TESTBED_NO_ADDRESS', `there is no address ${n}. They go from 1 to ${ADDRESSES}.`);
  }
  return `10.200.0.${n}`;
}

/**
 * Returns when this process is in the namespace. Otherwise runs the same script with the same arguments
 * inside one, hands signals on to it, and exits with its code; it never returns then. Ends the inner process
 * too when the outer one is killed. `needs` is what the script will ask for inside, where nothing can be
 * fetched: it is made sure of out here.
 * @throws TestbedError TESTBED_NETNS_REFUSED, and what `prepare` throws
 */
export async function reexecInNetns(needs: readonly BinaryName[]): Promise<void> {
  if (inNetns()) return;
  if (process.env[MARKER] !== undefined) return setUpInside();
  // What this machine refuses is said before anybody waits for a download or a build.
  const unshare = unshareCommand();
  await prepare([...needs, ...needsOfNetns()]);
  const tool = ipCommand() ?? binaries(['loopback']).loopback;
  const child = spawn(
    unshare[0],
    [...unshare.slice(1), process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    {
      env: { ...process.env, [MARKER]: `setup:${tool}` },
      stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    },
  );
  process.exit(await handOver(child));
}

/** What the namespace itself needs: on a machine without a full `ip`, a program of ours. */
export function needsOfNetns(env: NodeJS.ProcessEnv = process.env): BinaryName[] {
  return ipCommand(env) === undefined ? ['loopback'] : [];
}

/**
 * Hands signals on to the child and waits for it. Resolves to the exit code that this process should end
 * with.
 */
export function handOver(child: ChildProcess): Promise<number> {
  // On a terminal, ^C reaches the whole process group anyway; a second SIGINT would mean "at once".
  const terminal = process.stdin.isTTY;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (!(terminal && signal === 'SIGINT')) child.kill(signal);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : (SIGNAL_NUMBERS[signal] ?? 0)));
    });
  });
}

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

function setUpInside(): void {
  const tool = (process.env[MARKER] ?? '').replace(/^setup:/, '');
  const addresses = Array.from({ length: ADDRESSES }, (_, i) => `10.200.0.${i + 1}/32`);
  const batch = ['link set lo up', ...addresses.map((a) => `address replace ${a} dev lo`)].join('\n');
  const result = /(^|\/)ip$/.test(tool)
    ? spawnSync(tool, ['-batch', '-'], { input: `${batch}\n`, encoding: 'utf8' })
    : spawnSync(tool, addresses, { encoding: 'utf8' });
  if (result.status !== 0) {
    const said = (result.error?.message ?? result.stderr).trim();
    throw new TestbedError(
      'TESTBED_NETNS_REFUSED',
      `the network namespace is there, but ${tool} could not put addresses on its lo: ${said}. Run as root, or install iproute2.`,
    );
  }
  process.env[MARKER] = 'ready';
  holdLifeline();
}

/**
 * The outer process holds the other end of this pipe: when it is killed, the inner one must not go on alone.
 */
function holdLifeline(): void {
  const lifeline = new Socket({ fd: LIFELINE_FD, readable: true, writable: false });
  lifeline.on('error', () => {});
  lifeline.on('close', () => {
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), LAST_WORDS_MS).unref();
    process.kill(process.pid, 'SIGTERM');
  });
  lifeline.resume();
  lifeline.unref();
}

function ipCommand({ PATH = '' }: NodeJS.ProcessEnv = process.env): string | undefined {
  const folders = [...PATH.split(':'), '/usr/sbin', '/sbin', '/bin'];
  const ip = findExecutable('ip', folders, isExecutable);
  // BusyBox has an `ip` without -batch.
  return ip !== undefined && spawnSync(ip, ['-batch', '/dev/null']).status === 0 ? ip : undefined;
}

/** `unshare -n` as root, else (and where a container withholds that) `unshare -rn`, whichever works here. */
export function unshareCommand(): [string, ...string[]] {
  const said: string[] = [];
  for (const flags of process.getuid?.() === 0 ? ['-n', '-rn'] : ['-rn']) {
    const probe = spawnSync('unshare', [flags, 'true'], { encoding: 'utf8' });
    if (probe.status === 0) return ['unshare', flags, '--'];
    said.push(`unshare ${flags}: ${(probe.error?.message ?? probe.stderr).trim()}`);
  }
  throw new TestbedError(
    'TESTBED_NETNS_REFUSED',
    `this machine refuses a network namespace (${said.join('; ')}). Run as root, or allow unprivileged user namespaces ` +
      '(sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0); in a container, add CAP_SYS_ADMIN ' +
      '(docker run --cap-add SYS_ADMIN --security-opt seccomp=unconfined).',
  );
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

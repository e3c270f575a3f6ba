/**
 * Where the binaries of a control plane come from: `$KUBEBUILDER_ASSETS`, else the cache, else one build with Go from the pinned
 * module beside this file. `node test/testbed/binaries.ts` (npm run testbed:build) fetches all of them ahead of time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { orExplain, TestbedError } from './errors.ts';
import { findExecutable, startTimeOf } from './processes.ts';

/** The Kubernetes version of the pinned module. */
export const KUBERNETES_VERSION = 'v1.34.2';

const [major, minor] = KUBERNETES_VERSION.slice(1).split('.');

/** A Go module beside this file whose programs are built and cached together. */
interface GoModule {
  readonly directory: string;
  readonly ldflags: string;
  /** What the programs are made of; the cache's folder is named after it. */
  readonly sources: readonly string[];
}

const kubernetes: GoModule = {
  directory: path.join(import.meta.dirname, 'go'),
  sources: ['go.mod', 'go.sum', 'etcd/main.go', 'loopback/main.go'],
  ldflags: [
    '-s -w',
    `-X k8s.io/component-base/version.gitVersion=${KUBERNETES_VERSION}`,
    `-X k8s.io/component-base/version.gitMajor=${major}`,
    `-X k8s.io/component-base/version.gitMinor=${minor}`,
    '-X k8s.io/component-base/version.gitTreeState=clean',
    '-X k8s.io/component-base/version.buildDate=1970-01-01T00:00:00Z',
    `-X k8s.io/client-go/pkg/version.gitVersion=${KUBERNETES_VERSION}`,
  ].join(' '),
};

/** On its own: it needs other versions of what Kubernetes needs too. */
const helm: GoModule = {
  directory: path.join(import.meta.dirname, 'helm'),
  sources: ['go.mod', 'go.sum'],
  ldflags: [
    '-s -w',
    // What `helm template` takes for the cluster's version.
    ...['chartutil', 'lint/rules'].flatMap((part) => [
      `-X helm.sh/helm/v3/pkg/${part}.k8sVersionMajor=${major}`,
      `-X helm.sh/helm/v3/pkg/${part}.k8sVersionMinor=${minor}`,
    ]),
  ].join(' '),
};

/** Linkerd's own programs, for tests of what they make of our objects: the newest version of its module that the Go module proxy gives out (edge-23.4.3 and a few commits). */
const linkerd: GoModule = {
  directory: path.join(import.meta.dirname, 'linkerd'),
  sources: ['go.mod', 'go.sum'],
  ldflags: '-s -w',
};

const programs = {
  etcd: { module: kubernetes, package: './etcd' },
  'kube-apiserver': { module: kubernetes, package: 'k8s.io/kubernetes/cmd/kube-apiserver' },
  'kube-controller-manager': {
    module: kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-controller-manager',
  },
  kubectl: { module: kubernetes, package: 'k8s.io/kubernetes/cmd/kubectl' },
  /** Puts addresses on lo where there is no `ip`. */
  loopback: { module: kubernetes, package: './loopback' },
  helm: { module: helm, package: 'helm.sh/helm/v3/cmd/helm' },
  linkerd: { module: linkerd, package: 'github.com/linkerd/linkerd2/cli' },
  /** The mirror controller and the destination service, by their first argument. */
  'linkerd-controller': { module: linkerd, package: 'github.com/linkerd/linkerd2/controller/cmd' },
  /** Asks the destination service as a proxy does and prints what it says. */
  'linkerd-destination-client': {
    module: linkerd,
    package: 'github.com/linkerd/linkerd2/controller/script/destination-client',
  },
} as const satisfies Record<string, { module: GoModule; package: string }>;

export type BinaryName = keyof typeof programs;
export const CONTROL_PLANE = ['etcd', 'kube-apiserver', 'kubectl', 'kube-controller-manager'] as const;
const LOCK_POLL_MS = 200;
const PROGRESS_EVERY_MS = 15_000;

export interface BinaryOptions {
  /** Default `process.env`: `KUBEBUILDER_ASSETS`, `LINKSPAN_TESTBED_CACHE`, `XDG_CACHE_HOME`, `HOME`, `PATH` are looked at. */
  readonly env?: NodeJS.ProcessEnv;
  /** Where progress of a build is written; default stderr. */
  readonly progress?: Progress;
}

/** A place for progress lines. */
export interface Progress {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/**
 * Paths of the named binaries; builds what is nowhere to be found, one process at a time.
 * @throws TestbedError TESTBED_NO_BINARIES (nothing there and no Go) | TESTBED_BUILD_FAILED
 */
export async function binaries<N extends BinaryName>(
  names: readonly N[],
  options: BinaryOptions = {},
): Promise<Record<N, string>> {
  const found: [N, string][] = [];
  for (const name of names) found.push([name, await binary(name, options)]);
  return Object.fromEntries(found) as Record<N, string>;
}

async function binary(name: BinaryName, options: BinaryOptions): Promise<string> {
  const env = options.env ?? process.env;
  const cached = path.join(cacheDirectory(env, programs[name].module), name);
  const there = findExecutable(name, [env['KUBEBUILDER_ASSETS'] ?? '', path.dirname(cached)], isExecutable);
  if (there !== undefined) return there;
  const go = findGo(env);
  if (go === undefined) throw missing(name, cached, env);
  mkdirSync(path.dirname(cached), { recursive: true });
  const release = await lock(`${cached}.lock`, options.progress ?? process.stderr, name);
  try {
    if (!isExecutable(cached))
      await build({ name, file: cached, go, env, progress: options.progress ?? process.stderr });
  } finally {
    await release();
  }
  return cached;
}

/** `$LINKSPAN_TESTBED_GO` when given, else `go` on the PATH or where its installer puts it. */
function findGo(env: NodeJS.ProcessEnv): string | undefined {
  const given = env['LINKSPAN_TESTBED_GO'];
  if (given !== undefined && given !== '') return isExecutable(given) ? given : undefined;
  return findExecutable('go', [...(env['PATH'] ?? '').split(':'), '/usr/local/go/bin'], isExecutable);
}

function missing(name: BinaryName, cached: string, env: NodeJS.ProcessEnv): TestbedError {
  const assets = env['KUBEBUILDER_ASSETS'];
  const looked = assets === undefined ? '$KUBEBUILDER_ASSETS (not set)' : `$KUBEBUILDER_ASSETS (${assets})`;
  const kube = `set KUBEBUILDER_ASSETS to a directory with ${CONTROL_PLANE.join(', ')} (Kubernetes ${KUBERNETES_VERSION} or near)`;
  const others: Partial<Record<string, string>> = {
    loopback: 'install iproute2 (the `ip` command)',
    helm: 'put helm 3.19 into the directory that KUBEBUILDER_ASSETS names',
    linkerd: 'run the other tests',
    'linkerd-controller': 'run the other tests',
    'linkerd-destination-client': 'run the other tests',
  };
  const other = others[name] ?? kube;
  return new TestbedError(
    'TESTBED_NO_BINARIES',
    `${name} is neither in ${looked} nor in the cache (${path.dirname(cached)}), and there is no Go to build it with. ` +
      `Install Go 1.24 or newer (https://go.dev/dl) and run again, which builds it once in a few minutes; or ${other}.`,
  );
}

/** Where a module's programs are kept: `$LINKSPAN_TESTBED_CACHE`, else `${XDG_CACHE_HOME:-~/.cache}/linkspan/testbed/<stamp of sources, flags and platform>`. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env, module = kubernetes): string {
  const given = env['LINKSPAN_TESTBED_CACHE'];
  if (given !== undefined && given !== '') return path.resolve(given);
  const home = env['XDG_CACHE_HOME'] || path.join(env['HOME'] || os.homedir(), '.cache');
  const stamp = createHash('sha256').update(`${process.platform}/${process.arch}\n${module.ldflags}\n`);
  for (const file of module.sources) stamp.update(readFileSync(path.join(module.directory, file)));
  return path.join(home, 'linkspan/testbed', stamp.digest('hex').slice(0, 16));
}

interface Build {
  readonly name: BinaryName;
  readonly file: string;
  readonly go: string;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
}

async function build({ name, file, go, env, progress }: Build): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  const { module, package: source } = programs[name];
  const child = spawn(go, ['build', '-ldflags', module.ldflags, '-o', partial, source], {
    cwd: module.directory,
    env: { ...env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false', GOWORK: 'off' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => void output.push(text));
  }
  const report = startProgress(
    progress,
    `testbed: building ${name} ${name === 'loopback' ? '' : 'with Go, once'}`.trim(),
  );
  const outcome = await ended(child);
  report.stop(outcome === '0' ? 'done' : 'failed');
  if (outcome !== '0') {
    await rm(partial, { force: true });
    const tail = output.join('').trimEnd().split('\n').slice(-20).join('\n');
    throw new TestbedError(
      'TESTBED_BUILD_FAILED',
      `\`go build ${source}\` in ${module.directory} ended with ${outcome}. Is the Go module proxy reachable, and Go 1.24 or newer? It said:\n${tail}`,
    );
  }
  await rename(partial, file);
}

/** The exit code or signal as text, or why the process could not be started. */
export function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? String(code)));
  });
}

/** One line that counts the seconds on a terminal; a line every 15 s elsewhere. */
function startProgress(out: Progress, what: string): { stop(how: string): void } {
  const start = performance.now();
  const elapsed = () => `${Math.round((performance.now() - start) / 1000)} s`;
  const tty = out.isTTY === true;
  out.write(tty ? `${what}: 0 s` : `${what}\n`);
  const timer = setInterval(
    () => out.write(tty ? `\r${what}: ${elapsed()}` : `${what}: ${elapsed()}\n`),
    tty ? 1000 : PROGRESS_EVERY_MS,
  );
  return {
    stop(how) {
      clearInterval(timer);
      out.write(`${tty ? '\r' : ''}${what}: ${how} in ${elapsed()}\n`);
    },
  };
}

/** Takes a lock file that names its owner by pid and start time; one whose owner is gone is taken over. */
async function lock(file: string, progress: Progress, name: string): Promise<() => Promise<void>> {
  let said = false;
  while (!tryLock(file)) {
    if (!said)
      progress.write(
        `testbed: another process (${holder(file) ?? '?'}) is building ${name}; waiting for it\n`,
      );
    said = true;
    if (!holderLives(file)) await takeAway(file);
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  return () => rm(file, { force: true });
}

function tryLock(file: string): boolean {
  try {
    const fd = openSync(file, 'wx');
    writeSync(fd, `${process.pid} ${startTimeOf(process.pid) ?? ''}`);
    closeSync(fd);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function holder(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').split(' ')[0];
  } catch {
    return undefined;
  }
}

function holderLives(file: string): boolean {
  try {
    const [pid, started] = readFileSync(file, 'utf8').split(' ');
    // Just made and not yet written: its owner gets a moment.
    if (started === undefined)
      return performance.timeOrigin + performance.now() - statSync(file).mtimeMs < 2000;
    return startTimeOf(Number(pid)) === started;
  } catch {
    return true;
  }
}

/** Two waiters may both find the owner gone: only the one that renames the very file it read takes it away. */
async function takeAway(file: string): Promise<void> {
  const aside = `${file}.${process.pid}.stale`;
  try {
    await rename(file, aside);
    const [pid, started] = (await readFile(aside, 'utf8')).split(' ');
    if (started !== undefined && startTimeOf(Number(pid)) === started) await rename(aside, file);
    else await rm(aside, { force: true });
  } catch {
    // Somebody else was faster.
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

if (import.meta.main) {
  await orExplain(async () => {
    for (const [name, file] of Object.entries(await binaries([...CONTROL_PLANE, 'loopback', 'helm']))) {
      process.stdout.write(`${name}\t${file}\n`);
    }
  });
}

/**
 * Gets what is missing of the testbed's programs before anything needs them: downloads what is published,
 * builds the rest with Go. `npm run testbed:prepare [-- --from build|download] [NAME…]` does it ahead of
 * time; without names, for all that `npm test` needs.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { isFileError, TestbedError } from '../errors.ts';
import { startTimeOf } from '../processes.ts';
import { type Downloads, downloadsFor } from './archives.ts';
import { build } from './build.ts';
import { download } from './download.ts';
import { lock } from './lock.ts';
import { absentOf, machineFolders } from './machine.ts';
import { cacheDirectory, downloadDirectory, find, findGo, fromOf, isExecutable } from './places.ts';
import {
  type BinaryName,
  KUBERNETES_VERSION,
  type OptionalNeed,
  type Program,
  programs,
} from './programs.ts';
import type { Progress } from './progress.ts';
import { install, isAsInstalled, remove } from './sums.ts';
import { unpack } from './unpack.ts';

export interface PrepareOptions {
  /**
   * Default `process.env`. Looked at: `KUBEBUILDER_ASSETS`, `LINKSPAN_TESTBED_FROM` (auto, build, download),
   * `LINKSPAN_TESTBED_CACHE`, `LINKSPAN_TESTBED_GO`, `XDG_CACHE_HOME`, `HOME`, `PATH`; proxies by
   * `HTTPS_PROXY` and its like.
   */
  readonly env?: NodeJS.ProcessEnv;
  /** Where progress goes; default stderr. */
  readonly progress?: Progress;
  /** Default: this platform's (archives.ts). */
  readonly downloads?: Downloads | undefined;
  /** Default 10 s: how long a server may take to begin its answer before Go builds. */
  readonly answerMs?: number;
  /** Default 20 s: the longest gap in a download. */
  readonly stallMs?: number;
}

interface Context extends Required<Omit<PrepareOptions, 'downloads' | 'answerMs' | 'stallMs'>> {
  readonly downloads: Downloads | undefined;
  readonly timeouts: Pick<PrepareOptions, 'answerMs' | 'stallMs'>;
  readonly go: string | undefined;
}

/**
 * Makes sure that all the named programs are there; says where each comes from. What can be downloaded is
 * built with Go only where there is no way out, or what came is not what it should be.
 * @throws TestbedError TESTBED_NO_BINARIES (no way to have them: at once where that is known at once) |
 * TESTBED_BUILD_FAILED | TESTBED_NO_MODULE | TESTBED_CACHE_UNUSABLE; with `--from download` also
 * TESTBED_DOWNLOAD_FAILED | TESTBED_WRONG_SUM
 */
export async function prepare(names: readonly BinaryName[], options: PrepareOptions = {}): Promise<void> {
  const env = options.env ?? process.env;
  const context: Context = {
    env,
    progress: options.progress ?? process.stderr,
    downloads: 'downloads' in options ? options.downloads : downloadsFor(),
    timeouts: pickTimeouts(options),
    go: findGo(env),
  };
  for (const name of names) await discardChanged(name, context);
  const missing = names.filter((name) => find(name, env) === undefined);
  if (missing.length > 0) {
    const signals = endOnSignals();
    try {
      sayWhatIsToDo(missing, context);
      const left = await downloadAll(missing, context);
      for (const [name, why] of left) await buildOne(name, why, context);
    } finally {
      signals.release();
    }
  }
  saySources(names, context);
}

/**
 * Takes a program out of the cache that is not what was put there. What a person gives (KUBEBUILDER_ASSETS)
 * is theirs.
 */
async function discardChanged(name: BinaryName, context: Context): Promise<void> {
  const found = find(name, context.env);
  if (found === undefined || found.given) return;
  await cacheErrors(found.folder, async () => {
    if (await isAsInstalled(found.file)) return;
    context.progress.write(
      `testbed: ${found.file} is not what was put there: it is thrown away, and fetched anew\n`,
    );
    await remove(found.file);
  });
}

/** Exits on a signal instead of dying of it, so that Go ends with this process. */
function endOnSignals(): { release(): void } {
  const end = (signal: NodeJS.Signals) => process.exit(128 + os.constants.signals[signal]);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  return { release: () => signals.forEach((signal) => void process.off(signal, end)) };
}

/** An optional need that could not be met, and why, for the run's first and last lines. */
export interface LeftOut {
  readonly need: OptionalNeed;
  readonly reason: string;
}

/**
 * Prepares what may be missing. Resolves to what could not be had because there is no Go, the module proxy
 * does not hand it out or this machine does not have it; a build that fails is an error as everywhere.
 */
export async function prepareOptional(
  needs: readonly OptionalNeed[],
  options: PrepareOptions = {},
): Promise<LeftOut[]> {
  const leftOut: LeftOut[] = [];
  for (const need of needs) {
    const absent = absentOf(need.machine ?? [], machineFolders(options.env));
    if (absent !== undefined) {
      leftOut.push({ need, reason: absent });
      continue;
    }
    try {
      if (need.programs.length > 0) await prepare(need.programs, options);
    } catch (error) {
      if (!(error instanceof TestbedError)) throw error;
      if (error.code !== 'TESTBED_NO_MODULE' && error.code !== 'TESTBED_NO_BINARIES') throw error;
      leftOut.push({ need, reason: error.message });
    }
  }
  return leftOut;
}

function pickTimeouts({ answerMs, stallMs }: PrepareOptions): Context['timeouts'] {
  return { ...(answerMs === undefined ? {} : { answerMs }), ...(stallMs === undefined ? {} : { stallMs }) };
}

function canDownload(name: BinaryName, { env, downloads }: Context): boolean {
  const { download: how }: Program = programs[name];
  return how !== undefined && downloads !== undefined && fromOf(env) !== 'build';
}

/** The first line of all: what is missing, how it will come, and what that lacks. */
function sayWhatIsToDo(missing: readonly BinaryName[], context: Context): void {
  const fetched = missing.filter((name) => canDownload(name, context));
  const built = missing.filter((name) => !fetched.includes(name));
  const parts = [
    fetched.length > 0 ? `${fetched.join(', ')} to download` : '',
    built.length > 0 ? `${built.join(', ')} to build with Go` : '',
  ].filter((part) => part !== '');
  context.progress.write(`testbed: missing here: ${parts.join('; ')}\n`);
  if (context.go !== undefined) return;
  if (built.length > 0) throw noBinaries(built, 'there is no Go to build it with', context);
  context.progress.write(
    'testbed: there is no Go on this machine: what cannot be downloaded cannot be had\n',
  );
}

/** Downloads what can be; what is left is to be built, each with the reason. */
async function downloadAll(
  missing: readonly BinaryName[],
  context: Context,
): Promise<(readonly [BinaryName, string])[]> {
  const left: (readonly [BinaryName, string])[] = [];
  let unreachable: TestbedError | undefined;
  const attempt = async (names: readonly BinaryName[], get: (to: Downloads) => Promise<void>) => {
    if (names.length === 0) return;
    try {
      // Where one server could not be reached, ten more seconds for the next are lost.
      if (unreachable !== undefined) throw unreachable;
      if (context.downloads !== undefined) await get(context.downloads);
    } catch (error) {
      if (!(error instanceof TestbedError) || fromOf(context.env) === 'download') throw error;
      if (error.code === 'TESTBED_CACHE_UNUSABLE') throw error;
      if (error.code === 'TESTBED_DOWNLOAD_FAILED') unreachable ??= error;
      context.progress.write(`testbed: ${names.join(', ')} cannot be downloaded: ${error.message}\n`);
      left.push(...names.map((name) => [name, error.message] as const));
    }
  };
  const how = (kind: string) =>
    missing.filter((name) => canDownload(name, context) && (programs[name] as Program).download === kind);
  const archived = how('archive');
  await attempt(archived, (downloads) => getArchive(archived, downloads, context));
  for (const name of how('release'))
    await attempt([name], (downloads) => getRelease(name, downloads, context));
  const rest = missing.filter((name) => !canDownload(name, context));
  return [...left, ...rest.map((name) => [name, ''] as const)];
}

async function getArchive(
  names: readonly BinaryName[],
  downloads: Downloads,
  context: Context,
): Promise<void> {
  const folder = downloadDirectory('archive', context.env);
  await locked(folder, 'archive', names.join(', '), context, async () => {
    const missing = names.filter((name) => find(name, context.env) === undefined);
    if (missing.length === 0) return;
    const file = path.join(folder, `archive.${process.pid}.partial`);
    const title = `${names.join(', ')} (Kubernetes ${path.basename(folder).split('-')[1] ?? ''})`;
    try {
      await download(downloads.archive, file, { progress: context.progress, title, ...context.timeouts });
      await unpack(file, missing, folder);
    } finally {
      await rm(file, { force: true });
    }
  });
}

async function getRelease(name: BinaryName, downloads: Downloads, context: Context): Promise<void> {
  const folder = downloadDirectory('release', context.env);
  await locked(folder, name, name, context, async () => {
    if (find(name, context.env) !== undefined) return;
    const file = path.join(folder, `${name}.${process.pid}.partial`);
    const title = `${name} (Kubernetes ${KUBERNETES_VERSION})`;
    try {
      await download(downloads.release(name), file, {
        progress: context.progress,
        title,
        ...context.timeouts,
      });
      await install(file, path.join(folder, name));
    } finally {
      await rm(file, { force: true });
    }
  });
}

async function buildOne(name: BinaryName, whyNotDownloaded: string, context: Context): Promise<void> {
  const { env, go, progress } = context;
  if (go === undefined)
    throw noBinaries([name], `there is no Go to build it with`, context, whyNotDownloaded);
  const folder = cacheDirectory(env, programs[name].module);
  await locked(folder, name, name, context, async () => {
    const file = path.join(folder, name);
    if (!isExecutable(file)) await build({ name, file, go, env, progress });
  });
}

async function locked(
  folder: string,
  name: string,
  what: string,
  { progress }: Context,
  run: () => Promise<void>,
): Promise<void> {
  await cacheErrors(folder, async () => {
    mkdirSync(folder, { recursive: true });
    const release = await lock(path.join(folder, `${name}.lock`), progress, what);
    try {
      await removeLeftovers(folder);
      await run();
    } finally {
      await release();
    }
  });
}

/** Says of what the file system refuses what a person can do. @throws TestbedError TESTBED_CACHE_UNUSABLE */
async function cacheErrors(folder: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!isFileError(error)) throw error;
    throw new TestbedError(
      'TESTBED_CACHE_UNUSABLE',
      `the cache ${folder} cannot be used: ${error.message}. Make it writable or make room there (a gigabyte is enough), ` +
        'or set LINKSPAN_TESTBED_CACHE to another folder.',
      { cause: error },
    );
  }
}

/** What processes that were killed have left half done. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const file of readdirSync(folder)) {
    const pid = /\.(\d+)\.partial$/.exec(file)?.[1];
    if (pid !== undefined && startTimeOf(Number(pid)) === undefined)
      await rm(path.join(folder, file), { force: true });
  }
}

/** One line: each program's source. */
function saySources(names: readonly BinaryName[], { env, progress }: Context): void {
  const bySource = new Map<string, BinaryName[]>();
  for (const name of names) {
    const source = find(name, env)?.source ?? 'missing';
    bySource.set(source, [...(bySource.get(source) ?? []), name]);
  }
  const parts = [...bySource].map(([source, of]) => `${of.join(', ')} (${source})`);
  progress.write(`testbed: ${parts.join('; ')}\n`);
}

function noBinaries(
  names: readonly BinaryName[],
  why: string,
  { env }: Context,
  whyNotDownloaded = '',
): TestbedError {
  const assets = env['KUBEBUILDER_ASSETS'];
  const looked = assets === undefined ? '$KUBEBUILDER_ASSETS (not set)' : `$KUBEBUILDER_ASSETS (${assets})`;
  const others = new Set(
    names.map(
      (name) =>
        (programs[name] as Program).otherwise ??
        `set KUBEBUILDER_ASSETS to a directory with ${names.join(', ')} (Kubernetes ${KUBERNETES_VERSION} or near)`,
    ),
  );
  const download = whyNotDownloaded === '' ? '' : ` It could not be downloaded either: ${whyNotDownloaded}`;
  return new TestbedError(
    'TESTBED_NO_BINARIES',
    `${names.join(', ')}: neither in ${looked} nor in the cache, and ${why}.${download} ` +
      `Install Go 1.24 or newer (https://go.dev/dl) and run again; or ${[...others].join('; ')}.`,
  );
}

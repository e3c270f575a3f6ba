/**
 * Where programs lie: given by a person, downloaded, or built. Looking only; `prepare.ts` fetches and builds.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { findExecutable } from '../processes.ts';
import {
  type BinaryName,
  ENVTEST_VERSION,
  type GoModule,
  kubernetes,
  KUBERNETES_VERSION,
  type Program,
  programs,
} from './programs.ts';

/** Where programs may come from: `auto` downloads what can be downloaded and builds the rest. */
export type From = 'auto' | 'build' | 'download';

/** One folder and how what lies in it came there, as people are told. */
export interface Place {
  readonly folder: string;
  readonly source: string;
  /** By a person: what lies there is theirs. */
  readonly given?: true;
}

export interface Found extends Place {
  readonly file: string;
}

/** `$LINKSPAN_TESTBED_FROM` or `auto`. */
export function fromOf(env: NodeJS.ProcessEnv): From {
  const given = env['LINKSPAN_TESTBED_FROM'];
  return given === 'build' || given === 'download' ? given : 'auto';
}

/**
 * The program's file in the first place that has it: `$KUBEBUILDER_ASSETS`, what was downloaded, what was
 * built.
 */
export function find(name: BinaryName, env: NodeJS.ProcessEnv): Found | undefined {
  for (const place of places(name, env)) {
    const file = findExecutable(name, [place.folder], isExecutable);
    if (file !== undefined) return { ...place, file };
  }
  return undefined;
}

function places(name: BinaryName, env: NodeJS.ProcessEnv): Place[] {
  const { module, download }: Program = programs[name];
  const from = fromOf(env);
  const found: Place[] = [
    { folder: env['KUBEBUILDER_ASSETS'] ?? '', source: 'KUBEBUILDER_ASSETS', given: true },
  ];
  if (download !== undefined && from !== 'build') {
    const version = download === 'archive' ? ENVTEST_VERSION : KUBERNETES_VERSION;
    found.push({ folder: downloadDirectory(download, env), source: `downloaded, Kubernetes ${version}` });
  }
  if (download === undefined || from !== 'download')
    found.push({ folder: cacheDirectory(env, module), source: 'built with Go' });
  return found;
}

/** Where what is downloaded is kept, by kind and version. */
export function downloadDirectory(kind: 'archive' | 'release', env: NodeJS.ProcessEnv): string {
  const folder =
    kind === 'archive' ? `envtest-${ENVTEST_VERSION}` : `kubernetes-release-${KUBERNETES_VERSION}`;
  return path.join(cacheRoot(env), `${folder}-${process.platform}-${process.arch}`);
}

/**
 * Where a module's programs are kept: `$LINKSPAN_TESTBED_CACHE`, else
 * `<cache root>/<stamp of sources, flags and platform>`.
 */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env, module: GoModule = kubernetes): string {
  const given = env['LINKSPAN_TESTBED_CACHE'];
  if (given !== undefined && given !== '') return path.resolve(given);
  const stamp = createHash('sha256').update(`${process.platform}/${process.arch}\n${module.ldflags}\n`);
  for (const file of module.sources) stamp.update(readFileSync(path.join(module.directory, file)));
  return path.join(cacheRoot(env), stamp.digest('hex').slice(0, 16));
}

/** `$LINKSPAN_TESTBED_CACHE`, else `${XDG_CACHE_HOME:-~/.cache}/linkspan/testbed`. */
function cacheRoot(env: NodeJS.ProcessEnv): string {
  const given = env['LINKSPAN_TESTBED_CACHE'];
  if (given !== undefined && given !== '') return path.resolve(given);
  const home = env['XDG_CACHE_HOME'] || path.join(env['HOME'] || os.homedir(), '.cache');
  return path.join(home, 'linkspan/testbed');
}

/** `$LINKSPAN_TESTBED_GO` when given, else `go` on the PATH or where its installer puts it. */
export function findGo(env: NodeJS.ProcessEnv): string | undefined {
  const given = env['LINKSPAN_TESTBED_GO'];
  if (given !== undefined && given !== '') return isExecutable(given) ? given : undefined;
  return findExecutable('go', [...(env['PATH'] ?? '').split(':'), '/usr/local/go/bin'], isExecutable);
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

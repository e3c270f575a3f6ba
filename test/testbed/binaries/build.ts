/** Building a program with Go from one of the pinned modules, with progress and an idea of the time left. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { TestbedError } from '../errors.ts';
import { type BinaryName, type GoModule, programs } from './programs.ts';
import { type Progress, startProgress, timeLeft } from './progress.ts';
import { install } from './sums.ts';

export interface Build {
  readonly name: BinaryName;
  /** Where the program will be. */
  readonly file: string;
  /** The `go` command. */
  readonly go: string;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
}

/**
 * Builds one program; `file` is there, whole, afterwards.
 * @throws TestbedError TESTBED_NO_MODULE when the module proxy does not hand out what it needs |
 * TESTBED_BUILD_FAILED
 */
export async function build({ name, file, go, env, progress }: Build): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  const { module, package: source } = programs[name];
  let compiled = 0;
  let stale = 0;
  let start = performance.now();
  const shown = startProgress(progress, `testbed: building ${name} with Go, once`, () => {
    if (stale === 0) return { text: 'fetching modules' };
    const leftSeconds = timeLeft(compiled, stale, performance.now() - start);
    return {
      text: `${Math.min(compiled, stale)} of ${stale} packages`,
      ...(leftSeconds === undefined ? {} : { leftSeconds }),
    };
  });
  try {
    const list = [
      'list',
      '-deps',
      '-f',
      '{{if .Stale}}{{.ImportPath}}{{end}}',
      '-ldflags',
      module.ldflags,
      source,
    ];
    const listed = await run(go, list, module, env);
    if (listed.outcome !== '0') throw buildError('TESTBED_NO_MODULE', `go list ${source}`, module, listed);
    stale = listed.stdout.split('\n').filter((line) => line !== '').length;
    start = performance.now();
    const args = ['build', '-v', '-ldflags', module.ldflags, '-o', partial, source];
    const built = await run(go, args, module, env, () => void compiled++);
    if (built.outcome !== '0') throw buildError('TESTBED_BUILD_FAILED', `go build ${source}`, module, built);
    await install(partial, file);
    shown.stop('done');
  } catch (error) {
    shown.stop('failed');
    await rm(partial, { force: true });
    throw error;
  }
}

interface Ran {
  readonly outcome: string;
  readonly stdout: string;
  readonly said: string;
}

async function run(
  go: string,
  args: readonly string[],
  module: GoModule,
  env: NodeJS.ProcessEnv,
  onLine: () => void = () => {},
): Promise<Ran> {
  const child = spawn(go, args, {
    cwd: module.directory,
    env: { ...env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false', GOWORK: 'off' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stdout: string[] = [];
  const stderr: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => void stdout.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr.push(text);
    for (const line of text.split('\n')) if (line !== '' && !line.startsWith('go: ')) onLine();
  });
  // Go would go on for minutes without anybody who wants what it builds.
  const end = () => void child.kill();
  process.once('exit', end);
  const outcome = await ended(child);
  process.off('exit', end);
  return { outcome, stdout: stdout.join(''), said: stderr.join('') };
}

function buildError(
  code: 'TESTBED_NO_MODULE' | 'TESTBED_BUILD_FAILED',
  command: string,
  module: GoModule,
  { outcome, said }: Ran,
): TestbedError {
  const lines = said.trimEnd().split('\n');
  // With -v Go names each package it compiles: what it has to say comes after.
  const tail = lines
    .filter((line) => !/^[\w.~/-]+$/.test(line) && !line.startsWith('go: downloading'))
    .slice(-20);
  return new TestbedError(
    code,
    `\`${command}\` in ${module.directory} ended with ${outcome}. Is the Go module proxy reachable, and Go 1.24 or newer? It said:\n${tail.join('\n')}`,
  );
}

/** The exit code or signal as text, or why the process could not be started. */
export function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? String(code)));
  });
}

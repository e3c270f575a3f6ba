import { type ChildProcess, execFile, fork } from 'node:child_process';
import path from 'node:path';
import { after } from 'mocha';
import type { KeptRequest } from './kept-linkspan-program.ts';

const program = path.join(import.meta.dirname, '../../bin/linkspan.js');
const keptProgram = path.join(import.meta.dirname, 'kept-linkspan-program.ts');

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the CLI as a user does: its own process, no terminal. */
export function linkspan(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

/** Processes that wait for the next verb. */
const idle: ChildProcess[] = [];
const kept = new Set<ChildProcess>();

/**
 * The same, in a process that has loaded the CLI for a verb before: most of what a verb costs is to start and
 * to load. For tests of what verbs do, many times; what a process is (its start, its signals, its end) is a
 * matter of `linkspan`. Calls at the same time get a process each. Standard input is empty.
 */
export function keptLinkspan(...args: string[]): Promise<Outcome> {
  return keptLinkspanWith({}, ...args);
}

/** The same, with further variables of the environment. */
export async function keptLinkspanWith(
  env: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<Outcome> {
  const child = idle.pop() ?? start();
  const request: KeptRequest = { args, env: { ...process.env, ...env }, cwd: process.cwd() };
  const outcome = await new Promise<Outcome>((resolve, reject) => {
    child.removeAllListeners('message').once('message', (answer) => resolve(answer as Outcome));
    child.removeAllListeners('exit').once('exit', (code, signal) => {
      kept.delete(child);
      reject(new Error(`linkspan ${args.join(' ')} ended with ${signal ?? code} and no answer`));
    });
    child.send(request);
  });
  idle.push(child);
  return outcome;
}

function start(): ChildProcess {
  const child = fork(keptProgram, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  kept.add(child);
  return child;
}

// At the top level of a module that test files import, this is a hook of the root suite.
after('stop the processes that were kept', () => {
  for (const child of kept) child.removeAllListeners('exit').kill('SIGKILL');
  kept.clear();
  idle.length = 0;
});

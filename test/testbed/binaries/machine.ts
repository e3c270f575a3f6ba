/** Programs that only the machine can have (`MACHINE_PROGRAMS`): looked for, never fetched. */
import { spawnSync } from 'node:child_process';
import { TestbedError } from '../errors.ts';
import { findExecutable } from '../processes.ts';
import { isExecutable } from './places.ts';
import { MACHINE_PROGRAMS, type MachineProgram } from './programs.ts';

/** Where Debian puts programs; a PATH may lack some of it. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];
/**
 * Prints the interpreter's own file: a version manager's `python3` is a script that needs programs of its
 * own.
 */
const GRPCIO_HERE = 'import grpc, sys; print(sys.executable)';

/** The folders of the PATH, and those of the system. */
export function machineFolders(env: NodeJS.ProcessEnv = process.env): string[] {
  return [...(env['PATH'] ?? '').split(':'), ...SYSTEM_FOLDERS];
}

/**
 * The program's file; undefined = this machine does not have it.
 * @param folders default: those of this process
 */
export function findOnMachine(name: MachineProgram, folders = machineFolders()): string | undefined {
  const found = findExecutable(name, folders, isExecutable);
  if (found !== undefined || name !== 'python3-grpcio') return found;
  for (const folder of new Set(folders)) {
    const python = findExecutable('python3', [folder], isExecutable);
    if (python === undefined) continue;
    const { status, stdout } = spawnSync(python, ['-c', GRPCIO_HERE], { encoding: 'utf8' });
    if (status === 0) return stdout.trim();
  }
  return undefined;
}

/** What of it this machine does not have and how it comes by it; undefined = it has all. */
export function absentOf(names: readonly MachineProgram[], folders = machineFolders()): string | undefined {
  const absent = names.filter((name) => findOnMachine(name, folders) === undefined);
  if (absent.length === 0) return undefined;
  const packages = absent.map((name) => MACHINE_PROGRAMS[name]);
  return `this machine does not have ${absent.join(', ')} (Debian and Ubuntu: apt-get install ${packages.join(' ')})`;
}

/**
 * The program's file, for a test that runs it.
 * @throws TestbedError TESTBED_NOT_PREPARED, which says how it can be had
 */
export function machineProgram(name: MachineProgram): string {
  const file = findOnMachine(name);
  if (file !== undefined) return file;
  throw new TestbedError('TESTBED_NOT_PREPARED', `${absentOf([name])}. Then run this again.`);
}

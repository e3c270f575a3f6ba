import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findExecutable } from '../processes.ts';
import { findOnMachine, machineFolders } from './machine.ts';
import { isExecutable } from './places.ts';
import { type MachineProgram, SYSTEM_PROGRAMS } from './programs.ts';

export interface SystemPathOptions {
  /** Default `process.env`; its PATH is looked at. */
  readonly env?: NodeJS.ProcessEnv;
  /** Programs besides; default none. */
  readonly machine?: readonly MachineProgram[];
}

/**
 * Makes a folder with links to Node and to those programs of the machine that the list names, and returns it
 * as a PATH. What tests start with this PATH is what the list has: a test that calls for anything else fails
 * on every machine, not only on a bare one.
 */
export function systemPath(
  folder: string,
  { env = process.env, machine = [] }: SystemPathOptions = {},
): string {
  mkdirSync(folder, { recursive: true });
  const folders = machineFolders(env);
  for (const name of [...SYSTEM_PROGRAMS.required, ...SYSTEM_PROGRAMS.used]) {
    const file = findExecutable(name, folders, isExecutable);
    if (file !== undefined) symlinkSync(file, path.join(folder, name));
  }
  for (const name of machine) {
    const file = findOnMachine(name, folders);
    // No link: a Python that is called by another name does not find its packages.
    if (file !== undefined)
      writeFileSync(path.join(folder, name), `#!/bin/sh\nexec '${file}' "$@"\n`, { mode: 0o755 });
  }
  symlinkSync(process.execPath, path.join(folder, 'node'));
  return folder;
}

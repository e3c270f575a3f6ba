import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { findExecutable } from '../processes.ts';
import { isExecutable } from './places.ts';
import { SYSTEM_PROGRAMS } from './programs.ts';

/**
 * Makes a folder with links to Node and to those programs of the machine that the list names, and returns it as a PATH. What tests
 * start with this PATH is what the list has: a test that calls for anything else fails on every machine, not only on a bare one.
 */
export function systemPath(folder: string, env: NodeJS.ProcessEnv = process.env): string {
  mkdirSync(folder, { recursive: true });
  const folders = [...(env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  for (const name of [...SYSTEM_PROGRAMS.required, ...SYSTEM_PROGRAMS.used]) {
    const file = findExecutable(name, folders, isExecutable);
    if (file !== undefined) symlinkSync(file, path.join(folder, name));
  }
  symlinkSync(process.execPath, path.join(folder, 'node'));
  return folder;
}

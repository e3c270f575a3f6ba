import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * When a process started, in clock ticks since boot, or undefined when it is gone (or a zombie). A pid
 * together with this names one process for good, because pids are used again.
 */
export function startTimeOf(pid: number): string | undefined {
  try {
    // The command name, in parentheses, may hold anything: count the fields behind the last one.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\)\s/s, '')
      .split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/**
 * The pids of all living processes whose environment holds `entry` (`NAME=value`), and which we may look at.
 */
export function processesWith(entry: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => startTimeOf(pid) !== undefined && hasEntry(pid, entry));
}

function hasEntry(pid: number, entry: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(entry);
  } catch {
    return false;
  }
}

/** The first executable file called `name` in the folders, or undefined. */
export function findExecutable(
  name: string,
  folders: readonly string[],
  isExecutable: (file: string) => boolean,
): string | undefined {
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => path.join(folder, name))
    .find(isExecutable);
}

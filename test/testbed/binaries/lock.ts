import { closeSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { startTimeOf } from '../processes.ts';
import type { Progress } from './progress.ts';

const POLL_MS = 200;
/** A lock file that is made and not yet written is its maker's for this long. */
const UNWRITTEN_MS = 2000;

/**
 * Takes a lock file that names its owner by pid and start time; one whose owner is gone is taken over.
 * Returns what releases it. `what` is for the one line that says what is waited for.
 */
export async function lock(file: string, progress: Progress, what: string): Promise<() => Promise<void>> {
  let said = false;
  while (!tryLock(file)) {
    if (!said)
      progress.write(
        `testbed: another process (${holder(file) ?? '?'}) is getting ${what}; waiting for it\n`,
      );
    said = true;
    if (!holderLives(file)) await takeAway(file);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
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
    if (started === undefined)
      return performance.timeOrigin + performance.now() - statSync(file).mtimeMs < UNWRITTEN_MS;
    return startTimeOf(Number(pid)) === started;
  } catch {
    return true;
  }
}

/**
 * Two waiters may both find the owner gone: only the one that renames the very file it read takes it away.
 */
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

/**
 * What a program in the cache was when it was put there, so that nothing else is run in its place: half of it
 * after a power cut, a disk that rots, somebody who tried something.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { chmod, open, rename, rm, writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

const ENDING = '.sha512';
/** By file: what it was when it was looked at last in this process, and whether it was right. */
const looked = new Map<
  string,
  { readonly size: number; readonly mtimeMs: number; readonly right: boolean }
>();

/**
 * Puts a finished file in its place as a program. Its sum is there before it is, and both are on the disk.
 * @param partial beside `file`
 */
export async function install(partial: string, file: string): Promise<void> {
  await chmod(partial, 0o755);
  await flush(partial);
  await writeSum(file, await sumOf(partial));
  await rename(partial, file);
}

/**
 * Whether a program is what was put there; read once for each size and time of change in a process. One
 * without a sum is from a version that kept none, which renamed whole files into place only: its sum is taken
 * down now.
 */
export async function isAsInstalled(file: string): Promise<boolean> {
  const { size, mtimeMs } = statSync(file);
  const before = looked.get(file);
  if (before?.size === size && before.mtimeMs === mtimeMs) return before.right;
  const sum = await sumOf(file);
  const known = existsSync(file + ENDING);
  if (!known) await writeSum(file, sum).catch(unlessReadOnly);
  const right = !known || readFileSync(file + ENDING, 'utf8').trim() === sum;
  looked.set(file, { size, mtimeMs, right });
  return right;
}

/** Takes away a program and its sum. */
export async function remove(file: string): Promise<void> {
  await rm(file, { force: true });
  await rm(file + ENDING, { force: true });
}

async function writeSum(file: string, sum: string): Promise<void> {
  const partial = `${file}${ENDING}.${process.pid}.partial`;
  try {
    await writeFile(partial, `${sum}\n`);
    await flush(partial);
    await rename(partial, file + ENDING);
  } finally {
    await rm(partial, { force: true });
  }
}

/** A cache that somebody gives to read only is used as it is. */
function unlessReadOnly(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') throw error;
}

async function sumOf(file: string): Promise<string> {
  const hash = createHash('sha512');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function flush(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

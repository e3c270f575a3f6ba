import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { TestbedError } from '../errors.ts';
import { install } from './sums.ts';

/**
 * Takes the files with the given base names out of a .tar.gz into a folder, executable, each renamed into
 * place when it is whole. Nothing else of the archive, no path, link or mode, is looked at.
 * @throws TestbedError TESTBED_DOWNLOAD_FAILED when one is not in it
 */
export async function unpack(archive: string, names: readonly string[], folder: string): Promise<void> {
  const entries = extract();
  const missing = new Set(names);
  const unpacking = pipeline(createReadStream(archive), createGunzip(), entries);
  const taking = (async () => {
    for await (const entry of entries) {
      const name = path.posix.basename(entry.header.name);
      if (entry.header.type !== 'file' || !missing.delete(name)) {
        entry.resume();
        continue;
      }
      const partial = path.join(folder, `${name}.${process.pid}.partial`);
      try {
        await pipeline(entry, createWriteStream(partial));
        await install(partial, path.join(folder, name));
      } finally {
        await rm(partial, { force: true });
      }
    }
  })();
  await Promise.all([unpacking, taking]);
  if (missing.size > 0)
    throw new TestbedError('TESTBED_DOWNLOAD_FAILED', `${archive} has no ${[...missing].join(', ')}.`);
}

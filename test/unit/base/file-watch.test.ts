import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { type FileSnapshot, type WatchedFiles, watchFiles } from '../../../src/base/file-watch.ts';
import { eventually } from '../../support/eventually.ts';
import { useTempDir } from '../../support/temp-dir.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const NEVER_MS = 1e9;
const DEBOUNCE_MS = 100;

describe('watchFiles', () => {
  const dir = useTempDir();
  const clock = new VirtualClock();
  let watched: WatchedFiles | undefined;
  let changes: string[][] = [];

  const texts = (files: readonly FileSnapshot[]) => files.map((file) => file.text ?? file.error?.code ?? '?');

  async function start(options: { directory?: string; names?: string[]; pollMs?: number } = {}) {
    changes = [];
    watched = await watchFiles({
      directory: options.directory ?? dir(),
      names: options.names ?? ['a', 'b'],
      clock,
      onChange: (files) => void changes.push(texts(files)),
      debounceMs: DEBOUNCE_MS,
      pollMs: options.pollMs ?? NEVER_MS,
    });
    return watched;
  }

  /** Lets debounced events come through until the last change is `wanted`. */
  const lastChange = (wanted: string[]) =>
    eventually(`a change to ${wanted.join(', ')}`, async () => {
      await clock.advance(DEBOUNCE_MS);
      expect(changes.at(-1)).to.deep.equal(wanted);
      return true;
    });

  afterEach(() => watched?.close());

  it('reads all files at the start, and says which are missing', async () => {
    await writeFile(path.join(dir(), 'a'), 'one');
    expect(texts((await start()).current)).to.deep.equal(['one', 'ENOENT']);
  });

  it('sees a file that is written, one that appears and one that goes', async () => {
    await writeFile(path.join(dir(), 'a'), 'one');
    await start();
    await writeFile(path.join(dir(), 'a'), 'two');
    await lastChange(['two', 'ENOENT']);
    await writeFile(path.join(dir(), 'b'), 'new');
    await lastChange(['two', 'new']);
    await rm(path.join(dir(), 'a'));
    await lastChange(['ENOENT', 'new']);
  });

  it('sees a file that is renamed over the old one, again and again', async () => {
    await writeFile(path.join(dir(), 'a'), 'one');
    await start();
    for (const text of ['two', 'three', 'four']) {
      await writeFile(path.join(dir(), 'tmp'), text);
      await rename(path.join(dir(), 'tmp'), path.join(dir(), 'a'));
      await lastChange([text, 'ENOENT']);
    }
  });

  // kubelet: a -> ..data/a, and ..data -> ..2026_01 is swapped for ..2026_02. No file of the watched names is
  // touched.
  it('sees the swap of a ConfigMap mount', async () => {
    for (const [version, text] of Object.entries({ '..v1': 'one', '..v2': 'two' })) {
      await mkdir(path.join(dir(), version));
      await writeFile(path.join(dir(), version, 'a'), text);
    }
    await symlink('..v1', path.join(dir(), '..data'));
    await symlink('..data/a', path.join(dir(), 'a'));
    expect(texts((await start()).current)).to.deep.equal(['one', 'ENOENT']);
    await symlink('..v2', path.join(dir(), '..data_tmp'));
    await rename(path.join(dir(), '..data_tmp'), path.join(dir(), '..data'));
    await lastChange(['two', 'ENOENT']);
  });

  it('reads once when the events of a burst have ended', async () => {
    await start();
    for (const text of ['1', '2', '3']) await writeFile(path.join(dir(), 'a'), text);
    await lastChange(['3', 'ENOENT']);
    expect(changes).to.have.length(1);
  });

  it('says nothing when a file is written with the same content', async () => {
    await writeFile(path.join(dir(), 'a'), 'one');
    await start();
    await writeFile(path.join(dir(), 'a'), 'one');
    await writeFile(path.join(dir(), 'b'), 'marker');
    await lastChange(['one', 'marker']);
    expect(changes).to.have.length(1);
  });

  it('finds by polling what no event in the directory tells of', async () => {
    const elsewhere = path.join(dir(), 'elsewhere');
    await mkdir(elsewhere);
    await mkdir(path.join(dir(), 'in'));
    await writeFile(path.join(elsewhere, 'a'), 'one');
    await symlink(path.join(elsewhere, 'a'), path.join(dir(), 'in', 'a'));
    await start({ directory: path.join(dir(), 'in'), names: ['a'], pollMs: 10_000 });
    await writeFile(path.join(elsewhere, 'a'), 'two');
    await clock.advance(10_000);
    await eventually('the poll', () => changes.length > 0);
    expect(changes).to.deep.equal([['two']]);
  });

  it('waits for a directory that is not there yet, and watches it then', async () => {
    const later = path.join(dir(), 'later');
    await start({ directory: later, names: ['a'], pollMs: 10_000 });
    await mkdir(later);
    await writeFile(path.join(later, 'a'), 'one');
    await clock.advance(10_000);
    await eventually('the poll', () => changes.length > 0);
    await writeFile(path.join(later, 'a'), 'two');
    await lastChange(['two']);
  });

  it('leaves the old directory for a new one of the same name', async () => {
    const place = path.join(dir(), 'place');
    await mkdir(place);
    await start({ directory: place, names: ['a'], pollMs: 10_000 });
    await rename(place, path.join(dir(), 'old'));
    await mkdir(place);
    await clock.advance(10_000);
    await writeFile(path.join(place, 'a'), 'new');
    // Whether the watch or a poll saw it first, it may have been read between its truncation and its text.
    await lastChange(['new']);
  });

  it('says nothing and leaves no timer after close', async () => {
    const before = clock.pending;
    const files = await start();
    await writeFile(path.join(dir(), 'a'), 'one');
    await files.close();
    expect(clock.pending).to.equal(before);
    await clock.advance(DEBOUNCE_MS);
    expect(changes).to.deep.equal([]);
  });
});

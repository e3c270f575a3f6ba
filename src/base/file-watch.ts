import { type FSWatcher, watch } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Clock, Timer } from './clock.ts';

/** What a file held when it was read: its text, or why it could not be read (`ENOENT`, `EACCES`, …). */
export interface FileSnapshot {
  readonly path: string;
  readonly text: string | undefined;
  readonly error: NodeJS.ErrnoException | undefined;
}

export interface WatchFilesOptions {
  /** Directory that holds the files; it may not exist yet. */
  readonly directory: string;
  /** Names of the files in the directory, read as one set. */
  readonly names: readonly string[];
  readonly clock: Clock;
  /** Called with the whole set, in the order of `names`, when the content of any file has changed. */
  onChange(files: readonly FileSnapshot[]): void;
  /** Quiet time after the last event before the files are read, milliseconds; default 100. */
  readonly debounceMs?: number;
  /** How often the files are read even when nothing was announced, milliseconds; default 2000. */
  readonly pollMs?: number;
}

/** Files under watch. */
export interface WatchedFiles {
  /** The set as last read. */
  readonly current: readonly FileSnapshot[];
  close(): Promise<void>;
}

/**
 * Reads a small set of files and keeps reading them. The *directory* is watched, because a ConfigMap or
 * Secret mount swaps a symbolic link in it and editors rename over the file: a watch on the file itself would
 * stay with the old inode. A slow poll finds what no event reports: a symbolic link into another directory, a
 * directory that appears later or is replaced, a file system without events. Contents are compared, not time
 * stamps, so `onChange` means a change.
 */
export async function watchFiles(options: WatchFilesOptions): Promise<WatchedFiles> {
  const set = new WatchedSet(options);
  await set.begin();
  return set;
}

class WatchedSet implements WatchedFiles {
  readonly #options: WatchFilesOptions;
  readonly #paths: readonly string[];
  #current: readonly FileSnapshot[] = [];
  #watcher: FSWatcher | undefined;
  /** Device and inode of the directory that `#watcher` watches. */
  #watched = '';
  #debounce: Timer | undefined;
  #poll: Timer | undefined;
  /** The reading that is under way, so that readings never overlap and `close` can wait. */
  #reading: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(options: WatchFilesOptions) {
    this.#options = options;
    this.#paths = options.names.map((name) => path.join(options.directory, name));
  }

  get current(): readonly FileSnapshot[] {
    return this.#current;
  }

  async begin(): Promise<void> {
    await this.#watchDirectory();
    this.#current = await this.#readAll();
    this.#schedulePoll();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#debounce?.cancel();
    this.#poll?.cancel();
    this.#watcher?.close();
    await this.#reading;
  }

  #schedulePoll(): void {
    if (this.#closed) return;
    const everyMs = this.#options.pollMs ?? 2000;
    this.#poll = this.#options.clock.after(everyMs, () => this.#check(true), { unref: true });
  }

  #onEvent(): void {
    if (this.#closed) return;
    this.#debounce?.cancel();
    const quietMs = this.#options.debounceMs ?? 100;
    this.#debounce = this.#options.clock.after(quietMs, () => this.#check(false), { unref: true });
  }

  #check(polled: boolean): void {
    if (this.#reading !== undefined) {
      this.#again = true;
      if (polled) this.#schedulePoll();
      return;
    }
    this.#reading = this.#compare().finally(() => {
      this.#reading = undefined;
      if (polled) this.#schedulePoll();
      if (this.#again && !this.#closed) {
        this.#again = false;
        this.#check(false);
      }
    });
  }

  async #compare(): Promise<void> {
    await this.#watchDirectory();
    const before = this.#current;
    const now = await this.#readAll();
    if (this.#closed || now.every((file, index) => same(file, before[index]))) return;
    this.#current = now;
    this.#options.onChange(now);
  }

  /**
   * Watches the directory that has the name now; where there is none, or it cannot be watched, only the poll
   * remains.
   */
  async #watchDirectory(): Promise<void> {
    const identity = await directoryIdentity(this.#options.directory);
    if (identity === this.#watched || this.#closed) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = '';
    if (identity === '') return;
    try {
      this.#watcher = watch(this.#options.directory, { persistent: false }, () => this.#onEvent());
      // The next poll notices a directory that has vanished or cannot be watched.
      this.#watcher.on('error', () => {
        this.#watched = '';
      });
      this.#watched = identity;
    } catch {
      // No inotify watch left (ENOSPC, EMFILE) or the directory went meanwhile: poll.
    }
  }

  #readAll(): Promise<FileSnapshot[]> {
    return Promise.all(this.#paths.map(readSnapshot));
  }
}

async function directoryIdentity(directory: string): Promise<string> {
  try {
    const found = await stat(directory);
    return `${found.dev}:${found.ino}`;
  } catch {
    return '';
  }
}

async function readSnapshot(file: string): Promise<FileSnapshot> {
  try {
    return { path: file, text: await readFile(file, 'utf8'), error: undefined };
  } catch (error) {
    return { path: file, text: undefined, error: error as NodeJS.ErrnoException };
  }
}

function same(a: FileSnapshot, b: FileSnapshot | undefined): boolean {
  return a.text === b?.text && a.error?.code === b?.error?.code;
}

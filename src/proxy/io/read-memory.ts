/**
 * After how many bytes a young collection is due: well below the 64 MB of external memory at which V8 would
 * collect its whole heap, and enough for the collection to cost nothing beside reading them.
 */
const DUE_BYTES = 32 * 1024 * 1024;

/**
 * Memory that reads of sockets come in. To V8 it is external: its young collections begin when objects have
 * filled the young generation, of which large reads make few, so that a process which passes raw bytes
 * through would collect its whole heap instead (`tuneForTraffic`).
 */
export class ReadMemory {
  #collect: (() => void) | undefined;
  #read = 0;

  /** From now on, `collect` is called whenever a young collection is due. */
  collectBy(collect: () => void): void {
    this.#collect = collect;
  }

  /** So many bytes have been read. */
  count(bytes: number): void {
    this.#read += bytes;
    if (this.#read < DUE_BYTES) return;
    this.#read = 0;
    this.#collect?.();
  }
}

/** That of this process. */
export const readMemory = new ReadMemory();

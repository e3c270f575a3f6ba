/** Largest buffer that is kept after `clear`, in bytes. */
const KEPT_BYTES = 64 * 1024;

/**
 * Bytes that arrive in pieces of any size, in one buffer that doubles. A sender of single bytes costs what it
 * sends; a list of the pieces would cost an object of a hundred bytes for each.
 */
export class GatheredBytes {
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  /** Bytes that are held. */
  get length(): number {
    return this.#length;
  }

  add(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#buffer.length) this.#grow(length);
    this.#buffer.set(piece, this.#length);
    this.#length = length;
  }

  /** What is held: good until the next `add` or `clear`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Empties it; a buffer that has grown beyond `KEPT_BYTES` is released. */
  clear(): void {
    this.#length = 0;
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.alloc(0);
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#buffer.length, 4096));
    larger.set(this.bytes);
    this.#buffer = larger;
  }
}

/** Chunks that together are no longer than this are joined; bytes. */
const SMALL = 512;

/**
 * Appends a chunk to a queue. Small chunks are joined: each object costs more than 100 bytes beside its
 * contents, and windows and limits count contents only, so that a peer which sends single bytes would take a
 * hundred times its limit.
 */
export function appendChunk(parts: Buffer[], chunk: Buffer): void {
  const last = parts.at(-1);
  if (last === undefined || last.length + chunk.length > SMALL) {
    parts.push(chunk);
    return;
  }
  // Not from Buffer's pool: a small slice would keep a whole block of the pool in memory.
  const joined = Buffer.allocUnsafeSlow(last.length + chunk.length);
  joined.set(last);
  joined.set(chunk, last.length);
  parts[parts.length - 1] = joined;
}

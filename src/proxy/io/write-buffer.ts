/** Size of a write buffer in bytes, and so the most that can be written in place at once. */
export const MAX_ROOM = 32 * 1024;
/** Most unused buffers that are kept, for the whole process. */
const MAX_FREE = 64;

const free: WriteBuffer[] = [];

/**
 * Memory in which small writes of one connection are gathered. It is used again, maybe by another connection,
 * when the socket is done with all of it.
 */
export class WriteBuffer {
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(MAX_ROOM);
  /** Where the next byte goes. */
  at = 0;
  /** How many bytes have been given to the socket. */
  #taken = 0;
  /** Writes that the socket is not done with. */
  #pending = 0;
  /** Whether its connection still writes into it. */
  #attached = true;
  /** Not to be used again: see `written`. */
  #spoiled = false;

  /** Bytes that have not been given to the socket. */
  get unwritten(): number {
    return this.at - this.#taken;
  }

  /** Whether the byte at an offset has not been given to the socket. */
  isUnwritten(at: number): boolean {
    return at >= this.#taken;
  }

  /** The bytes that have not been given to the socket, for a write whose callback is `written`. */
  take(): Buffer {
    const bytes = this.bytes.subarray(this.#taken, this.at);
    this.#taken = this.at;
    this.#pending++;
    return bytes;
  }

  /**
   * Callback of the socket's writes; one function for all of them.
   * @param error after a failed write it is not known whether the memory is still being read, so that the
   * buffer is not used again
   */
  readonly written = (error?: Error | null): void => {
    this.#pending--;
    if (error) this.#spoiled = true;
    this.#release();
  };

  /** Its connection writes nothing more into it. */
  detach(): void {
    this.#attached = false;
    this.#release();
  }

  /** Begins anew, empty. */
  reuse(): void {
    this.at = 0;
    this.#taken = 0;
    this.#attached = true;
  }

  #release(): void {
    if (this.#attached || this.#pending > 0 || this.#spoiled) return;
    if (this.unwritten === 0 && free.length < MAX_FREE) free.push(this);
  }
}

/** An empty write buffer: a used one where there is one. */
export function takeWriteBuffer(): WriteBuffer {
  const writeBuffer = free.pop();
  if (writeBuffer === undefined) return new WriteBuffer();
  writeBuffer.reuse();
  return writeBuffer;
}

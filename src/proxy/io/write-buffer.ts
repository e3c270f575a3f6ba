/** Bytes of one write buffer, and so the most that can be written in place at once. */
export const MAX_ROOM = 32 * 1024;
/** Unused buffers that are kept. */
const MAX_FREE = 64;

const free: WriteBuffer[] = [];

/**
 * Memory in which small writes of one connection are put together. It is used again when the socket is done
 * with all of it.
 */
export class WriteBuffer {
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(MAX_ROOM);
  /** Where the next byte goes. */
  at = 0;
  #taken = 0;
  #pending = 0;
  #attached = true;
  #spoiled = false;

  get unwritten(): number {
    return this.at - this.#taken;
  }

  isUnwritten(at: number): boolean {
    return at >= this.#taken;
  }

  /** What has not been given to the socket; `written` must be called when the socket is done with it. */
  take(): Buffer {
    const bytes = this.bytes.subarray(this.#taken, this.at);
    this.#taken = this.at;
    this.#pending++;
    return bytes;
  }

  /**
   * For the socket. One function for all writes of the buffer.
   * @param error after a failed write nobody knows whether the memory is still looked at
   */
  readonly written = (error?: Error | null): void => {
    this.#pending--;
    if (error) this.#spoiled = true;
    this.#release();
  };

  /** Nothing more is written into it. */
  detach(): void {
    this.#attached = false;
    this.#release();
  }

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

export function takeWriteBuffer(): WriteBuffer {
  const writeBuffer = free.pop();
  if (writeBuffer === undefined) return new WriteBuffer();
  writeBuffer.reuse();
  return writeBuffer;
}

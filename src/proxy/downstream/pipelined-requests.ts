import { behind, headEnd, HeadMemory, parseRequestHead, type RequestHead } from '../http1/head.ts';

const EMPTY = Buffer.alloc(0);
const CR = 0x0d;
const LF = 0x0a;

/**
 * What a client has sent and nobody has taken yet: pipelined requests, and what came of a body before there
 * was an endpoint.
 */
export class PipelinedRequests {
  readonly #memory = new HeadMemory<RequestHead>();
  #bytes: Buffer = EMPTY;

  get length(): number {
    return this.#bytes.length;
  }

  add(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
  }

  /** Holds this instead of what was held. */
  set(bytes: Buffer): void {
    this.#bytes = bytes;
  }

  /** All of it, which is then held no more. */
  take(): Buffer {
    const bytes = this.#bytes;
    this.#bytes = EMPTY;
    return bytes;
  }

  /**
   * The head of the next request, which is then held no more; undefined while it is incomplete.
   * @throws HeadError
   */
  nextHead(): RequestHead | undefined {
    // Empty lines before a request are ignored (RFC 9112 section 2.2).
    while (this.#bytes[0] === CR && this.#bytes[1] === LF) this.#bytes = this.#bytes.subarray(2);
    const end = headEnd(this.#bytes);
    if (end < 0) return undefined;
    const head = parseRequestHead(this.#bytes, end, this.#memory);
    this.#bytes = behind(this.#bytes, end);
    return head;
  }
}

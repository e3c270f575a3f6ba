import { ConnectionError, Http2ErrorCode } from './errors.ts';

/**
 * Which streams of a connection have begun, and who may begin one (RFC 9113 section 5.1.1): only clients may,
 * with odd ids that grow (we neither push nor take pushes).
 */
export class StreamIds {
  readonly #role: 'client' | 'server';
  #lastPeer = 0;
  /** Highest id of a stream that the client has begun and that was refused (`refuse`). */
  #lastRefused = 0;
  #next = 1;

  constructor(role: 'client' | 'server') {
    this.#role = role;
  }

  /** Server: highest id that the client has used. */
  get lastPeer(): number {
    return this.#lastPeer;
  }

  /** Client: id of the stream that is opened next. */
  get next(): number {
    return this.#next;
  }

  /** Client: opens a stream. @returns its id */
  open(): number {
    const id = this.#next;
    this.#next += 2;
    return id;
  }

  /**
   * Whether HEADERS with the id of no open stream begin one; if not, the stream is over.
   * @throws ConnectionError where none may begin
   */
  mayBegin(id: number): boolean {
    // A response to a request that we have given up.
    if (this.#role === 'client' && id % 2 === 1 && id < this.#next) return false;
    if (this.#role === 'client' || id % 2 === 0)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, `stream ${id} cannot begin here`);
    return id > this.#lastPeer;
  }

  /** Server: the client has begun this stream. */
  begin(id: number): void {
    this.#lastPeer = id;
  }

  /**
   * Server: the client has begun this stream behind the last one that GOAWAY has named, which it had not
   * seen yet. What else it says of it is no mistake (RFC 9113 section 6.8), and `lastPeer` stays.
   */
  refuse(id: number): void {
    this.#lastRefused = Math.max(this.#lastRefused, id);
  }

  /**
   * Checks the id of a frame that begins no stream.
   * @throws ConnectionError when that stream has not begun
   */
  assertNotIdle(id: number): void {
    const used =
      this.#role === 'client' ? id < this.#next : id <= Math.max(this.#lastPeer, this.#lastRefused);
    if (id % 2 === 0 || !used)
      throw new ConnectionError(Http2ErrorCode.PROTOCOL_ERROR, `stream ${id} has not begun`);
  }
}

import type { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';

/** Who uses a stream, and hears what happens on it. One object may serve for many streams. */
export interface StreamHandler {
  /** Client: an interim response (1xx) has come. */
  onInterim(stream: Http2Stream, fields: readonly Field[]): void;
  /** Client: the response has come; `ended`: it has no body. (`Http2User.onRequest` gets requests.) */
  onHead(stream: Http2Stream, fields: readonly Field[], ended: boolean): void;
  /** Body bytes have come. Whoever has dealt with them calls `stream.consumed`. */
  onData(stream: Http2Stream, chunk: Buffer): void;
  /** The peer's message is complete. @param trailers undefined: there are none */
  onEnd(stream: Http2Stream, trailers: readonly Field[] | undefined): void;
  /** So many bytes that `write` had to hold back have been sent. */
  onSent(stream: Http2Stream, bytes: number): void;
  /**
   * The stream has ended early: the peer has reset it, or we have because the peer broke the protocol, or its
   * connection has ended.
   * @param code HTTP/2 error code
   * @param unprocessed the peer has done nothing with it, so that the request may be sent again
   */
  onReset(stream: Http2Stream, code: number, unprocessed: boolean): void;
  /**
   * One of the other methods threw: the handler ends what it carries with this failure. Absent: the stream is
   * reset.
   */
  onCaught?(stream: Http2Stream, failure: ProxyFailure): void;
}

/** The connection of a stream, as the stream sees it; the arguments are those of the stream's own methods. */
export interface StreamOwner {
  sendHead(stream: Http2Stream, fields: readonly Field[], end: boolean): void;
  sendData(stream: Http2Stream, chunk: Buffer): number;
  sendEnd(stream: Http2Stream): void;
  resetStream(stream: Http2Stream, code: number): void;
  consumed(stream: Http2Stream, bytes: number): void;
  /** A handler of the stream threw. */
  caught(stream: Http2Stream, handler: StreamHandler, error: unknown): void;
}

const NOBODY: StreamHandler = {
  onInterim() {},
  onHead() {},
  onData(stream, chunk) {
    stream.consumed(chunk.length);
  },
  onEnd() {},
  onSent() {},
  onReset() {},
};

/** One request and its response on an HTTP/2 connection (RFC 9113 section 5). */
export class Http2Stream {
  readonly id: number;
  handler: StreamHandler = NOBODY;
  /** Our side has sent its END_STREAM, or will when what is queued has been sent. */
  localEnded = false;
  /** The peer has sent its END_STREAM. */
  remoteEnded = false;
  closed = false;
  /** Server: the head of the final response has been sent. */
  answered = false;
  /** Client: it has been given up, and its reset is delayed (`GIVE_UP_MS`). */
  givenUp = false;
  /** When it began (monotonic milliseconds). */
  bornAt = 0;
  /** The head of the peer's message has come; not only interim responses. */
  headCame = false;
  /** Interim (1xx) responses so far. */
  interims = 0;
  /** Bytes that may be sent. */
  sendWindow: number;
  /** Bytes that the peer may send. */
  receiveWindow: number;
  /** Bytes that were consumed and for which no WINDOW_UPDATE has been sent. */
  credit = 0;
  /** Bytes that came and have not been consumed. */
  unconsumed = 0;
  /** Bytes that the body of the peer's message must have by its Content-Length; undefined: any number. */
  expected: number | undefined;
  /** Data that waits to be sent; made when some has to. */
  queue: Buffer[] | undefined;
  /** Bytes in `queue`. */
  queued = 0;
  /** Trailers that end our message when the queue has been sent; undefined: there are none. */
  ending: readonly Field[] | undefined;
  /** Our END_STREAM has been sent. */
  endSent = false;
  readonly #owner: StreamOwner;
  /** Body bytes of the peer's message that have come. */
  #received = 0;

  constructor(owner: StreamOwner, id: number, windows: { send: number; receive: number }) {
    this.#owner = owner;
    this.id = id;
    this.sendWindow = windows.send;
    this.receiveWindow = windows.receive;
  }

  /**
   * The head of the peer's message has come.
   * @param expected bytes that its body must have; undefined: any number
   * @param ended whether it has no body
   */
  begins(expected: number | undefined, ended: boolean): void {
    this.headCame = true;
    this.expected = expected;
    this.remoteEnded = ended;
  }

  /**
   * So many body bytes of the peer's message have come.
   * @returns false: they are more than its Content-Length
   */
  takes(bytes: number): boolean {
    this.#received += bytes;
    return this.expected === undefined || this.#received <= this.expected;
  }

  /** Whether the body that has come has as many bytes as its Content-Length says. */
  get whole(): boolean {
    return this.expected === undefined || this.#received === this.expected;
  }

  /** Sends a message head, or an interim response. */
  head(fields: readonly Field[], end = false): void {
    if (this.closed || this.localEnded) return;
    if (end) this.localEnded = true;
    this.#owner.sendHead(this, fields, end);
  }

  /**
   * Sends body bytes as flow control allows.
   * @returns how many have been sent; the others follow and are told by `onSent`
   */
  write(chunk: Buffer): number {
    if (this.closed || this.localEnded) return chunk.length;
    return this.#owner.sendData(this, chunk);
  }

  /** Completes our message; END_STREAM follows what is queued. */
  end(trailers?: readonly Field[]): void {
    if (this.closed || this.localEnded) return;
    this.localEnded = true;
    this.ending = trailers;
    this.#owner.sendEnd(this);
  }

  /** Ends the stream at once, both ways. The handler hears nothing more. */
  reset(code: number): void {
    if (!this.closed) this.#owner.resetStream(this, code);
  }

  /** So many bytes of what `onData` gave have been dealt with: the peer may send as many more. */
  consumed(bytes: number): void {
    this.#owner.consumed(this, bytes);
  }

  // --- called by its connection; what the handler throws ends this stream only

  notifyInterim(fields: readonly Field[]): void {
    this.interims++;
    try {
      this.handler.onInterim(this, fields);
    } catch (error) {
      this.threw(error);
    }
  }

  notifyHead(fields: readonly Field[], ended: boolean): void {
    try {
      this.handler.onHead(this, fields, ended);
    } catch (error) {
      this.threw(error);
    }
  }

  notifyData(chunk: Buffer): void {
    try {
      this.handler.onData(this, chunk);
    } catch (error) {
      this.threw(error);
    }
  }

  notifyEnd(trailers: readonly Field[] | undefined): void {
    try {
      this.handler.onEnd(this, trailers);
    } catch (error) {
      this.threw(error);
    }
  }

  notifySent(bytes: number): void {
    try {
      this.handler.onSent(this, bytes);
    } catch (error) {
      this.threw(error);
    }
  }

  /** @param handler that the stream had before it was released */
  notifyReset(handler: StreamHandler, code: number, unprocessed: boolean): void {
    try {
      handler.onReset(this, code, unprocessed);
    } catch (error) {
      this.threw(error, handler);
    }
  }

  /** A handler, or the user's `onRequest`, threw. */
  threw(error: unknown, handler = this.handler): void {
    this.#owner.caught(this, handler, error);
  }

  /** Nobody uses the stream any more; what still comes is thrown away. */
  release(): void {
    this.handler = NOBODY;
  }
}

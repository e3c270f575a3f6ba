import type { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';

/** What a stream tells whoever uses it. One object may serve for many streams. */
export interface StreamHandler {
  /** An interim response (1xx) came. */
  onInterim(stream: Http2Stream, fields: readonly Field[]): void;
  /** The response came; `ended`: it has no body. (Requests come by `ServerHandler.onRequest`.) */
  onHead(stream: Http2Stream, fields: readonly Field[], ended: boolean): void;
  /** Body bytes. Whoever is done with them says so by `stream.consumed`. */
  onData(stream: Http2Stream, chunk: Buffer): void;
  /** The peer's message is complete. */
  onEnd(stream: Http2Stream, trailers: readonly Field[] | undefined): void;
  /** So many bytes that `write` had to hold back have been sent. */
  onSent(stream: Http2Stream, bytes: number): void;
  /**
   * The stream is over before its time: reset by the peer, or its connection is gone.
   * @param unprocessed the peer has done nothing with it, so it may be tried again
   */
  onReset(stream: Http2Stream, code: number, unprocessed: boolean): void;
  /**
   * The handler itself threw: it ends what it carries with this failure. Who has no such method loses the
   * stream.
   */
  onCaught?(stream: Http2Stream, failure: ProxyFailure): void;
}

/** What a stream asks of the connection that it belongs to. */
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
  /** Our side has sent its END_STREAM, or will when what is queued is out. */
  localEnded = false;
  remoteEnded = false;
  closed = false;
  /** Server: the head of the response, not of an interim one, is out. */
  answered = false;
  /** Client: nobody wants it, and its reset waits. */
  givenUp = false;
  /** When it began (monotonic milliseconds). */
  bornAt = 0;
  /** The peer's message head has come (interim ones apart). */
  headCame = false;
  /** Bytes that may be sent. */
  sendWindow: number;
  /** Bytes that the peer may send. */
  receiveWindow: number;
  /** Bytes that were consumed and not told to the peer yet. */
  credit = 0;
  /** Bytes that came and have not been consumed. */
  unconsumed = 0;
  /** Content-Length of the peer's message, if it has one that counts. */
  expected: number | undefined;
  /** Made when something has to wait. */
  queue: Buffer[] | undefined;
  queued = 0;
  /** What ends the stream once the queue is out: trailers, or none. */
  ending: readonly Field[] | undefined;
  /** Our END_STREAM is on the wire. */
  endSent = false;
  readonly #owner: StreamOwner;
  /** What has come of the peer's message, of body bytes. */
  #received = 0;

  constructor(owner: StreamOwner, id: number, windows: { send: number; receive: number }) {
    this.#owner = owner;
    this.id = id;
    this.sendWindow = windows.send;
    this.receiveWindow = windows.receive;
  }

  /**
   * The head of the peer's message has come.
   * @param expected bytes that its body must have, where it says so
   */
  begins(expected: number | undefined, ended: boolean): void {
    this.headCame = true;
    this.expected = expected;
    this.remoteEnded = ended;
  }

  /** So many bytes of its body have come. @returns whether they may */
  takes(bytes: number): boolean {
    this.#received += bytes;
    return this.expected === undefined || this.#received <= this.expected;
  }

  /** Its body has as many bytes as it must. */
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

  /** Completes our message once all of it has been sent. */
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

  // --- what its connection tells its handler; what that throws ends this stream, and no other

  notifyInterim(fields: readonly Field[]): void {
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

  /** @param handler of before it was released */
  notifyReset(handler: StreamHandler, code: number, unprocessed: boolean): void {
    try {
      handler.onReset(this, code, unprocessed);
    } catch (error) {
      this.threw(error, handler);
    }
  }

  /** Something of what the stream is for threw. */
  threw(error: unknown, handler = this.handler): void {
    this.#owner.caught(this, handler, error);
  }

  /** Nobody listens any more. */
  release(): void {
    this.handler = NOBODY;
  }
}

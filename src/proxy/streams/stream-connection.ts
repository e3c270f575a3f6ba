import { appendChunk } from '../../base/gathered-bytes.ts';
import { type Boundary, contained } from '../http/failure-boundary.ts';
import {
  type CloseListener,
  type Connection,
  type ConnectionHandler,
  endCarried,
  NOBODY,
} from '../io/connection.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import { Http2ErrorCode, errorName } from '../http2/errors.ts';
import type { Http2Stream, StreamHandler } from '../http2/stream.ts';
import { type WriteBuffer, takeWriteBuffer } from '../io/write-buffer.ts';

/** Unsent bytes from which on the sender is asked to wait. */
export const HIGH_WATER = 64 * 1024;

/**
 * A byte connection that is a stream of a shared HTTP/2 connection: DATA frames are its bytes, END_STREAM its
 * half-close, RST_STREAM its abort, and the stream's window what the peer may send while nobody reads. It
 * calls its handler as a socket would: never from within a call of its user.
 */
export abstract class StreamConnection implements Connection, StreamHandler {
  handler: ConnectionHandler = NOBODY;
  bytesRead = 0;
  bytesWritten = 0;
  /** The connection below is retired, not a stream of it. */
  readonly retired = false;
  readonly remoteAddress: string;
  /** Undefined while there is none to send on. */
  protected stream: Http2Stream | undefined;
  /** Our side has ended: no more is sent. */
  protected ended = false;
  /** Given up by either side. */
  protected dead = false;
  readonly #boundary: Boundary;
  protected paused = false;
  /** Bytes that came while nobody read. The stream's window bounds it. */
  readonly #held: Buffer[] = [];
  /** `flowOn` will be called. */
  #flowing = false;
  #writeBuffer: WriteBuffer | undefined;
  #remoteEnded = false;
  /** The handler has been told of the peer's end. */
  #endTold = false;
  /** Bytes that wait to be sent, those included that have not been given to the stream. */
  protected unsent = 0;
  #blocked = false;
  /** Our END_STREAM has been sent. */
  #allSent = false;
  #onSent: (() => void) | undefined;
  #closing = false;
  #closed = false;
  #error: Error | undefined;
  readonly #whenClosed: CloseListener[] = [];

  constructor(remoteAddress: string, boundary: Boundary) {
    this.remoteAddress = remoteAddress;
    this.#boundary = boundary;
  }

  whenClosed(listener: CloseListener): void {
    if (this.#closed) listener(undefined);
    else this.#whenClosed.push(listener);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get buffered(): number {
    return this.unsent;
  }

  get blocked(): boolean {
    return this.#blocked && !this.#closed;
  }

  send(chunk: Buffer): boolean {
    if (this.dead || this.ended) return true;
    this.bytesWritten += chunk.length;
    this.put(chunk);
    if (this.unsent < HIGH_WATER) return true;
    this.#blocked = true;
    return false;
  }

  sendText(text: string): boolean {
    return this.send(Buffer.from(text, 'latin1'));
  }

  room(): WriteBuffer {
    this.#writeBuffer ??= takeWriteBuffer();
    return this.#writeBuffer;
  }

  sent(bytes: number): boolean {
    const writeBuffer = this.#writeBuffer;
    if (writeBuffer === undefined) return true;
    this.#writeBuffer = undefined;
    writeBuffer.at += bytes;
    // The stream may keep the bytes until its window opens, and the buffer is used again at once.
    const copy = Buffer.from(writeBuffer.take());
    writeBuffer.written();
    writeBuffer.detach();
    return this.send(copy);
  }

  isUnsent(): boolean {
    // `sent` copies.
    return false;
  }

  flush(): void {
    // The shared connection gathers what is sent in one turn.
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    if (this.#flowing || (this.#held.length === 0 && this.#remoteEnded === this.#endTold)) return;
    this.#flowing = true;
    process.nextTick(flow, this);
  }

  abstract established(): void;

  end(onSent?: () => void): void {
    if (this.dead || this.ended) return;
    this.ended = true;
    this.#onSent = onSent;
    this.finish();
  }

  retire(): void {
    // See `retired`.
  }

  destroy(error?: Error): void {
    if (this.dead) return;
    this.giveUp(error);
    this.cut(this.stream?.endSent === true ? Http2ErrorCode.NO_ERROR : Http2ErrorCode.CANCEL, error);
  }

  abort(error?: Error): void {
    if (this.dead) return;
    this.giveUp(error);
    // RFC 9113 section 8.5: how a tunnel tells of a broken connection.
    this.cut(Http2ErrorCode.CONNECT_ERROR, error);
  }

  // --- events of the stream

  onInterim(): void {
    // An interim response means nothing for a tunnel.
  }

  onHead(_stream: Http2Stream, _fields: readonly Field[], _ended: boolean): void {
    // Only the end that has opened the stream gets a head of an answer (`DialledTunnel`).
  }

  onData(_: Http2Stream | undefined, chunk: Buffer): void {
    if (this.paused || this.#held.length > 0) appendChunk(this.#held, chunk);
    else this.#deliver(chunk);
  }

  onEnd(): void {
    this.#remoteEnded = true;
    if (!this.paused && this.#held.length === 0) this.#notifyEnd();
  }

  onSent(stream: Http2Stream, bytes: number): void {
    this.wrote(bytes);
    if (stream.endSent) this.endSent();
  }

  onReset(_: Http2Stream, code: number, _unprocessed: boolean): void {
    if (code === Http2ErrorCode.NO_ERROR && this.#remoteEnded) {
      // A peer that has sent all wants no more from us (RFC 9113 section 8.1); what has come is still to be
      // read.
      this.ended = true;
      this.unsent = 0;
      this.endSent();
      return;
    }
    // The peer has reset it, or its connection was lost, which has a code too.
    this.fail(new Error(`the stream ended with ${errorName(code)}`));
  }

  onCaught(_: Http2Stream, failure: ProxyFailure): void {
    endCarried(this, this.#boundary, failure);
  }

  // --- for the two ends

  /** Sends bytes, or keeps them for later. */
  protected put(chunk: Buffer): void {
    this.unsent += chunk.length - (this.stream?.write(chunk) ?? 0);
  }

  /** Ends our side, when all bytes have been sent. */
  protected finish(): void {
    this.stream?.end();
    if (this.stream?.endSent === true) this.endSent();
  }

  /** Ends the stream, in the middle if need be. */
  protected cut(code: number, _error: Error | undefined): void {
    this.stream?.reset(code);
  }

  /** So many fewer bytes wait to be sent; when few enough do, the handler may send again. */
  protected wrote(bytes: number): void {
    this.unsent -= bytes;
    if (!this.#blocked || this.unsent > HIGH_WATER / 2) return;
    this.#blocked = false;
    this.handler.onDrain(this);
  }

  /** Our END_STREAM has been sent. */
  protected endSent(): void {
    if (this.#allSent) return;
    this.#allSent = true;
    this.#onSent?.();
    this.#maybeClose();
  }

  /** The peer has ended it, or no peer can be reached. */
  protected fail(error: Error): void {
    if (!this.dead) this.giveUp(error);
  }

  /** Nothing is received or sent any more; the handler hears of the end. */
  protected giveUp(error: Error | undefined): void {
    this.dead = true;
    this.#held.length = 0;
    this.#error ??= error;
    this.#close();
  }

  /** Delivers what came while it was paused. */
  flowOn(): void {
    this.#flowing = false;
    try {
      this.#flow();
    } catch (error) {
      endCarried(this, this.#boundary, this.#boundary.caught(error));
    }
  }

  #flow(): void {
    for (let chunk = this.#next(); chunk !== undefined; chunk = this.#next()) this.#deliver(chunk);
    const drained = !this.paused && this.#held.length === 0;
    if (drained && this.#remoteEnded && !this.#endTold && !this.dead) this.#notifyEnd();
  }

  /** Reports that it is over. */
  notifyClose(): void {
    this.#closed = true;
    this.dead = true;
    contained(this.#boundary, () => this.handler.onClose(this, this.#error));
    for (const listener of this.#whenClosed) contained(this.#boundary, () => listener(undefined));
  }

  #next(): Buffer | undefined {
    return this.paused || this.dead ? undefined : this.#held.shift();
  }

  #deliver(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    this.handler.onData(this, chunk);
    this.stream?.consumed(chunk.length);
  }

  #notifyEnd(): void {
    this.#endTold = true;
    this.handler.onEnd(this);
    this.#maybeClose();
  }

  #maybeClose(): void {
    if (this.#endTold && this.#allSent) this.#close();
  }

  #close(): void {
    if (this.#closing) return;
    this.#closing = true;
    process.nextTick(close, this);
  }
}

function flow(connection: StreamConnection): void {
  connection.flowOn();
}

function close(connection: StreamConnection): void {
  connection.notifyClose();
}

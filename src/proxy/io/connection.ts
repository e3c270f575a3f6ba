import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type Boundary, NO_BOUNDARY } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import { MAX_ROOM, type WriteBuffer, takeWriteBuffer } from './write-buffer.ts';
import { outliveWriteErrors } from './write-errors.ts';

/**
 * What a connection tells whoever uses it now. One object serves for many connections and requests: no
 * closure per request.
 */
export interface ConnectionHandler {
  onData(connection: Connection, chunk: Buffer): void;
  /** The peer sends no more (half-close). */
  onEnd(connection: Connection): void;
  /** What was held back has been sent; `send` may go on. */
  onDrain(connection: Connection): void;
  /** Nothing comes or goes any more. */
  onClose(connection: Connection, error: Error | undefined): void;
  /**
   * Nothing new is to begin on the connection, as `Connection.retire` says; what cannot be told so has no
   * such method.
   */
  onRetire?(connection: Connection): void;
  /**
   * The handler itself threw, on what one of its connections told: it ends what it carries with this failure.
   * Who has no such method loses the connection.
   */
  onCaught?(connection: Connection, failure: ProxyFailure): void;
}

/** The handler of a connection threw: it ends what it carries, or the connection is broken. Never throws. */
export function endCarried(connection: Connection, boundary: Boundary, failure: ProxyFailure): void {
  try {
    const { handler } = connection;
    if (handler.onCaught === undefined) connection.abort(failure);
    else handler.onCaught(connection, failure);
  } catch (error) {
    boundary.caught(error);
    connection.abort(failure);
  }
}

/**
 * A peer that vanished without a word (its machine is gone, a firewall forgot the connection) is found out by
 * probes after this much silence; Linkerd's default.
 */
const KEEP_ALIVE_MS = 10_000;
/**
 * How long a connection that cannot be written to any more may be silent before it is given up: what its
 * kernel holds is read before, and Bun tells of nothing else. And how long where nobody reads from it.
 */
const SILENT_MS = 1000;
const UNREAD_MS = 30_000;

/** Hears nothing. */
export const NOBODY: ConnectionHandler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** TLS is a layer over a socket of its own, which alone can be reset; on Bun both are one. */
export const TLS_BELOW = process.versions['bun'] === undefined;

/**
 * Chunks up to this size are copied together with what is sent beside them: one write costs more than the
 * copy.
 */
const COPY_LIMIT = 4096;

/** @param errno such as `ECONNRESET` */
export type CloseListener = (errno: string | undefined) => void;

/**
 * A byte connection, as narrow as the data path needs: no stream is piped, large chunks go through as they
 * came. A socket of its own, or a stream of a shared one.
 */
export interface Connection {
  handler: ConnectionHandler;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /**
   * Who is told of the end besides the handler, whoever that is by then; at once where it has ended.
   * @param listener hears the code of the error that the socket ended with, if it did
   */
  whenClosed(listener: CloseListener): void;
  readonly closed: boolean;
  /** Nothing new is to begin here: it has grown old, or its peer is not trusted any more. */
  readonly retired: boolean;
  readonly remoteAddress: string;
  /**
   * Opened in the name of one client: nothing of another's may travel on it. Absent: of nobody's in
   * particular.
   */
  readonly personal?: boolean;
  /** Bytes that wait because the peer reads slowly, or for the end of the turn. */
  readonly buffered: number;
  /** The peer has not read what it was sent before: an `onDrain` will come. */
  readonly blocked: boolean;
  /** Sends. False means: the peer is slow, stop reading from where this came until `onDrain`. */
  send(chunk: Buffer): boolean;
  /** Sends text, one byte per character. @returns as `send` */
  sendText(text: string): boolean;
  /**
   * Room to write into, so that nothing has to be copied: at `at` of its `bytes`. `sent` says how much was
   * written.
   * @param bytes at most `MAX_ROOM`
   */
  room(bytes: number): WriteBuffer;
  /** So many bytes have been written into the `room`. @returns as `send` */
  sent(bytes: number): boolean;
  /**
   * Whether what was written at that place of a `room` may still be changed. Only of what was written last:
   * memory that was given on is used again, and the same place of it holds something else then.
   */
  isUnsent(writeBuffer: WriteBuffer, at: number): boolean;
  /** Gives everything on now. */
  flush(): void;
  pause(): void;
  resume(): void;
  /** What the peer wants this connection for stands. A stream says so to the peer; on a socket it shows. */
  established(): void;
  /**
   * Sends what is waiting, then says that no more comes; the other direction stays open.
   * @param onSent called when the peer's kernel, or ours, has all of it
   */
  end(onSent?: () => void): void;
  /** Asks whoever uses it to begin nothing new on it, and to end it when what is under way is done. */
  retire(): void;
  /** Ends both directions at once. */
  destroy(error?: Error): void;
  /** Ends both directions at once, in a way that the peer cannot take for a proper end. */
  abort(error?: Error): void;
}

/**
 * A connection over a public `net` or `tls` socket. What is sent in one turn of the event loop leaves in one
 * write. Works the same on Node and on Bun.
 */
export class SocketConnection implements Connection {
  handler: ConnectionHandler = NOBODY;
  bytesRead = 0;
  bytesWritten = 0;
  retired = false;
  readonly #socket: Socket;
  /** What can be reset. */
  readonly #below: Socket;
  readonly #boundary: Boundary;
  /** What has been sent in this turn and not been given to the socket. */
  #writeBuffer: WriteBuffer | undefined;
  #corked = false;
  #scheduled = false;
  #closed = false;
  #ended = false;
  #error: Error | undefined;
  #errno: string | undefined;
  /** Not listeners of the socket: those cost more than all else that is kept of a connection. */
  readonly #whenClosed: CloseListener[] = [];

  /**
   * @param boundary takes what handlers throw; default none: it goes on to the event loop
   * @param below the TCP socket below a TLS socket, as far as it is known
   */
  constructor(socket: Socket, boundary: Boundary = NO_BOUNDARY, below: Socket = socket) {
    this.#socket = socket;
    this.#below = below;
    this.#boundary = boundary;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      try {
        this.handler.onData(this, chunk);
      } catch (error) {
        this.#caught(error);
      }
    });
    socket.on('end', () => this.#onEnd());
    outliveWriteErrors(socket, (error) => this.#writeFailed(error));
    socket.on('drain', () => this.#onDrain());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#error ??= error;
      this.#errno ??= error.code;
    });
    socket.on('close', () => this.#onClose());
  }

  /** Nothing can be sent any more. What the peer had sent before is still to be read. */
  #writeFailed(error: Error): void {
    this.#error ??= error;
    this.#ended = true;
    this.#endWhenSilent(UNREAD_MS);
  }

  #endWhenSilent(leftMs: number): void {
    const socket = this.#socket;
    socket.setTimeout(SILENT_MS, () => {
      if (socket.isPaused() && leftMs > SILENT_MS) this.#endWhenSilent(leftMs - SILENT_MS);
      else socket.destroy();
    });
  }

  /** A failed write has taken the reset that stood behind what was read: it is no proper end. */
  #onEnd(): void {
    try {
      if (this.#error === undefined) this.handler.onEnd(this);
      else this.#socket.destroy();
    } catch (error) {
      this.#caught(error);
    }
  }

  #onDrain(): void {
    try {
      this.handler.onDrain(this);
    } catch (error) {
      this.#caught(error);
    }
  }

  #onClose(): void {
    this.#closed = true;
    try {
      this.handler.onClose(this, this.#error);
    } catch (error) {
      this.#caught(error);
    }
    for (const listener of this.#whenClosed) {
      try {
        listener(this.#errno);
      } catch (error) {
        this.#caught(error);
      }
    }
  }

  #caught(error: unknown): void {
    endCarried(this, this.#boundary, this.#boundary.caught(error));
  }

  whenClosed(listener: CloseListener): void {
    if (this.#closed) listener(this.#errno);
    else this.#whenClosed.push(listener);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  get buffered(): number {
    return this.#socket.writableLength + (this.#writeBuffer?.unwritten ?? 0);
  }

  get blocked(): boolean {
    return !this.#closed && this.#socket.writableNeedDrain;
  }

  send(chunk: Buffer): boolean {
    if (this.#closed || this.#ended) return true;
    const { length } = chunk;
    if (length <= COPY_LIMIT) {
      const writeBuffer = this.room(length);
      writeBuffer.bytes.set(chunk, writeBuffer.at);
      return this.sent(length);
    }
    this.bytesWritten += length;
    if (this.#writeBuffer !== undefined && !this.#corked) {
      // Small writes gathered in this turn come before this chunk: the socket is corked, so that both leave
      // in one write at the end of the turn.
      this.#corked = true;
      this.#socket.cork();
      this.#schedule();
    }
    this.#empty();
    return this.#socket.write(chunk);
  }

  sendText(text: string): boolean {
    const { length } = text;
    if (length > COPY_LIMIT) return this.send(Buffer.from(text, 'latin1'));
    if (this.#closed || this.#ended) return true;
    const writeBuffer = this.room(length);
    writeBuffer.bytes.write(text, writeBuffer.at, 'latin1');
    return this.sent(length);
  }

  room(bytes: number): WriteBuffer {
    let writeBuffer = this.#writeBuffer;
    if (writeBuffer !== undefined && writeBuffer.at + bytes <= MAX_ROOM) return writeBuffer;
    if (writeBuffer !== undefined) {
      this.#empty();
      writeBuffer.detach();
    }
    writeBuffer = takeWriteBuffer();
    this.#writeBuffer = writeBuffer;
    return writeBuffer;
  }

  sent(bytes: number): boolean {
    const writeBuffer = this.#writeBuffer;
    if (writeBuffer === undefined || this.#closed || this.#ended) return true;
    writeBuffer.at += bytes;
    this.bytesWritten += bytes;
    this.#schedule();
    return !this.#socket.writableNeedDrain;
  }

  isUnsent(writeBuffer: WriteBuffer, at: number): boolean {
    return this.#writeBuffer === writeBuffer && writeBuffer.isUnwritten(at);
  }

  flush(): void {
    this.#scheduled = false;
    this.#empty();
    this.#writeBuffer?.detach();
    this.#writeBuffer = undefined;
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket.uncork();
  }

  /** As `flush`, where nobody is left who could catch what it throws. */
  flushContained(): void {
    try {
      this.flush();
    } catch (error) {
      this.#caught(error);
    }
  }

  #handOver(): void {
    if (this.#scheduled && !this.#closed && !this.#ended) this.flush();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    flushSoon(this);
  }

  /** Gives the socket what is in the write buffer; the rest of it may still be written to. */
  #empty(): void {
    const writeBuffer = this.#writeBuffer;
    if (writeBuffer === undefined || writeBuffer.unwritten === 0 || this.#closed) return;
    this.#socket.write(writeBuffer.take(), writeBuffer.written);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#closed) this.#socket.resume();
  }

  established(): void {
    // Only streams have to say so; the peer of a socket knows by the handshake.
  }

  end(onSent?: () => void): void {
    if (this.#closed || this.#ended) return;
    this.flush();
    this.#ended = true;
    if (onSent === undefined) this.#socket.end();
    else this.#socket.end(onSent);
  }

  retire(): void {
    if (this.retired || this.#closed) return;
    this.retired = true;
    try {
      this.handler.onRetire?.(this);
    } catch (error) {
      this.#caught(error);
    }
  }

  /** What was sent is given to the kernel before; what that does not take is lost. */
  destroy(error?: Error): void {
    this.#error ??= error;
    this.#handOver();
    this.#socket.destroy();
  }

  /**
   * By a reset, in TLS too: neither runtime tells of a closing alert that is missing, so that a FIN without
   * one passes for a proper end (RFC 8446 section 6.1 forbids that, and we cannot hear it).
   */
  abort(error?: Error): void {
    this.#error ??= error;
    this.#handOver();
    const socket = this.#socket;
    if (this.#closed || (TLS_BELOW && this.#below instanceof TLSSocket)) socket.destroy();
    // A FIN that is just going out must not be overtaken: libuv refuses, and the socket would never close.
    else if (this.#ended && socket.writableLength === 0 && !socket.writableFinished && !socket.destroyed)
      socket.once('finish', () => this.#reset());
    else this.#reset();
  }

  #reset(): void {
    const below = this.#below;
    if (below.destroyed) this.#socket.destroy();
    // The socket below a TLS socket has no listener for errors: its error would be an uncaught exception.
    else (below === this.#socket ? below : below.on('error', () => this.#socket.destroy())).resetAndDestroy();
  }
}

/** SocketConnections that have something to send at the end of this turn of the event loop. */
let unflushed: SocketConnection[] = [];

/**
 * All sockets that are ready are read in one turn, and what comes of it is sent at its end: requests of many
 * clients go to an endpoint in one write.
 */
function flushSoon(connection: SocketConnection): void {
  if (unflushed.push(connection) === 1) setImmediate(flushAll);
}

function flushAll(): void {
  const connections = unflushed;
  unflushed = [];
  for (const connection of connections) connection.flushContained();
}

import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type Boundary, NO_BOUNDARY } from '../http/failure-boundary.ts';
import {
  type CloseListener,
  type Connection,
  type ConnectionHandler,
  endCarried,
  NOBODY,
} from './connection.ts';
import { eventLoopTurn, type Unflushed } from './event-loop-turn.ts';
import { readMemory } from './read-memory.ts';
import { MAX_ROOM, type WriteBuffer, takeWriteBuffer } from './write-buffer.ts';
import { outliveWriteErrors } from './write-errors.ts';

/**
 * Whether TLS is a layer over a TCP socket of its own, which alone can be reset (Node); on Bun both are one.
 */
export const TLS_BELOW = process.versions['bun'] === undefined;

/**
 * Chunks up to this size (bytes) are copied into the write buffer, beside what else is sent in the turn: a
 * write of their own would cost more than the copy.
 */
const COPY_LIMIT = 4096;

/**
 * Silence after which TCP's keep-alive probes find out whether the peer has vanished (its machine is gone, a
 * firewall forgot the connection); Linkerd's default.
 */
const KEEP_ALIVE_MS = 10_000;
/**
 * After a failed write: silence after which the connection is given up. Until then what the kernel still
 * holds is read; Bun does not tell of the end.
 */
const SILENT_MS = 1000;
/** The same while it is paused, so that nobody reads. */
const UNREAD_MS = 30_000;

/**
 * A connection over a `net` or `tls` socket, by public APIs. What is sent in one turn of the event loop
 * leaves in one write. Works the same on Node and on Bun.
 */
export class SocketConnection implements Connection, Unflushed {
  handler: ConnectionHandler = NOBODY;
  bytesRead = 0;
  bytesWritten = 0;
  retired = false;
  readonly #socket: Socket;
  /** The socket that can be reset: the TCP socket, below TLS where there is TLS. */
  readonly #below: Socket;
  readonly #boundary: Boundary;
  /** Small chunks that were sent in this turn and have not been given to the socket. */
  #writeBuffer: WriteBuffer | undefined;
  #corked = false;
  /** Whether a flush at the end of the turn is due. */
  #scheduled = false;
  #closed = false;
  /** Nothing is sent any more: `end` was called, or a write has failed. */
  #ended = false;
  #error: Error | undefined;
  #errno: string | undefined;
  /** Not as listeners of the socket, which take more memory than the rest of a connection. */
  readonly #whenClosed: CloseListener[] = [];

  /**
   * @param boundary takes what handlers throw; default none: it is thrown into the event loop
   * @param below the TCP socket below a TLS socket, where it is known
   */
  constructor(socket: Socket, boundary: Boundary = NO_BOUNDARY, below: Socket = socket) {
    this.#socket = socket;
    this.#below = below;
    this.#boundary = boundary;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      readMemory.count(chunk.length);
      // Not by `#contain`, nor below: two calls more for each read and flush cost Bun 3 % of HTTP/1.
      try {
        this.handler.onData(this, chunk);
      } catch (error) {
        this.#endFor(error);
      }
    });
    socket.on('end', () => this.#contain(notifyEnd, this.#error));
    outliveWriteErrors(socket, (error) => this.#writeFailed(error));
    socket.on('drain', () => this.#contain(notifyDrain, undefined));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#error ??= error;
      this.#errno ??= error.code;
    });
    socket.on('close', () => this.#onClose());
  }

  /** Nothing can be sent any more; what the peer had sent before is still read. */
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

  #onClose(): void {
    this.#closed = true;
    this.#contain(notifyClose, this.#error);
    for (const listener of this.#whenClosed) this.#contain((_, errno) => listener(errno), this.#errno);
  }

  /**
   * Runs what the event loop calls, where no caller could catch an exception: it ends what the connection
   * carries.
   * @param work one function for all connections, not a closure of this one
   */
  #contain<T>(work: (connection: SocketConnection, what: T) => void, what: T): void {
    try {
      work(this, what);
    } catch (error) {
      this.#endFor(error);
    }
  }

  #endFor(thrown: unknown): void {
    endCarried(this, this.#boundary, this.#boundary.caught(thrown));
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

  /** As `flush`, called by the event loop: an exception ends what the connection carries. */
  flushContained(): void {
    try {
      this.flush();
    } catch (error) {
      this.#endFor(error);
    }
  }

  /** Before the socket is destroyed: gives it what was sent in this turn. */
  #handOver(): void {
    if (this.#scheduled && !this.#closed && !this.#ended) this.flush();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    eventLoopTurn.flushAtEnd(this);
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
    // A socket has been answered by TCP's own handshake.
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
    this.#contain(notifyRetire, undefined);
  }

  /** What was sent is given to the kernel first; what that does not take is lost. */
  destroy(error?: Error): void {
    this.#error ??= error;
    this.#handOver();
    this.#socket.destroy();
  }

  /**
   * By a TCP reset, in TLS too: neither runtime tells of a missing close_notify alert, so that a FIN without
   * one would pass for the proper end of the data (which RFC 8446 section 6.1 forbids).
   */
  abort(error?: Error): void {
    this.#error ??= error;
    this.#handOver();
    const socket = this.#socket;
    // A TLS socket whose TCP socket is not known cannot be reset.
    if (this.#closed || (TLS_BELOW && this.#below instanceof TLSSocket)) socket.destroy();
    // While a FIN is just going out, libuv refuses the reset, and the socket would never close: it waits.
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

// What `#contain` runs: one function each for all connections.

/** After a failed write, the peer's reset shows as an ordinary end; it is none. */
function notifyEnd(connection: SocketConnection, error: Error | undefined): void {
  if (error === undefined) connection.handler.onEnd(connection);
  else connection.destroy();
}

function notifyDrain(connection: SocketConnection): void {
  connection.handler.onDrain(connection);
}

function notifyRetire(connection: SocketConnection): void {
  connection.handler.onRetire?.(connection);
}

function notifyClose(connection: SocketConnection, error: Error | undefined): void {
  connection.handler.onClose(connection, error);
}

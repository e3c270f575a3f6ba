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
import { MAX_ROOM, type WriteBuffer, takeWriteBuffer } from './write-buffer.ts';
import { outliveWriteErrors } from './write-errors.ts';

/** TLS is a layer over a socket of its own, which alone can be reset; on Bun both are one. */
export const TLS_BELOW = process.versions['bun'] === undefined;

/**
 * Chunks up to this size are copied together with what is sent beside them: one write costs more than the
 * copy.
 */
const COPY_LIMIT = 4096;

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

/**
 * A connection over a public `net` or `tls` socket. What is sent in one turn of the event loop leaves in one
 * write. Works the same on Node and on Bun.
 */
export class SocketConnection implements Connection, Unflushed {
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
      this.#contain(notifyData, chunk);
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

  #onClose(): void {
    this.#closed = true;
    this.#contain(notifyClose, this.#error);
    for (const listener of this.#whenClosed) this.#contain((_, errno) => listener(errno), this.#errno);
  }

  /**
   * Does what nobody above could catch the exceptions of: they end what the connection carries.
   * @param work one function for all connections, not a closure of this one
   */
  #contain<T>(work: (connection: SocketConnection, what: T) => void, what: T): void {
    try {
      work(this, what);
    } catch (error) {
      endCarried(this, this.#boundary, this.#boundary.caught(error));
    }
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
    this.#contain(flush, undefined);
  }

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
    this.#contain(notifyRetire, undefined);
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

// What a connection tells, and does where nobody is above it.

function notifyData(connection: SocketConnection, chunk: Buffer): void {
  connection.handler.onData(connection, chunk);
}

/** A failed write has taken the reset that stood behind what was read: it is no proper end. */
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

function flush(connection: SocketConnection): void {
  connection.flush();
}

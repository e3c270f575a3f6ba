import { readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

type Done = (error?: Error | null) => void;

/** On Bun `_writev` calls `_write`, and a failed write needs `ignoreWriteErrors` and `readUnread`. */
const ON_BUN = process.versions['bun'] !== undefined;

const GUARD = Symbol('what stands behind the writes of a socket');

/** How much is read at once of what a closing socket has left, bytes. */
const READ_BYTES = 64 * 1024;

type Handled = Socket & { readonly _handle?: { readonly fd?: number } | null };

type Guarded = Socket & { [GUARD]: WriteGuard };

/**
 * Keeps a failed write from ending a socket. A peer that answers and closes without having read everything
 * makes its kernel send a reset behind the answer: from then on writes fail, while the answer is still to be
 * read (RFC 9112 sections 9.5 and 9.6). The runtimes would destroy the socket at the first failed write, with
 * everything that the kernel still holds. Instead, what is written after it is thrown away, and reading ends
 * as usual: by the end of the stream, or by an error of its own.
 * @param onFailed called at once for the first failure
 */
export function outliveWriteErrors(socket: Socket, onFailed: (error: Error) => void): void {
  (socket as Guarded)[GUARD] = new WriteGuard(socket, onFailed);
  socket._write = guardedWrite;
  if (socket._writev !== undefined && !ON_BUN) socket._writev = guardedWritev;
}

/**
 * What stands behind the writes of one socket. The functions are the same for all sockets, and a stream has
 * one write under way at a time, so that neither a connection nor a write costs closures.
 */
class WriteGuard {
  /** Who waits for the end of the write that is under way. */
  finished: Done | undefined;
  failed = false;
  /** A write is being given to the runtime: an end of it that is heard now is that of its first attempt. */
  beginning = false;
  readonly write: Socket['_write'];
  readonly writev: Socket['_writev'];
  /**
   * The end of each write. Nothing is decided in it: on Bun, branches in it cost a gateway a fifth of its
   * throughput of large bodies (`down8` of bench:gateway).
   */
  readonly onWritten: Done = (error) => this.finished?.(this.#passed(error));
  readonly #socket: Socket;
  readonly #onFailed: (error: Error) => void;

  constructor(socket: Socket, onFailed: (error: Error) => void) {
    this.#socket = socket;
    this.#onFailed = onFailed;
    // A bound function costs every write.
    // oxlint-disable-next-line typescript/unbound-method -- called as methods, with the socket as `this`
    [this.write, this.writev] = [socket._write, socket._writev];
  }

  #passed(error: Error | null | undefined): Error | null | undefined {
    return error ? this.#outlive(error) : error;
  }

  /** @returns what the stream hears */
  #outlive(error: Error): Error | undefined {
    const socket = this.#socket;
    if (socket.destroyed) return error;
    const first = !this.failed;
    this.failed = true;
    if (first) this.#onFailed(error);
    if (first && ON_BUN) {
      ignoreWriteErrors(socket);
      if (!this.beginning) readUnread(socket);
      // Once the stream has heard that this write is done.
      process.nextTick(() => socket.end());
    }
    return undefined;
  }
}

function guardedWrite(this: Socket, chunk: unknown, encoding: BufferEncoding, done: Done): void {
  const guard = (this as Guarded)[GUARD];
  if (guard.failed) return done();
  guard.finished = done;
  guard.beginning = true;
  guard.write.call(this, chunk, encoding, guard.onWritten);
  guard.beginning = false;
}

function guardedWritev(
  this: Socket,
  chunks: Parameters<NonNullable<Socket['_writev']>>[0],
  done: Done,
): void {
  const guard = (this as Guarded)[GUARD];
  if (guard.failed) return done();
  guard.finished = done;
  guard.writev?.call(this, chunks, guard.onWritten);
}

/**
 * Bun keeps what it could not write and tries once more, and the second failure ends the socket natively,
 * before everything has been read. A socket whose writing side has ended it does not try again. Bun's streams
 * also destroy a socket with the error of a failed write: that is ignored here.
 */
function ignoreWriteErrors(socket: Socket): void {
  const destroy = socket.destroy.bind(socket);
  socket.destroy = (reason?: NodeJS.ErrnoException) =>
    reason?.syscall === 'write' ? socket : destroy(reason);
}

/**
 * Bun closes a plain socket as soon as the rest of a write has failed that it had kept and sent when the
 * socket could take more: at once after it has said so, and with everything that the kernel still holds
 * (`test/wire/late-writes.test.ts` shows it). So what has come is read here, before this returns to Bun: at
 * most what fits the kernel's buffer. It has no public name for the file descriptor; what Node calls it
 * works. In TLS, Bun reads to the end itself before it says that a write has failed.
 */
function readUnread(socket: Socket): void {
  const fd = socket instanceof TLSSocket ? undefined : (socket as Handled)._handle?.fd;
  if (fd === undefined || fd < 0) return;
  for (;;) {
    const chunk = Buffer.allocUnsafe(READ_BYTES);
    let length = 0;
    try {
      length = readSync(fd, chunk);
    } catch {
      // Nothing more has come, or the connection is broken: Bun's own end of it follows.
    }
    if (length === 0 || socket.destroyed) return;
    socket.push(chunk.subarray(0, length));
  }
}

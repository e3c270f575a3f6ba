import type { Socket } from 'node:net';

type Done = (error?: Error | null) => void;

/** On Bun `_writev` calls `_write`, and a failed write needs `ignoreWriteErrors`. */
const ON_BUN = process.versions['bun'] !== undefined;

/**
 * Keeps a failed write from ending a socket. A peer that answers and closes without having read everything
 * makes its kernel send a reset behind the answer: from then on writes fail, while the answer is still to be
 * read (RFC 9112 sections 9.5 and 9.6). The runtimes would destroy the socket at the first failed write, with
 * everything that the kernel still holds. Instead, what is written after it is thrown away, and reading ends
 * as usual: by the end of the stream, or by an error of its own.
 * @param onFailed called at once for the first failure
 */
export function outliveWriteErrors(socket: Socket, onFailed: (error: Error) => void): void {
  let failed = false;
  const outlive = (error: Error) => {
    if (socket.destroyed) return error;
    const first = !failed;
    failed = true;
    if (first) onFailed(error);
    if (first && ON_BUN) {
      ignoreWriteErrors(socket);
      // Once the stream has heard that this write is done.
      process.nextTick(() => socket.end());
    }
    return undefined;
  };
  const passed = (error?: Error | null) => (error ? outlive(error) : error);
  // A stream has one write under way at a time: who waits for its end is kept here, so that no write costs a
  // closure. Nothing is decided in the callback itself: on Bun, branches in it cost a gateway a fifth of its
  // throughput of large bodies (`down8` of bench:gateway).
  let finished: Done | undefined;
  const onWritten: Done = (error) => finished?.(passed(error));
  // A bound function costs every write.
  // oxlint-disable-next-line typescript/unbound-method -- called as methods, with the socket as `this`
  const { _write: write, _writev: writev } = socket;
  socket._write = (chunk, encoding, done) => {
    finished = done;
    if (failed) done();
    else write.call(socket, chunk, encoding, onWritten);
  };
  if (writev === undefined || ON_BUN) return;
  socket._writev = (chunks, done) => {
    finished = done;
    if (failed) done();
    else writev.call(socket, chunks, onWritten);
  };
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

import type { Socket } from 'node:net';

type Done = (error?: Error | null) => void;

/** There `_writev` calls `_write`, and more has to be done (`writeNoMore`). */
const ON_BUN = process.versions['bun'] !== undefined;

/**
 * Keeps a write that fails from ending a socket. A peer that answers and closes without having read
 * everything makes its kernel send a reset behind the answer: writes fail from then on, while the answer is
 * still to be read (RFC 9112 sections 9.5 and 9.6). The runtimes destroy a socket at the first failed write,
 * with all that its kernel holds. What is written from then on is thrown away; reading ends as ever, by the
 * end of the stream or its own error.
 * @param onFailed told of the first failure, at once
 */
export function outliveWriteErrors(socket: Socket, onFailed: (error: Error) => void): void {
  let failed = false;
  let given: Done | undefined;
  let guarded: Done = () => undefined;
  // The stream passes the same callback each time, so that this costs no closure per write.
  const guard = (done: Done): Done => {
    given = done;
    guarded = (error) => {
      if (error === undefined || error === null || socket.destroyed) return done(error);
      const first = !failed;
      failed = true;
      if (first) onFailed(error);
      done(null);
      if (first && ON_BUN) writeNoMore(socket);
    };
    return guarded;
  };
  // A bound function costs every write.
  // oxlint-disable-next-line typescript/unbound-method -- called as methods, with the socket as `this`
  const { _write: write, _writev: writev } = socket;
  socket._write = (chunk, encoding, done) => {
    if (failed) done();
    else write.call(socket, chunk, encoding, done === given ? guarded : guard(done));
  };
  if (writev === undefined || ON_BUN) return;
  socket._writev = (chunks, done) => {
    if (failed) done();
    else writev.call(socket, chunks, done === given ? guarded : guard(done));
  };
}

/**
 * Bun keeps what it could not write and tries once more, and that second failure ends the socket natively, in
 * front of what is to be read; where nothing more is written it does not try. Whoever tells of a failed write
 * destroys the socket; not here.
 */
function writeNoMore(socket: Socket): void {
  const destroy = socket.destroy.bind(socket);
  socket.destroy = (reason?: NodeJS.ErrnoException) =>
    reason?.syscall === 'write' ? socket : destroy(reason);
  socket.end();
}

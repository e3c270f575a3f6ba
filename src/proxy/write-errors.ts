import type { Socket } from 'node:net';

type Done = (error?: Error | null) => void;

/** Bun's sockets end natively at a failed write, whatever their stream is told: what their kernel holds is lost there. */
const ENDS_NATIVELY = process.versions['bun'] !== undefined;

/**
 * Keeps a write that fails from ending a socket. A peer that answers and closes without having read everything makes
 * its kernel send a reset behind the answer: writes fail from then on, while the answer is still to be read (RFC 9112
 * sections 9.5 and 9.6). The runtimes destroy a socket at the first failed write, with all that its kernel holds.
 * What is written from then on is thrown away; reading ends as ever, by the end of the stream or its own error. Not on Bun.
 * @param onFailed told of the first failure, at once
 */
export function outliveWriteErrors(socket: Socket, onFailed: (error: Error) => void): void {
  if (ENDS_NATIVELY) return;
  let failed = false;
  let given: Done | undefined;
  let guarded: Done = () => undefined;
  // The stream passes the same callback each time, so that this costs no closure per write.
  const guard = (done: Done): Done => {
    if (done === given) return guarded;
    given = done;
    guarded = (error) => {
      if (error === undefined || error === null || socket.destroyed) return done(error);
      if (!failed) {
        failed = true;
        onFailed(error);
      }
      done(null);
    };
    return guarded;
  };
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, done) => {
    if (failed) done();
    else write(chunk, encoding, guard(done));
  };
  if (writev === undefined) return;
  socket._writev = (chunks, done) => {
    if (failed) done();
    else writev(chunks, guard(done));
  };
}

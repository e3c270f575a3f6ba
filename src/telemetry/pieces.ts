import type { Writable } from 'node:stream';
import { createGzip } from 'node:zlib';

/** A body in short pieces, so that none blocks the event loop for long. */
export type BodyPieces = readonly Buffer[];

/** Pieces that are written before others get a turn. */
const WRITTEN_AT_ONCE = 8;

/** Resolves in the next turn of the event loop, after everything that waits now. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function lengthOf(pieces: BodyPieces): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/**
 * Writes a body and ends the stream, with backpressure and turns of the event loop in between. Resolves also
 * when the reader goes away.
 */
export async function writePieces(out: Writable, pieces: BodyPieces): Promise<void> {
  for (const [at, piece] of pieces.entries()) {
    if (out.destroyed) return;
    if (!out.write(piece)) await drained(out);
    else if ((at + 1) % WRITTEN_AT_ONCE === 0) await nextTurn();
  }
  out.end();
}

/** The body compressed with gzip. */
export async function gzipped(pieces: BodyPieces): Promise<BodyPieces> {
  const gzip = createGzip();
  const writing = writePieces(gzip, pieces);
  const result: Buffer[] = [];
  for await (const chunk of gzip) result.push(chunk as Buffer);
  await writing;
  return result;
}

function drained(out: Writable): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => {
    out.off('drain', done);
    out.off('close', done);
    resolve();
  };
  out.on('drain', done);
  out.on('close', done);
  return promise;
}

import type { Writable } from 'node:stream';
import { createGzip, gzipSync } from 'node:zlib';

/** A body that is made while it is sent, in short pieces, so that none blocks the event loop for long. */
export type Pieces = AsyncIterable<Buffer>;

/** A body that is whole, or that is made while it is sent. */
export type Body = Buffer | Pieces;

/** Resolves in the next turn of the event loop, after everything that waits now. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** How long work goes on before the event loop gets a turn, milliseconds. */
const SLICE_MS = 2;

/**
 * Divides work among turns of the event loop, by time: in a process that has much else to do each turn may
 * take long, and a little work that had a turn for each of its parts would take many times that.
 */
export class Turns {
  readonly #now: () => number;
  #since: number;

  /** @param now monotonic milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  /** Whether the work since the last turn has taken so long. */
  get due(): boolean {
    return this.#now() - this.#since >= SLICE_MS;
  }

  /** Waits for the next turn where it is due. */
  async rest(): Promise<void> {
    if (!this.due) return;
    await nextTurn();
    this.#since = this.#now();
  }
}

/** Least length of a piece but the last, where it does not take too long to make; bytes. */
const PIECE = 16 * 1024;

/** Bytes in pieces, each of which can be let go by itself. */
export function* partsOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE) yield Buffer.from(bytes.subarray(at, at + PIECE));
}

/** Text as bytes, as of `bytesInTurns`. */
export function inTurns(texts: Iterable<string>, turns?: Turns): AsyncGenerator<Buffer> {
  return bytesInTurns(
    Iterator.from(texts).map((text) => Buffer.from(text)),
    turns,
  );
}

/**
 * Each piece is made when it is taken, in turns; after one that is empty there may be a turn. Short ones are
 * put together: each piece that is packed and sent on waits for several turns.
 */
export async function* bytesInTurns(pieces: Iterable<Buffer>, turns = new Turns()): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let length = 0;
  for (const piece of pieces) {
    held.push(piece);
    length += piece.length;
    const due = turns.due;
    if (length >= PIECE || (due && length > 0)) {
      yield joined(held);
      [held, length] = [[], 0];
    }
    if (due) await turns.rest();
  }
  if (length > 0) yield joined(held);
}

function joined(pieces: readonly Buffer[]): Buffer {
  const [only, second] = pieces;
  return only === undefined || second !== undefined ? Buffer.concat(pieces) : only;
}

/** `content-length`, of a body that is whole. */
export function lengthField(body: Body): Readonly<Record<string, string>> {
  return isWhole(body) ? { 'content-length': String(body.length) } : {};
}

/** Sends a body and ends the stream. @throws as `writePieces` */
export async function sendBody(out: Writable, body: Body): Promise<void> {
  if (isWhole(body)) out.end(body);
  else await writePieces(out, body);
}

/** Says that nobody wants a body. */
export async function dropBody(body: Body): Promise<void> {
  if (!isWhole(body)) await body[Symbol.asyncIterator]().return?.();
}

function isWhole(body: Body): body is Buffer {
  return Buffer.isBuffer(body);
}

/** A reader took so little of what was made for it that the rest was given up. */
class TooSlow extends Error {}

/**
 * Writes a body and ends the stream, with backpressure. Resolves also when the reader goes away, or is too
 * slow (`SharedPieces.cut`).
 * @throws what the body throws; the stream is destroyed then
 */
export async function writePieces(out: Writable, pieces: Pieces): Promise<void> {
  try {
    for await (const piece of pieces) {
      if (out.destroyed) return;
      if (!out.write(piece)) await drained(out);
    }
  } catch (error) {
    out.destroy(error instanceof Error ? error : undefined);
    if (error instanceof TooSlow) return;
    throw error;
  }
  out.end();
}

/** Longest body that is compressed at once, bytes; it takes about half a millisecond. */
const PACKED_AT_ONCE = 32 * 1024;

/**
 * The body compressed with gzip. A short one at once: a stream hands each piece to another thread and waits
 * for it, which takes turns of the event loop, and those are long in a process that has much to do.
 */
export function gzipped(pieces: Pieces): AsyncIterator<Buffer> {
  const source = pieces[Symbol.asyncIterator]();
  const packed = pack(source);
  return {
    next: () => packed.next(),
    return: async () => {
      // A generator of which nothing was taken has no `finally`.
      await source.return?.();
      return packed.return(undefined);
    },
  };
}

async function* pack(source: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  const begin: Buffer[] = [];
  try {
    let length = 0;
    while (length <= PACKED_AT_ONCE) {
      const { done = false, value } = await source.next();
      if (done) {
        yield gzipSync(Buffer.concat(begin));
        return;
      }
      begin.push(value as Buffer);
      length += (value as Buffer).length;
    }
    yield* gzipStream(begin, source);
  } finally {
    await source.return?.();
  }
}

async function* gzipStream(begin: readonly Buffer[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  const gzip = createGzip();
  // What goes wrong comes out of the stream as well.
  writePieces(gzip, followed(begin, rest)).catch(() => undefined);
  try {
    for await (const chunk of gzip) yield chunk as Buffer;
  } finally {
    gzip.destroy();
  }
}

async function* followed(begin: readonly Buffer[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield* begin;
  for (;;) {
    const { done = false, value } = await rest.next();
    if (done) return;
    yield value as Buffer;
  }
}

/**
 * Pieces that are made once for several readers, when the first of them wants one. A piece is held for those
 * alone who have not taken it yet: memory that lives only for a moment costs V8's young collections nothing,
 * while tens of megabytes in hand would have it stop everything for a collection of the whole heap.
 */
export class SharedPieces {
  readonly #source: AsyncIterator<Buffer>;
  readonly #readers = new Set<Reader>();
  #making: Promise<void> | undefined;
  #over = false;

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source;
  }

  /** A reader, which gets what is made from now on, or says by `return` that it wants no more. */
  reader(): AsyncIterableIterator<Buffer> {
    const reader = new Reader(
      () => this.#more(),
      () => this.#leave(reader),
    );
    this.#readers.add(reader);
    return reader;
  }

  /** Has all made that somebody wants, however slowly it is taken. Resolves also where that fails. */
  async finish(): Promise<void> {
    // The readers are told.
    while (!this.#over) await this.#more().catch(() => undefined);
  }

  /** Bytes that are held because somebody has not taken them. Pieces are shared: the slowest has them all. */
  get held(): number {
    return Math.max(0, ...this.#readers.values().map(({ held }) => held));
  }

  /** Gives up what is held: the bodies of those who have not taken it break off. Only when all is made. */
  cut(): void {
    for (const reader of this.#readers) if (reader.held > 0) reader.cut();
  }

  async #more(): Promise<void> {
    if (!this.#over) await (this.#making ??= this.#make());
  }

  async #make(): Promise<void> {
    try {
      const { done = false, value } = await this.#source.next();
      if (done) this.#end(DONE);
      else for (const reader of this.#readers) reader.put(value as Buffer);
    } catch (error) {
      this.#end({ error });
    } finally {
      this.#making = undefined;
    }
  }

  #end(how: Ending): void {
    this.#over = true;
    for (const reader of this.#readers) reader.end(how);
  }

  async #leave(reader: Reader): Promise<void> {
    this.#readers.delete(reader);
    if (this.#readers.size > 0 || this.#over) return;
    this.#over = true;
    await this.#making;
    await this.#source.return?.();
  }
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };
type Ending = typeof DONE | { readonly error: unknown };

/** One who takes pieces of `SharedPieces`. */
class Reader implements AsyncIterableIterator<Buffer> {
  readonly #more: () => Promise<void>;
  readonly #leave: () => Promise<void>;
  readonly #waiting: Buffer[] = [];
  /** Bytes in `#waiting`. */
  held = 0;
  #ending: Ending | undefined;

  constructor(more: () => Promise<void>, leave: () => Promise<void>) {
    this.#more = more;
    this.#leave = leave;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  put(piece: Buffer): void {
    this.#waiting.push(piece);
    this.held += piece.length;
  }

  end(how: Ending): void {
    this.#ending = how;
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    while (this.#waiting.length === 0 && this.#ending === undefined) await this.#more();
    const value = this.#waiting.shift();
    if (value !== undefined) {
      this.held -= value.length;
      return { done: false, value };
    }
    if (this.#ending !== undefined && 'error' in this.#ending) throw this.#ending.error;
    return DONE;
  }

  cut(): void {
    this.#drop();
    this.#ending = { error: new TooSlow('it was read too slowly') };
  }

  #drop(): void {
    this.#waiting.length = 0;
    this.held = 0;
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.#drop();
    this.#ending ??= DONE;
    await this.#leave();
    return DONE;
  }
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

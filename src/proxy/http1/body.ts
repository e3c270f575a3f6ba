import type { Field } from '../http/fields.ts';
import type { Framing } from '../http/messages.ts';
import { HeadError, parseTrailers } from './head.ts';

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
/** Longest chunk extension, and longest trailer section, in bytes. */
const MAX_LINE = 4096;
const MAX_TRAILERS = 16 * 1024;

type ChunkState =
  | 'size'
  | 'extension'
  | 'size lf'
  | 'data'
  | 'data cr'
  | 'data lf'
  | 'trailer start'
  | 'trailer'
  | 'trailer lf'
  | 'last lf';

/** Gets the body's own bytes, without chunked framing. */
export interface BodySink {
  onBodyBytes(chunk: Buffer): void;
}

/**
 * Finds the end of a message body. Bytes are passed on as they came, framing included; this only counts them.
 * Chunked framing is checked byte by byte, because the next hop reads it again and must come to the same end:
 * bare LF, missing digits, sizes of 2^52 and more and endless lines are refused. Trailers are header fields
 * and are treated like those: they are parsed, and written anew without what may not stand there (`passOn`).
 */
export class BodyReader {
  readonly #framing: Framing['kind'];
  #left: number;
  #state: ChunkState = 'size';
  #digits = 0;
  #line = 0;
  #done: boolean;
  #trailerText = '';
  #trailerBytes = 0;

  constructor(framing: Framing) {
    this.#framing = framing.kind;
    this.#left = framing.kind === 'length' ? framing.length : 0;
    this.#done = framing.kind === 'none';
  }

  get done(): boolean {
    return this.#done;
  }

  /** How many of the bytes that the last `take` took belong to the trailer section; they stand at the end. */
  get trailerBytes(): number {
    return this.#trailerBytes;
  }

  /** The trailer section of a chunked body that is done. @throws HeadError */
  get trailers(): readonly Field[] {
    return this.#trailerText === '' ? [] : parseTrailers(this.#trailerText);
  }

  /**
   * Reads the next bytes.
   * @returns how many of them belong to the body; what follows is the next message
   * @param sink gets the body's own bytes, for a next hop that frames them otherwise
   * @throws HeadError when they cannot be framed
   */
  take(chunk: Buffer, sink?: BodySink): number {
    if (this.#done) return 0;
    if (this.#framing === 'chunked') return this.#takeChunks(chunk, sink);
    const taken = this.#framing === 'length' ? this.#takeLength(chunk) : chunk.length;
    if (taken > 0) sink?.onBodyBytes(taken === chunk.length ? chunk : chunk.subarray(0, taken));
    return taken;
  }

  #takeChunks(chunk: Buffer, sink: BodySink | undefined): number {
    let at = 0;
    this.#trailerBytes = 0;
    while (at < chunk.length && !this.#done) {
      if (this.#state === 'data') {
        const step = Math.min(this.#left, chunk.length - at);
        sink?.onBodyBytes(chunk.subarray(at, at + step));
        this.#left -= step;
        at += step;
        if (this.#left === 0) this.#state = 'data cr';
      } else {
        this.#step(chunk[at++] ?? 0);
      }
    }
    return at;
  }

  /** The connection has ended in order. @returns whether the body is complete */
  end(): boolean {
    if (this.#framing === 'until close') this.#done = true;
    return this.#done;
  }

  #takeLength(chunk: Buffer): number {
    const taken = Math.min(this.#left, chunk.length);
    this.#left -= taken;
    this.#done = this.#left === 0;
    return taken;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case 'size':
        return this.#size(byte);
      case 'extension':
        return this.#until(byte, 'size lf', MAX_LINE);
      case 'size lf':
        this.#expect(byte, LF);
        this.#line = 0;
        this.#digits = 0;
        this.#state = this.#left === 0 ? 'trailer start' : 'data';
        return;
      case 'data cr':
        this.#expect(byte, CR);
        this.#state = 'data lf';
        return;
      case 'data lf':
        this.#expect(byte, LF);
        this.#state = 'size';
        return;
      default:
        return this.#trailer(byte);
    }
  }

  #size(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#digits++;
      this.#left = this.#left * 16 + digit;
      if (this.#digits > 13) throw new HeadError('a chunk is too large');
    } else if (this.#digits > 0 && byte === CR) {
      this.#state = 'size lf';
    } else if (this.#digits > 0 && byte === SEMICOLON) {
      this.#line = 0;
      this.#state = 'extension';
    } else {
      throw new HeadError('a chunk size is malformed');
    }
  }

  #trailer(byte: number): void {
    this.#trailerBytes++;
    this.#trailerText += String.fromCharCode(byte);
    if (this.#state === 'trailer start') {
      if (byte === CR) this.#state = 'last lf';
      else if (byte === LF || byte === 0) throw new HeadError('there is a bare LF or NUL in the trailers');
      else this.#state = 'trailer';
      this.#line++;
    } else if (this.#state === 'trailer') {
      this.#until(byte, 'trailer lf', MAX_TRAILERS);
    } else if (this.#state === 'trailer lf') {
      this.#expect(byte, LF);
      this.#state = 'trailer start';
    } else {
      this.#expect(byte, LF);
      this.#done = true;
    }
  }

  #until(byte: number, next: ChunkState, limit: number): void {
    if (++this.#line > limit) throw new HeadError('a chunk extension or the trailers are too long');
    if (byte === CR) this.#state = next;
    else if (byte === LF || byte === 0) throw new HeadError('there is a bare LF or NUL in the chunked body');
  }

  #expect(byte: number, wanted: number): void {
    if (byte !== wanted) throw new HeadError('the chunked body is malformed');
  }
}

/**
 * The bytes that the next hop gets of those that were taken: the body as it came, and where the trailer
 * section is complete, its fields written anew.
 * @param chunk that `take` was given
 * @param taken what `take(chunk)` has just returned
 * @throws HeadError when the trailers are malformed
 */
export function passOn(body: BodyReader, chunk: Buffer, taken: number): Buffer {
  const { trailerBytes } = body;
  const plain = taken - trailerBytes;
  const bytes = plain === chunk.length ? chunk : chunk.subarray(0, plain);
  if (trailerBytes === 0 || !body.done) return bytes;
  return Buffer.concat([bytes, Buffer.from(trailerSection(body.trailers), 'latin1')]);
}

/** The end of a chunked body behind the size of its last chunk: trailers and a blank line. */
export function trailerSection(trailers: readonly Field[]): string {
  return `${trailers.map(({ name, value }) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

/** The end of a chunked body: the last chunk, trailers and a blank line. */
export function lastChunk(trailers: readonly Field[] | undefined): Buffer {
  return Buffer.from(`0\r\n${trailerSection(trailers ?? [])}`, 'latin1');
}

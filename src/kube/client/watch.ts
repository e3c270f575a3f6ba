import { GatheredBytes } from '../../base/gathered-bytes.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import {
  MAX_OBJECT_BYTES,
  MAX_OBJECT_DEPTH,
  MAX_OBJECT_VALUES,
  piecesOf,
  tooLarge,
} from './answer-limits.ts';
import { KubeApiError, wordsOf } from './api-error.ts';
import { JsonStructure } from './json-structure.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';

/** One event of a watch. A bookmark's object carries only a resourceVersion. */
export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
  /** Bytes of its line. */
  readonly bytes?: number;
}

const NEWLINE = 0x0a;
/** No API server sends blank lines; those in a watch cost time and mean nothing. */
const MAX_BLANK_LINES = 1000;

/**
 * Turns the bytes of a watch into events: one JSON object a line, however the bytes are split.
 * @throws KubeApiError for an ERROR event (410 when the resourceVersion is too old); LinkspanError
 * KUBE_WATCH_BROKEN for a line that is no event, or a stream that ends in the middle of one: nothing is ever
 * dropped in silence; KUBE_ANSWER_TOO_LARGE for one larger than any object
 */
export async function* decodeWatch<T extends KubeObject>(
  chunks: AsyncIterable<Uint8Array>,
  what: string,
): AsyncGenerator<WatchEvent<T>> {
  const line = new GatheredBytes();
  const structure = new JsonStructure();
  const check = (piece: Uint8Array): void => {
    structure.take(piece);
    if (line.length + piece.length > MAX_OBJECT_BYTES)
      throw over(what, 'bytes', line.length + piece.length, MAX_OBJECT_BYTES);
    if (structure.values > MAX_OBJECT_VALUES) throw over(what, 'values', structure.values, MAX_OBJECT_VALUES);
    if (structure.deepest > MAX_OBJECT_DEPTH) throw broken(what, 'a line is nested too deep');
  };
  let blank = 0;
  for await (const chunk of piecesOf(chunks, what)) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const piece = chunk.subarray(start, end);
      check(piece);
      const bytes = line.length + piece.length;
      // Most lines come in one piece and are read where they are: gathered, each watch would keep a buffer.
      const text = textOf(line.length === 0 ? piece : gathered(line, piece));
      line.clear();
      structure.reset();
      start = end + 1;
      if (text.trim() !== '') yield { ...parseEvent<T>(text, what), bytes };
      else if (++blank > MAX_BLANK_LINES) throw broken(what, 'it has nothing but blank lines');
    }
    if (start === chunk.length) continue;
    const rest = chunk.subarray(start);
    check(rest);
    line.add(rest);
  }
  if (line.length > 0) throw broken(what, 'the connection ended in the middle of an event');
}

function gathered(line: GatheredBytes, last: Uint8Array): Uint8Array {
  line.add(last);
  return line.bytes;
}

function textOf({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('utf8');
}

/** A line is longer than any object can be; such a watch is not begun again at once. */
function over(what: string, unit: string, used: number, of: number): LinkspanError {
  return tooLarge(what, 'object', `an event of more than ${of} ${unit}`, { used, of });
}

function parseEvent<T extends KubeObject>(line: string, what: string): WatchEvent<T> {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch (error) {
    throw broken(what, `a line is not JSON: ${line.slice(0, 80)}`, error);
  }
  const { type, object } = isTree(event) ? event : {};
  if (!isTree(object)) throw broken(what, `a line is no event: ${line.slice(0, 80)}`);
  if (type === 'ERROR') {
    const { code, reason, message } = object;
    throw new KubeApiError(
      {
        status: typeof code === 'number' ? code : 500,
        reason: wordsOf(reason, ''),
        message: wordsOf(message, 'the watch failed'),
      },
      what,
    );
  }
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED' && type !== 'BOOKMARK') {
    throw broken(what, `an event of unknown type "${wordsOf(type, typeof type)}"`);
  }
  return { type, object: object as unknown as T };
}

/** Whether a value of JSON has members by name. */
function isTree(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function broken(what: string, why: string, cause?: unknown): LinkspanError {
  return new LinkspanError('KUBE_WATCH_BROKEN', `${what}: ${why}`, { cause });
}

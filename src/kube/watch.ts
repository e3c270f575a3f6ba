import { LinkspanError } from '../base/errors.ts';
import { KubeApiError } from './api-error.ts';
import type { KubeObject } from './resource.ts';

/** One event of a watch. A bookmark's object carries only a resourceVersion. */
export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

/** No object in etcd is larger than 1.5 MiB; a line beyond this is no event. */
const MAX_LINE = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * Turns the bytes of a watch into events: one JSON object a line, however the bytes are split.
 * @throws KubeApiError for an ERROR event (410 when the resourceVersion is too old); LinkspanError KUBE_WATCH_BROKEN for a line that is no
 *   event, or a stream that ends in the middle of one: nothing is ever dropped in silence
 */
export async function* decodeWatch<T extends KubeObject>(
  chunks: AsyncIterable<Uint8Array>,
  what: string,
): AsyncGenerator<WatchEvent<T>> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      parts.push(chunk.subarray(start, end));
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      held = 0;
      start = end + 1;
      if (line.trim() !== '') yield parseEvent<T>(line, what);
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      held += chunk.length - start;
      if (held > MAX_LINE) throw broken(what, `a line of more than ${MAX_LINE} bytes`);
    }
  }
  if (held > 0) throw broken(what, 'the connection ended in the middle of an event');
}

function parseEvent<T extends KubeObject>(line: string, what: string): WatchEvent<T> {
  let event: { type?: string; object?: T & { code?: number; reason?: string; message?: string } };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw broken(what, `a line is not JSON: ${line.slice(0, 80)}`, error);
  }
  const { type, object } = event;
  if (object === undefined || object === null) throw broken(what, `a line is no event: ${line.slice(0, 80)}`);
  if (type === 'ERROR') {
    throw new KubeApiError(
      {
        status: object.code ?? 500,
        reason: object.reason ?? '',
        message: object.message ?? 'the watch failed',
      },
      what,
    );
  }
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED' && type !== 'BOOKMARK') {
    throw broken(what, `an event of unknown type "${String(type)}"`);
  }
  return { type, object };
}

function broken(what: string, why: string, cause?: unknown): LinkspanError {
  return new LinkspanError('KUBE_WATCH_BROKEN', `${what}: ${why}`, { cause });
}

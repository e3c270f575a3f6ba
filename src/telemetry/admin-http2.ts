import { ORIG_PROTO } from '../api/linkerd/proxy-fields.ts';
import { reportContained } from '../base/isolation.ts';
import { Buffer } from 'node:buffer';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { dropBody, lengthField, sendBody } from './pieces.ts';
import { type AdminPages, type AdminRequest, textAnswer } from './admin-pages.ts';

/** Longest request body that is read, in bytes: a log level. */
export const MAX_BODY_BYTES = 1024;
export const MAX_ADMIN_HEAD_BYTES = 16 * 1024;
/** Idle time after which a connection is closed: longer than Prometheus' and kubelet's usual periods. */
export const IDLE_MS = 75_000;

/**
 * Serves a connection whose client speaks HTTP/2 with prior knowledge, as Linkerd's proxies do towards each
 * other; a request with `l5d-orig-proto` was HTTP/1.1 at its client, and is answered accordingly (wire
 * protocol 1.8 and 2). Sessions have small limits, because a prober needs one stream only.
 */
export function serveHttp2(socket: Socket, pages: AdminPages, local: boolean): void {
  const session = http2.performServerHandshake(socket, {
    maxSessionMemory: 1,
    maxHeaderListPairs: 64,
    settings: { maxConcurrentStreams: 16, maxHeaderListSize: MAX_ADMIN_HEAD_BYTES },
  });
  session.on('error', () => socket.destroy());
  session.setTimeout(IDLE_MS, () => session.destroy());
  session.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    contained(respond(stream, headers, pages, local));
  });
}

async function respond(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  pages: AdminPages,
  local: boolean,
): Promise<void> {
  const method = headers[':method'] ?? 'GET';
  const body = method === 'PUT' ? await readBody(stream) : '';
  const request: AdminRequest = {
    method,
    path: headers[':path'] ?? '/',
    accept: headers.accept,
    acceptEncoding: headers['accept-encoding'] ?? '',
    local,
    body: body ?? '',
    header: (name) => oneOf(headers[name]),
    onClose: (listener) => whenClosed(stream, listener),
  };
  const answer = body === undefined ? textAnswer(413, 'that is too much\n') : await pages.answer(request);
  if (stream.closed || stream.destroyed) {
    await dropBody(answer.body);
    return;
  }
  const upgraded = headers[ORIG_PROTO] === undefined ? {} : { [ORIG_PROTO]: 'HTTP/1.1' };
  const head = { ':status': answer.status, ...answer.headers, ...upgraded };
  if (answer.status === 204) {
    stream.respond(head, { endStream: true });
    return;
  }
  stream.respond({ ...head, ...lengthField(answer.body) }, { endStream: method === 'HEAD' });
  if (method !== 'HEAD') await sendBody(stream, answer.body);
}

/**
 * Reports why an answer broke off: its body is made while it is sent, so that no status can say so any more.
 */
export function contained(answer: Promise<void>): void {
  answer.catch((error: unknown) => reportContained(error, 'an answer of the admin port'));
}

/** Calls `listener` when a stream is closed, also where it is already. */
export function whenClosed(stream: Writable, listener: () => void): void {
  if (stream.destroyed) listener();
  else stream.once('close', listener);
}

/** The value of a header field that may be there once. */
export function oneOf(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The body of a request; undefined when it is longer than `MAX_BODY_BYTES`, or the client has gone. */
export async function readBody(stream: AsyncIterable<unknown>): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      if (!(chunk instanceof Uint8Array)) continue;
      size += chunk.length;
      if (size > MAX_BODY_BYTES) return undefined;
      chunks.push(Buffer.from(chunk));
    }
  } catch {
    // The client has gone; no answer is needed.
    return undefined;
  }
  return Buffer.concat(chunks).toString('utf8');
}

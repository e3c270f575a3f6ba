import { ORIG_PROTO, PROXY_CONNECTION, PROXY_ERROR } from '../../api/linkerd/proxy-fields.ts';
import { failureFields, type ProxyFailure } from '../http/failures.ts';
import { type Field, makeField } from '../http/fields.ts';
import { type Http2Request, statusField } from '../http2/message.ts';
import type { Http2Stream } from '../http2/stream.ts';

/** A failure that a client is told of, over HTTP/2. */
export interface Http2Refusal {
  readonly failure: ProxyFailure;
  /** Undefined: what came is no request. */
  readonly request: Http2Request | undefined;
  /** As `Session.plainClient`. */
  readonly plainClient: boolean | undefined;
}

/** Answers a call of gRPC in the target's stead: its trailers, and nothing else. */
export function answerGrpc(stream: Http2Stream, refusal: Http2Refusal): void {
  const { failure } = refusal;
  const message = asField(failure.message);
  const head = [
    statusField(200),
    makeField('content-type', 'application/grpc'),
    makeField('grpc-status', String(failure.grpc)),
    makeField('grpc-message', message.replaceAll('%', '%25')),
    ...forProxy(refusal, message),
    ...failureFields(failure),
  ];
  stream.head(head, true);
}

/** Answers any other request in the target's stead: a status, and why in a line. */
export function answerText(stream: Http2Stream, refusal: Http2Refusal): void {
  const { failure, request } = refusal;
  const body = Buffer.from(`${failure.message}\n`);
  const { version, method } = request ?? { version: 'HTTP/2', method: 'GET' };
  const head = [
    statusField(failure.status),
    makeField('content-type', 'text/plain; charset=utf-8'),
    makeField('content-length', String(body.length)),
    ...forProxy(refusal, asField(failure.message)),
    ...failureFields(failure),
  ];
  if (version !== 'HTTP/2') head.push(makeField(ORIG_PROTO, version));
  stream.head(head, method === 'HEAD');
  if (method === 'HEAD') return;
  stream.write(body);
  stream.end();
}

function asField(message: string): string {
  return message.replace(/[^\x20-\x7e]/g, '?');
}

/**
 * The fields that a mesh proxy reads, and takes out before its application sees the response (wire protocol
 * 1.6): why it failed, and whether to close the application's connection. A plain client gets the first.
 */
function forProxy({ failure, plainClient }: Http2Refusal, message: string): Field[] {
  const error = makeField(PROXY_ERROR, message);
  const closes = failure.closesProxyConnection && plainClient !== true;
  return closes ? [error, makeField(PROXY_CONNECTION, 'close')] : [error];
}

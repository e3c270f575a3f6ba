import { PROXY_CONNECTION, PROXY_ERROR } from '../../api/linkerd/proxy-fields.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { ResponseHead } from './head.ts';

/**
 * A response in the target's stead that says why.
 * @param bodiless it answers HEAD
 * @param close whether the connection ends behind it
 * @param meshed whether the client is a mesh proxy
 */
// oxlint-disable-next-line max-params -- what a response depends on
export function failureResponse(
  failure: ProxyFailure,
  bodiless: boolean,
  close: boolean,
  meshed: boolean,
): Buffer {
  const body = `${failure.message}\n`;
  const header = failure.message.replace(/[^\x20-\x7e]/g, '?');
  const lines = [
    `HTTP/1.1 ${failure.status} ${failure.kind}`,
    'content-type: text/plain; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `${PROXY_ERROR}: ${header}`,
    ...failure.fields.map(([name, value]) => `${name}: ${value}`),
    ...(meshed && failure.leaves ? [`${PROXY_CONNECTION}: close`] : []),
    ...(close ? ['connection: close'] : []),
  ];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${bodiless ? '' : body}`);
}

/**
 * What is said where an endpoint's connection ended and its answer was not whole.
 * @param response what has come of it @param error how it broke, if it did
 */
export function lostConnection(
  label: string,
  response: ResponseHead | undefined,
  error: Error | undefined,
): ProxyFailure {
  const when = response === undefined ? 'before it answered' : 'in the middle of its answer';
  const why = error === undefined ? `closed the connection ${when}` : error.message;
  return new ProxyFailure('connection failed', `${label}: the endpoint ${why}`, error);
}

import { PROXY_CONNECTION, PROXY_ERROR } from '../../api/linkerd/proxy-fields.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { ResponseHead } from './head.ts';

/**
 * The response to a request that could not be carried: status and message of the failure, as bytes.
 * @param bodiless whether it answers a HEAD request
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
    ...(meshed && failure.closesProxyConnection ? [`${PROXY_CONNECTION}: close`] : []),
    ...(close ? ['connection: close'] : []),
  ];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${bodiless ? '' : body}`);
}

/**
 * The failure of a request whose endpoint's connection ended before the response was complete.
 * @param label the service, `name:port`
 * @param response its head, where that has come
 * @param error the connection's error; undefined where it was closed in order
 */
export function lostConnection(
  label: string,
  response: ResponseHead | undefined,
  error: Error | undefined,
): ProxyFailure {
  const when = response === undefined ? 'before it answered' : 'in the middle of its answer';
  const what =
    error === undefined
      ? `the endpoint closed the connection ${when}`
      : `the connection to the endpoint was lost ${when}: ${error.message}`;
  return new ProxyFailure('connection failed', `${label}: ${what}`, error, { lost: true });
}

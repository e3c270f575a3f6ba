import type { Socket } from 'node:net';
import { http } from '../../base/node-http.ts';
import { DRAIN_FIELD } from '../../api/failover/drain-header.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import {
  type ProbeAnswer,
  ProbeAttempt,
  authorityOf,
  type Dialer,
  MAX_HEAD_BYTES,
  networkFailure,
  systemCode,
} from './probe-attempt.ts';

/** First bytes of a TLS alert record, with which a TLS server answers a plain-text request. */
const TLS_ALERT = [0x15, 0x03] as const;

/**
 * Sends one `GET` over HTTP/1.1 without TLS, on a connection of its own. The head of the response is the
 * answer; the body is not read.
 */
export function tryPlain(
  target: { readonly host: string; readonly port: number; readonly path: string },
  dial: Dialer,
  signal: AbortSignal,
): Promise<ProbeAnswer> {
  let socket: Socket | undefined;
  let connected = false;
  const attempt = new ProbeAttempt(signal, (error) => explain(error, connected, socket?.bytesRead ?? 0));
  return attempt.run(() => {
    const opened = attempt.own(dial(target));
    socket = opened;
    connected = !opened.connecting && !opened.destroyed;
    opened.once('connect', () => (connected = true));
    const request = attempt.own(
      http.request({
        // No `agent`: with one, even `false`, Node would open a connection of its own.
        createConnection: () => opened,
        method: 'GET',
        path: target.path,
        headers: { host: authorityOf(target), connection: 'close', 'user-agent': 'linkspan-probe' },
        maxHeaderSize: MAX_HEAD_BYTES,
      }),
    );
    request.once('response', ({ statusCode = 0, headers }) =>
      attempt.settle({ status: statusCode, drain: headers[DRAIN_FIELD] }),
    );
    request.once('upgrade', () => attempt.settle({ status: 101 }));
    request.once('close', () => attempt.fail(new Error('it closed the connection')));
    request.end();
  });
}

function explain(error: unknown, connected: boolean, bytesRead: number): ProbeAnswer {
  const network = networkFailure(error);
  if (network !== undefined) return network;
  const code = systemCode(error);
  // A reset may be told before the `connect` event.
  if ((connected || code === 'ECONNRESET') && bytesRead === 0) {
    const message = 'it accepted the connection and closed it without an answer';
    return { reason: 'ProbeBroken', message, wrongProtocol: true };
  }
  if (isTlsAlert(error)) return { reason: 'ProbeBroken', message: 'it speaks TLS only', wrongProtocol: true };
  if (code === 'HPE_HEADER_OVERFLOW')
    return { reason: 'ProbeBroken', message: `its answer has more than ${MAX_HEAD_BYTES} bytes of headers` };
  if (code.startsWith('HPE_')) return { reason: 'ProbeBroken', message: 'its answer is not HTTP/1.1' };
  if (bytesRead > 0) return { reason: 'ProbeBroken', message: 'it closed the connection within its answer' };
  return { reason: 'ProbeBroken', message: messageOf(error) };
}

function isTlsAlert(error: unknown): boolean {
  const packet = (error as { rawPacket?: unknown }).rawPacket;
  return packet instanceof Uint8Array && TLS_ALERT.every((byte, index) => packet[index] === byte);
}

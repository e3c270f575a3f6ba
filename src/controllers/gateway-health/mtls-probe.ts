import { ORIG_PROTO } from '../../api/linkerd/proxy-fields.ts';
import http2 from 'node:http2';
import tls from 'node:tls';
import { DRAIN_FIELD } from '../../api/failover/drain-header.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { Identity } from '../../identity/sources/identity.ts';
import { peerRefusalOf } from '../../identity/trust/trust.ts';
import {
  type ProbeAnswer,
  ProbeAttempt,
  authorityOf,
  type Dialer,
  MAX_HEAD_BYTES,
  networkFailure,
  systemCode,
} from './probe-attempt.ts';

/** What is asked for, and whom. */
export interface MtlsTarget {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly identity: string;
}

/**
 * Sends one `GET` as Linkerd's client proxy sends it (wire protocol 1.8): TLS 1.3 with our leaf, SNI = the
 * gateway's identity, no ALPN, then HTTP/2 with prior knowledge and `l5d-orig-proto: HTTP/1.1`. The peer's
 * chain must end at an anchor that may vouch for the identity, and its certificate must have that identity.
 * @param now milliseconds since the epoch
 */
export function tryMtls(
  target: MtlsTarget,
  own: Identity,
  dial: Dialer,
  signal: AbortSignal,
  now: number,
): Promise<ProbeAnswer> {
  let proven = false;
  const attempt = new ProbeAttempt(signal, (error) => explain(error, proven));
  return attempt.run(() => {
    const tcp = attempt.own(dial(target));
    const secure = attempt.own(
      tls.connect({
        socket: tcp,
        minVersion: 'TLSv1.3',
        // A server name is a DNS name; a SPIFFE identity cannot be asked for (RFC 6066 section 3).
        ...(target.identity.includes('://') ? {} : { servername: target.identity }),
        cert: own.cert,
        key: own.key,
        ca: own.ca,
        allowPartialTrustChain: true,
        rejectUnauthorized: true,
        // `peerRefusalOf` checks it below, where the chain can be seen too.
        checkServerIdentity: () => undefined,
      }),
    );
    secure.once('close', () => attempt.fail(closedError()));
    secure.once('secureConnect', () => {
      const refusal = peerRefusalOf(secure, own, now, target.identity);
      if (refusal !== undefined) return attempt.fail(new Error(refusal));
      proven = true;
      ask(attempt, secure, target);
    });
  });
}

function ask(attempt: ProbeAttempt, secure: tls.TLSSocket, target: MtlsTarget): void {
  const session = attempt.own(
    http2.connect(`http://${authorityOf(target)}`, {
      createConnection: () => secure,
      settings: { enablePush: false, maxHeaderListSize: MAX_HEAD_BYTES },
      maxSessionMemory: 1,
    }),
  );
  const request = attempt.own(
    session.request(
      { ':method': 'GET', ':path': target.path, [ORIG_PROTO]: 'HTTP/1.1' },
      { endStream: true },
    ),
  );
  request.once('response', (headers) =>
    attempt.settle({ status: headers[':status'] ?? 0, drain: headers[DRAIN_FIELD] }),
  );
  request.once('close', () => attempt.fail(closedError()));
}

function closedError(): Error {
  return Object.assign(new Error('closed'), { code: 'ECONNRESET' });
}

/** OpenSSL's codes for an answer that is not TLS. */
const NOT_TLS = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG']);
const CLOSED = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);

function explain(error: unknown, proven: boolean): ProbeAnswer {
  const network = networkFailure(error);
  if (network !== undefined) return network;
  const code = systemCode(error);
  if (!proven && NOT_TLS.has(code))
    return { reason: 'ProbeIdentity', message: 'it does not speak TLS', wrongProtocol: true };
  if (CLOSED.has(code)) {
    const when = proven
      ? "it closed the connection after the TLS handshake; it may not trust the controller's certificate"
      : 'it closed the connection';
    return { reason: 'ProbeBroken', message: when, wrongProtocol: !proven };
  }
  // A TLS 1.3 server refuses our certificate only after the handshake is complete on our side.
  if (!proven || code.startsWith('ERR_SSL_'))
    return { reason: 'ProbeIdentity', message: `mTLS failed: ${messageOf(error)}` };
  return { reason: 'ProbeBroken', message: `with mTLS: ${messageOf(error)}` };
}

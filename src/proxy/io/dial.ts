import net from 'node:net';
import tls from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { Field } from '../http/fields.ts';
import type { SessionProtocol } from '../http/messages.ts';
import type { Connection } from './connection.ts';
import { SocketConnection, TLS_BELOW } from './socket-connection.ts';
import type { Boundary } from '../http/failure-boundary.ts';
import type { ConnectionCounters } from '../metrics/connection-counters.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { DialAddress } from './dial-address.ts';

/** Time to connect, TLS included; Linkerd's outbound default is 1 s. */
export const CONNECT_TIMEOUT_MS = 1000;

export interface DialOptions {
  /** The service, for messages: `name:port`. */
  readonly label: string;
  /** Where connections are counted; asked for with each. */
  readonly counters: () => ConnectionCounters;
  /** Where exceptions that nobody foresaw end. */
  readonly boundary: Boundary;
  readonly clock: Clock;
  readonly timeoutMs?: number;
}

/** Plain TCP, as a gateway reaches the pods of its own cluster. */
export function plainDial(options: DialOptions): Dial {
  return ({ host, port }) => {
    const socket = net.connect({ host, port, allowHalfOpen: true });
    return connected(options, { host, port }, { socket, event: 'connect', refuses: () => undefined });
  };
}

/** What TLS needs to know; asked for each connection, so that a renewed certificate serves the next one. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface TlsOptions<Own extends TlsIdentity = TlsIdentity> extends DialOptions {
  readonly identity: () => Own | undefined;
  /** Server name to ask for; with Linkerd this is the identity that is expected. */
  readonly serverName: string;
  /**
   * Protocols to offer (ALPN), the preferred one first; absent: none is offered, as Linkerd's proxies do to
   * an application's port.
   */
  readonly alpn?: readonly string[];
  /**
   * Why the peer is not whom we mean, or not to be believed; undefined = it is. Its chain has been verified
   * to end at one of the anchors of `own`, which is what we have shown.
   */
  readonly refuses: (socket: tls.TLSSocket, own: Own) => string | undefined;
  /** Told of each connection whose peer is believed. */
  readonly onProven?: (connection: Connection, socket: tls.TLSSocket) => void;
}

export interface TlsDialOptions<Own extends TlsIdentity = TlsIdentity> extends TlsOptions<Own> {
  /** First bytes on the connection, if any: the transport header. */
  readonly preface?: Buffer;
}

/** Opens connections with TLS and says what their peers are to hear first. */
export function tlsDial<Own extends TlsIdentity>(options: TlsDialOptions<Own>): Dial {
  return async (endpoint) => {
    const { connection } = await tlsConnect(options, endpoint);
    if (options.preface !== undefined) connection.send(options.preface);
    return connection;
  };
}

/**
 * TLS 1.3 with both sides proven. The certificate's chain must end at the trust anchors and it must hold the
 * expected identity; host names play no part (wire protocol 1.2).
 * @returns the connection, paused, and what its peer has picked of the protocols that were offered
 * @throws ProxyFailure `connection failed` or `connect timeout`; `internal error` for what nobody foresaw
 */
export async function tlsConnect<Own extends TlsIdentity>(
  options: TlsOptions<Own>,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<{ readonly connection: Connection; readonly protocol: string | undefined }> {
  const identity = options.identity();
  if (identity === undefined)
    throw new ProxyFailure('connection failed', `${options.label}: this process has no certificate yet`);
  // @types/node does not list allowHalfOpen here; tls.connect has it.
  const below =
    TLS_BELOW && net.isIP(host) > 0 ? net.connect({ host, port, allowHalfOpen: true }) : undefined;
  const settings: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
    ...(below === undefined ? { host, port } : { socket: below }),
    allowHalfOpen: true,
    minVersion: 'TLSv1.3',
    servername: options.serverName,
    ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
    cert: identity.cert,
    key: identity.key,
    ca: identity.ca,
    allowPartialTrustChain: true,
    // Asked by `refuses`, which sees the chain too.
    checkServerIdentity: () => undefined,
  };
  const socket = tls.connect(settings);
  const refuses = () => options.refuses(socket, identity);
  const opening = { socket, event: 'secureConnect', refuses, below } as const;
  const connection = await connected(options, { host, port }, opening);
  try {
    options.onProven?.(connection, socket);
  } catch (error) {
    connection.destroy();
    throw options.boundary.caught(error);
  }
  const protocol = socket.alpnProtocol;
  return { connection, protocol: typeof protocol === 'string' ? protocol : undefined };
}

function connected(
  options: DialOptions,
  endpoint: { readonly host: string; readonly port: number },
  opening: {
    readonly socket: net.Socket;
    readonly event: 'connect' | 'secureConnect';
    readonly refuses: () => string | undefined;
    /** The TCP socket below TLS, where it is one of its own. */
    readonly below?: net.Socket | undefined;
  },
): Promise<Connection> {
  const { socket, event, refuses, below } = opening;
  const { clock, counters, boundary, label, timeoutMs = CONNECT_TIMEOUT_MS } = options;
  const where = `${label}: ${endpoint.host}:${endpoint.port}`;
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => {
      reject(
        new ProxyFailure('connect timeout', `${where} did not accept a connection within ${timeoutMs} ms`),
      );
      socket.destroy();
    });
    const fail = (error: Error) => {
      timer.cancel();
      // First, for a socket may tell of its end before `destroy` returns.
      reject(
        new ProxyFailure('connection failed', `${where} cannot be connected to: ${messageOf(error)}`, error),
      );
      socket.destroy();
    };
    socket.once('error', fail);
    // What is below tells of itself why it cannot connect.
    below?.on('error', fail);
    socket.once('close', () => fail(new Error('it closed the connection')));
    socket.once(event, () => {
      let refusal: string | undefined;
      try {
        refusal = refuses();
      } catch (error) {
        timer.cancel();
        socket.destroy();
        return reject(boundary.caught(error));
      }
      if (refusal !== undefined) return fail(new Error(refusal));
      timer.cancel();
      socket.removeAllListeners('error');
      socket.removeAllListeners('close');
      const connection = new SocketConnection(socket, boundary, below);
      counters().follow(connection);
      // Nothing may be lost before somebody listens.
      connection.pause();
      resolve(connection);
    });
  });
}

/**
 * Opens a connection to an endpoint, ready for the application's bytes.
 * @param protocol what will be spoken on it
 * @param client on whose behalf, where the endpoint is to be told; such a connection is `personal`
 * @throws ProxyFailure `connection failed` or `connect timeout`
 */
export type Dial = (endpoint: DialAddress, protocol: SessionProtocol, client?: Field) => Promise<Connection>;

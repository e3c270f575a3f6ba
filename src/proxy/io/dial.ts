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

/** Default time to connect, TLS included, milliseconds; Linkerd's outbound default. */
export const CONNECT_TIMEOUT_MS = 1000;

/** What every dial of one service has in common. */
export interface DialOptions {
  /** The service, for messages: `name:port`. */
  readonly label: string;
  /** Where connections are counted; called for each (`ProxyCounters.endpointOf` says why). */
  readonly counters: () => ConnectionCounters;
  /** Where exceptions that nobody foresaw end. */
  readonly boundary: Boundary;
  readonly clock: Clock;
  readonly timeoutMs?: number;
}

/** Opens connections with plain TCP, as a gateway reaches pods of its own cluster that have no mesh proxy. */
export function plainDial(options: DialOptions): Dial {
  return ({ host, port }) => {
    const socket = net.connect({ host, port, allowHalfOpen: true });
    return connected(options, { host, port }, { socket, event: 'connect', refuses: () => undefined });
  };
}

/** Our certificate chain, its key, and the trust anchors of peers, as PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** As `DialOptions`, with our identity and the peer's. `Own` is what `identity` gives, for `refuses`. */
export interface TlsOptions<Own extends TlsIdentity = TlsIdentity> extends DialOptions {
  /**
   * Called for each connection, so that a renewed certificate serves the next one; undefined: there is none
   * yet.
   */
  readonly identity: () => Own | undefined;
  /** Server name (SNI); with Linkerd the identity that is expected. */
  readonly serverName: string;
  /**
   * Protocols to offer (ALPN), the preferred one first; absent: none is offered, as Linkerd's proxies do to
   * an application's port.
   */
  readonly alpn?: readonly string[];
  /**
   * Why the peer is refused; undefined: it is the expected one. TLS has verified already that its chain ends
   * at one of the anchors of `own`, which is the identity that we have shown.
   */
  readonly refuses: (socket: tls.TLSSocket, own: Own) => string | undefined;
  /** Called for each connection whose peer is not refused. */
  readonly onProven?: (connection: Connection, socket: tls.TLSSocket) => void;
}

/** As `TlsOptions`, with what is sent first. */
export interface TlsDialOptions<Own extends TlsIdentity = TlsIdentity> extends TlsOptions<Own> {
  /** First bytes on the connection, if any: the transport header. */
  readonly preface?: Buffer;
}

/** Opens connections with TLS, as `tlsConnect`, and sends the preface on each. */
export function tlsDial<Own extends TlsIdentity>(options: TlsDialOptions<Own>): Dial {
  return async (endpoint) => {
    const { connection } = await tlsConnect(options, endpoint);
    if (options.preface !== undefined) connection.send(options.preface);
    return connection;
  };
}

/**
 * Opens a connection with TLS 1.3, both sides with certificates. The peer's chain must end at the trust
 * anchors, and `refuses` must accept its identity; host names play no part (wire protocol 1.2).
 * @returns the connection, paused, and the protocol that its peer has picked (ALPN)
 * @throws ProxyFailure `connection failed` or `connect timeout`; `internal error` for what nobody foresaw
 */
export async function tlsConnect<Own extends TlsIdentity>(
  options: TlsOptions<Own>,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<{ readonly connection: Connection; readonly protocol: string | undefined }> {
  const identity = options.identity();
  if (identity === undefined)
    throw new ProxyFailure('connection failed', `${options.label}: this process has no certificate yet`);
  // A TCP socket of our own, where that is what `abort` can reset; for a host name, `tls.connect` makes it.
  const below =
    TLS_BELOW && net.isIP(host) > 0 ? net.connect({ host, port, allowHalfOpen: true }) : undefined;
  // tls.connect takes allowHalfOpen, which @types/node does not list.
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
    // `refuses` checks it, which sees the whole chain.
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
      // Rejected before `destroy`, which may emit `close`, with a less telling error, before it returns.
      reject(
        new ProxyFailure('connection failed', `${where} cannot be connected to: ${messageOf(error)}`, error),
      );
      socket.destroy();
    };
    socket.once('error', fail);
    // The TCP socket below TLS emits its own errors; the TLS socket would only close.
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
      // Nothing may be read, and lost, before somebody listens.
      connection.pause();
      resolve(connection);
    });
  });
}

/** What an endpoint is told of a connection, where it is one that listens. */
export interface ToldOfConnection {
  /** Whom it is for; such a connection is `personal`. */
  readonly client?: Field | undefined;
  /** To how many other targets what it carries could go instead; absent: nothing is said. */
  readonly alternatives?: number | undefined;
}

/**
 * Opens a connection to an endpoint, ready for the application's bytes.
 * @param protocol that will be spoken on it
 * @throws ProxyFailure `connection failed` or `connect timeout`
 */
export type Dial = (
  endpoint: DialAddress,
  protocol: SessionProtocol,
  told?: ToldOfConnection,
) => Promise<Connection>;

import { listenOn } from '../../base/listen.ts';
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import type { SocketAddress } from '../../base/address.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { Identity, IdentitySource } from '../../identity/sources/identity.ts';
import type { OpenPeers } from '../../identity/trust/open-peers.ts';
import { identityIn, peerCertificate } from '../../identity/x509/peer-certificate.ts';
import { lostTrust, trustOf } from '../../identity/trust/trust.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import { type Connection, endCarried } from '../../proxy/io/connection.ts';
import { SocketConnection, TLS_BELOW } from '../../proxy/io/socket-connection.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { ConnectionAdmission, Ticket } from '../../base/connection-admission.ts';

/** What a port does with a connection after its handshake. */
export interface Acceptor {
  /** Offered ALPN protocols, the preferred one first; empty = no ALPN. */
  readonly alpn: readonly string[];
  /** Whether one of them must be negotiated. */
  readonly alpnRequired: boolean;
  /** Whether the client's server name (SNI) must be the gateway's identity. */
  readonly named: boolean;
  /**
   * Takes a connection whose client has proven its identity.
   * @param protocol by ALPN; undefined = none was negotiated
   */
  admit(connection: Connection, clientIdentity: string, protocol: string | undefined): void;
}

/** A port of the gateway, and what it shares with the others. */
export interface ListenerOptions {
  readonly address: SocketAddress;
  readonly identity: IdentitySource;
  /** Ends connections by age, and when their clients are not trusted any more. */
  readonly peers: OpenPeers;
  readonly clock: Clock;
  readonly counters: ProxyCounters;
  readonly log: Logger;
  readonly acceptor: Acceptor;
  /** Time for the handshake, milliseconds; default 10,000 (Linkerd's detect timeout). */
  readonly detectTimeoutMs?: number;
  /** Limits of connections before and after their handshake; shared by all ports of a process. */
  readonly admission: ConnectionAdmission;
  /** Several processes take connections from the same port (SO_REUSEPORT); default false. */
  readonly reusePort?: boolean;
}

/**
 * No session tickets: a resumed session is accepted without verifying the client's certificate, possibly
 * hours after it has expired or its anchor was removed. Linkerd's proxies do not resume sessions either.
 */
const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET;

/** A connection that has been accepted and not refused since. */
interface Accepted {
  /** The TCP socket, below TLS. */
  readonly below: Socket;
  readonly ticket: Ticket;
}

/**
 * A port of the gateway: TLS 1.3 with certificates on both sides. A client that fails to authenticate is
 * disconnected without an answer (wire protocol 1.4).
 */
export class MtlsListener {
  readonly #options: ListenerOptions;
  readonly #connections = new Set<Connection>();
  /** All open connections, also before the end of their handshake, by `peerKeyOf`. */
  readonly #accepted = new Map<Socket | string, Accepted>();
  /** Connections that were ended here during their handshake, and whose tlsClientError is still to come. */
  #dropped = 0;
  #server: tls.Server | undefined;
  /**
   * The gateway's identity in lower case, since server names are compared without case (RFC 6066 section 3).
   */
  #serverName = '';
  #unsubscribe: () => void = () => undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Open connections whose handshake is done. */
  get size(): number {
    return this.#connections.size;
  }

  /**
   * Binds the port. Connections are served once there is a certificate.
   * @throws LinkspanError of `listenOn`
   */
  async listen(): Promise<SocketAddress> {
    const { address, identity, acceptor } = this.#options;
    const { detectTimeoutMs = 10_000 } = this.#options;
    const server = tls.createServer({
      allowHalfOpen: true,
      minVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: true,
      allowPartialTrustChain: true,
      secureOptions: SECURE_OPTIONS,
      ...(acceptor.alpn.length === 0 ? {} : { ALPNProtocols: [...acceptor.alpn] }),
      handshakeTimeout: detectTimeoutMs,
      SNICallback: (name, callback) => {
        // Linkerd's server routes by SNI: a client that asks for another name is not answered.
        if (!acceptor.named || name.toLowerCase() === this.#serverName) callback(null);
        else callback(new Error('unknown server name'));
      },
    });
    this.#server = server;
    this.#renew(identity.current());
    this.#unsubscribe = identity.subscribe(() => this.#renew(identity.current()));
    server.on('connection', (socket: Socket) => this.#safely(socket, () => this.#accept(socket)));
    server.on('tlsClientError', (error, socket) => {
      // A socket that was destroyed here has no port any more, and has been counted already.
      if (this.#dropped > 0 && socket.remotePort === undefined) this.#dropped--;
      else this.#refuse(handshakeFailure(error, socket), messageOf(error));
      // Node only reports a handshake that times out, and leaves the socket open.
      socket.destroy();
    });
    server.on('secureConnection', (socket) => this.#safely(socket, () => this.#admit(socket)));
    await listenOn(server, address, { reusePort: this.#options.reusePort ?? false });
    const bound = server.address();
    return {
      host: address.host,
      port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    };
  }

  /** Accepts no more connections; open ones go on. */
  stopAccepting(): void {
    this.#unsubscribe();
    this.#server?.close();
  }

  /** Cuts every connection. */
  destroy(): void {
    for (const connection of this.#connections) connection.abort();
    // Also connections in their handshake, which have no acceptor yet and may take longer than the grace
    // period.
    for (const { below } of this.#accepted.values()) below.destroy();
  }

  /**
   * Uses a renewed certificate for new connections; open ones go on for as long as their clients are trusted
   * (`OpenPeers`).
   */
  #renew(identity: Identity | undefined): void {
    if (identity === undefined || this.#server === undefined) return;
    const { cert, key, ca } = identity;
    this.#server.setSecureContext({
      cert,
      key,
      ca,
      minVersion: 'TLSv1.3',
      allowPartialTrustChain: true,
      secureOptions: SECURE_OPTIONS,
    });
    this.#serverName = identity.name.toLowerCase();
  }

  /** Admits a new TCP connection to its handshake, by its address. */
  #accept(socket: Socket): void {
    if (this.#serverName === '') return this.#turnAway(socket, 'no certificate');
    const key = peerKeyOf(socket);
    const ticket = this.#options.admission.enter(socket.remoteAddress ?? '', () =>
      this.#turnAway(socket, 'handshake evicted'),
    );
    if (ticket === undefined) return this.#turnAway(socket, 'too many connections');
    const accepted = { below: socket, ticket };
    this.#accepted.set(key, accepted);
    socket.once('close', () => {
      if (this.#accepted.get(key) === accepted) this.#accepted.delete(key);
      ticket.leave();
    });
  }

  /** Runs work for a new connection; an exception ends that connection only. */
  #safely(socket: Socket, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.counters.caught(error);
      socket.destroy();
    }
  }

  /** Ends a connection before its handshake is done. */
  #turnAway(socket: Socket, reason: string): void {
    this.#dropped++;
    this.#drop(socket, reason);
  }

  #admit(socket: tls.TLSSocket): void {
    const { counters, acceptor, peers } = this.#options;
    const accepted = this.#accepted.get(peerKeyOf(socket));
    accepted?.ticket.admit();
    const protocol = typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : undefined;
    if (acceptor.alpnRequired && protocol === undefined)
      return this.#drop(socket, 'no transport header negotiated');
    // Checked again here, because the SNI callback is not called for a client without SNI.
    if (acceptor.named && serverNameOf(socket) !== this.#serverName)
      return this.#drop(socket, 'no server name');
    const certificate = peerCertificate(socket);
    const clientIdentity = certificate === undefined ? undefined : identityIn(certificate);
    if (clientIdentity === undefined) return this.#drop(socket, 'no client identity');
    const foreign = this.#foreign(socket);
    if (foreign !== undefined) return this.#drop(socket, 'client certificate', foreign);
    const connection = new SocketConnection(socket, counters, accepted?.below);
    this.#connections.add(connection);
    counters.client.follow(connection);
    connection.whenClosed(() => this.#connections.delete(connection));
    try {
      acceptor.admit(connection, clientIdentity, protocol);
      peers.add(connection, socket);
    } catch (error) {
      endCarried(connection, counters, counters.caught(error));
    }
  }

  /**
   * Why a client is not trusted although its certificate's chain ends at an anchor: the anchor may vouch for
   * another trust domain only (ADR 0028). Undefined: it is trusted.
   */
  #foreign(socket: tls.TLSSocket): string | undefined {
    const { identity, clock } = this.#options;
    const own = identity.current();
    if (own === undefined || trustOf(own).simple) return undefined;
    return lostTrust(socket, own, clock.now());
  }

  #drop(socket: Socket, reason: string, detail = ''): void {
    this.#refuse(reason, detail);
    // A client without ALPN may still be in its handshake; errors of the destroyed socket must not be
    // uncaught.
    socket.on('error', () => undefined);
    socket.destroy();
  }

  #refuse(reason: string, detail: string): void {
    this.#options.counters.refuse(reason);
    this.#options.log.debug({ reason, detail }, 'connection refused');
  }
}

/**
 * A key that a TCP socket and its TLS socket share: on Bun they are one object; Node reports the one first
 * and then the other.
 */
function peerKeyOf(socket: Socket): Socket | string {
  if (!TLS_BELOW) return socket;
  const { remoteAddress, remotePort } = socket;
  return `${remoteAddress ?? ''} ${remotePort ?? 0}`;
}

/** The client's server name (SNI), in lower case; undefined = none. */
function serverNameOf(socket: tls.TLSSocket): string | undefined {
  const { servername } = socket as { servername?: unknown };
  return typeof servername === 'string' ? servername.toLowerCase() : undefined;
}

/** Why a handshake failed, as one of a few words for the metric's label. */
function handshakeFailure(error: NodeJS.ErrnoException, socket: tls.TLSSocket): string {
  if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'handshake timeout';
  const none = error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
  return none || (socket.authorizationError as unknown) ? 'client certificate' : 'tls';
}

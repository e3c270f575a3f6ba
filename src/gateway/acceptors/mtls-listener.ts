import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { formatAddress, type SocketAddress } from '../../base/address.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import type { Identity, IdentitySource } from '../../identity/sources/identity.ts';
import type { OpenPeers } from '../../identity/trust/open-peers.ts';
import { identityIn, peerCertificate } from '../../identity/x509/peer-certificate.ts';
import { lostTrust, trustOf } from '../../identity/trust/trust.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import { type Connection, endCarried } from '../../proxy/io/connection.ts';
import { SocketConnection, TLS_BELOW } from '../../proxy/io/socket-connection.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { ConnectionAdmission, Ticket } from '../../base/connection-admission.ts';

/** What lies behind the handshake of a port. */
export interface Acceptor {
  /** Protocols that are offered (ALPN), the preferred one first; empty = none is looked at. */
  readonly alpn: readonly string[];
  /** Whether a client must have taken one of them. */
  readonly alpnRequired: boolean;
  /** Whether a client must ask for the gateway by its identity (SNI). */
  readonly named: boolean;
  /** Somebody has proven who it is. @param protocol by ALPN; undefined = none was negotiated */
  admit(connection: Connection, clientIdentity: string, protocol: string | undefined): void;
}

export interface ListenerOptions {
  readonly address: SocketAddress;
  readonly identity: IdentitySource;
  /** Looks after the connections whose clients have been let in. */
  readonly peers: OpenPeers;
  readonly clock: Clock;
  readonly counters: ProxyCounters;
  readonly log: Logger;
  readonly acceptor: Acceptor;
  /** Time for the handshake; default 10 s (Linkerd's detect timeout). */
  readonly detectTimeoutMs?: number;
  /** Who may come in before it is known who they are; shared by all ports of a process. */
  readonly admission: ConnectionAdmission;
  /** Several processes take connections from the same port (SO_REUSEPORT); default false. */
  readonly reusePort?: boolean;
}

/**
 * Nobody resumes a session: a ticket would bring a client back without its certificate being looked at, hours
 * after it has expired or its anchor has gone. Linkerd's proxies resume none either.
 */
const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET;

/** A connection that has been let in to say who it is. */
interface Accepted {
  /** The TCP socket, below TLS. */
  readonly below: Socket;
  readonly ticket: Ticket;
}

/**
 * A port of the gateway: TLS 1.3, both sides proven. Whoever fails is disconnected without a word (wire
 * protocol 1.4).
 */
export class MtlsListener {
  readonly #options: ListenerOptions;
  readonly #connections = new Set<Connection>();
  /**
   * All of them, and those that have not come through their handshake; by the address and port of the client.
   */
  readonly #accepted = new Map<Socket | string, Accepted>();
  /** Connections that were ended here in their handshake and of which the server has not told yet. */
  #dropped = 0;
  #server: tls.Server | undefined;
  /** In lower case: DNS names are the same in any (RFC 6066 section 3). */
  #serverName = '';
  #unsubscribe: () => void = () => undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Open connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Binds the port. Connections are served once there is a certificate. @throws LinkspanError PORT_IN_USE */
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
        // Linkerd's server routes on SNI: a client that means somebody else is not answered.
        if (!acceptor.named || name.toLowerCase() === this.#serverName) callback(null);
        else callback(new Error('unknown server name'));
      },
    });
    this.#server = server;
    this.#renew(identity.current());
    this.#unsubscribe = identity.subscribe(() => this.#renew(identity.current()));
    server.on('connection', (socket: Socket) => this.#safely(socket, () => this.#accept(socket)));
    server.on('tlsClientError', (error, socket) => {
      // A socket that was thrown away here has no port any more, and has been counted already.
      if (this.#dropped > 0 && socket.remotePort === undefined) this.#dropped--;
      else this.#refuse(handshakeFailure(error, socket), messageOf(error));
      // A handshake that takes too long is only reported, not ended.
      socket.destroy();
    });
    server.on('secureConnection', (socket) => this.#safely(socket, () => this.#admit(socket)));
    await new Promise<void>((resolve, reject) => {
      // The listener stays after the start: a connection that cannot be accepted is an 'error' too, which
      // would end the process.
      server.on('error', (error) =>
        reject(
          new LinkspanError(
            'PORT_IN_USE',
            `cannot listen on ${formatAddress(address)}: ${messageOf(error)}`,
            { cause: error },
          ),
        ),
      );
      server.listen({ ...address, reusePort: this.#options.reusePort ?? false }, resolve);
    });
    const bound = server.address();
    return {
      host: address.host,
      port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    };
  }

  /** Takes no more connections; those that are open go on. */
  stopAccepting(): void {
    this.#unsubscribe();
    this.#server?.close();
  }

  /** Ends every connection. */
  destroy(): void {
    for (const connection of this.#connections) connection.abort();
    // Connections in their handshake, which no acceptor has seen yet; a handshake may take longer than the
    // grace.
    for (const { below } of this.#accepted.values()) below.destroy();
  }

  /**
   * New connections get the new certificate; open ones live on, as long as their clients are trusted
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

  /** Takes a new connection in for its handshake; all that is known of it is its address. */
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

  /** Runs what looks at a new connection; what it throws costs that connection only. */
  #safely(socket: Socket, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.counters.caught(error);
      socket.destroy();
    }
  }

  /** Ends a connection before its handshake has. */
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
    // Asked for again: a client without SNI never reaches the callback above.
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
   * Why the anchor at the end of the client's chain may not name the client: it is bound to another domain.
   */
  #foreign(socket: tls.TLSSocket): string | undefined {
    const { identity, clock } = this.#options;
    const own = identity.current();
    if (own === undefined || trustOf(own).simple) return undefined;
    return lostTrust(socket, own, clock.now());
  }

  #drop(socket: Socket, reason: string, detail = ''): void {
    this.#refuse(reason, detail);
    // A client that offered no ALPN is in the middle of its own handshake; errors of a socket that is thrown
    // away are of no interest.
    socket.on('error', () => undefined);
    socket.destroy();
  }

  #refuse(reason: string, detail: string): void {
    this.#options.counters.refuse(reason);
    this.#options.log.debug({ reason, detail }, 'connection refused');
  }
}

/**
 * What a TCP socket and the TLS socket above it have in common: on Bun they are one; Node tells of the one
 * first and then of the other.
 */
function peerKeyOf(socket: Socket): Socket | string {
  if (!TLS_BELOW) return socket;
  const { remoteAddress, remotePort } = socket;
  return `${remoteAddress ?? ''} ${remotePort ?? 0}`;
}

/** What a client has asked for, in lower case; undefined = nothing. */
function serverNameOf(socket: tls.TLSSocket): string | undefined {
  const { servername } = socket as { servername?: unknown };
  return typeof servername === 'string' ? servername.toLowerCase() : undefined;
}

/** Why there was no handshake, as one of few words. */
function handshakeFailure(error: NodeJS.ErrnoException, socket: tls.TLSSocket): string {
  if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'handshake timeout';
  const none = error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
  return none || (socket.authorizationError as unknown) ? 'client certificate' : 'tls';
}

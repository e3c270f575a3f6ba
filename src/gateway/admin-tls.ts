import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { Identity, IdentitySource } from '../identity/sources/identity.ts';
import type { TlsLayer } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';

/** Time for the handshake. */
const HANDSHAKE_MS = 10_000;

/**
 * mTLS on the admin port, as the service mirror of another cluster probes it through its client proxy (wire
 * protocol 1.8): TLS 1.3, server name = our identity, no ALPN.
 *
 * A client certificate is asked for and verified when it is given, but not demanded: the same pages are there
 * without TLS, so demanding one would protect nothing, and a cluster whose trust anchors have not been
 * exchanged yet could not tell "not ready" from "not trusted". A wrong certificate is refused: whoever
 * presents one believes to be known here.
 */
export function adminTls(identity: IdentitySource, log: Logger): TlsLayer {
  /**
   * Connections in their handshake by the address of the client: the server says only which TLS socket came
   * of it.
   */
  const waiting = new Map<string, { readonly tcp: Socket; readonly onPlain: (socket: Socket) => void }>();
  let serverName = '';
  const server = tls.createServer({
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
    allowPartialTrustChain: true,
    handshakeTimeout: HANDSHAKE_MS,
    // A client that asks for somebody else is not answered; one that cannot ask (SPIFFE identities are no
    // server names) is.
    SNICallback: (name, callback) =>
      name.toLowerCase() === serverName ? callback(null) : callback(new Error('unknown server name')),
  });
  const renew = (current: Identity | undefined): void => {
    if (current === undefined) return;
    const { cert, key, ca, name } = current;
    server.setSecureContext({ cert, key, ca, minVersion: 'TLSv1.3', allowPartialTrustChain: true });
    serverName = name.toLowerCase();
  };
  renew(identity.current());
  const unsubscribe = identity.subscribe(() => renew(identity.current()));
  server.on('tlsClientError', (error, socket) => {
    log.debug({ reason: error.message }, 'admin connection refused');
    socket.destroy();
  });
  server.on('secureConnection', (socket) => {
    const entry = waiting.get(addressOf(socket));
    if (entry === undefined || refused(socket)) {
      log.debug({ reason: 'bad client certificate' }, 'admin connection refused');
      socket.destroy();
      return;
    }
    socket.on('error', () => socket.destroy());
    socket.once('close', () => entry.tcp.destroy());
    entry.onPlain(socket);
  });
  return {
    accept(tcp, onPlain) {
      // Nothing to prove yet: the certificate is still being waited for.
      if (serverName === '') {
        tcp.destroy();
        return;
      }
      const address = addressOf(tcp);
      waiting.set(address, { tcp, onPlain });
      tcp.once('close', () => waiting.delete(address));
      server.emit('connection', tcp);
    },
    close() {
      unsubscribe();
      server.close();
    },
  };
}

/** A certificate was given and does not verify. */
function refused(socket: tls.TLSSocket): boolean {
  return !socket.authorized && socket.getPeerX509Certificate() !== undefined;
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? 0}`;
}

import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { Identity, IdentitySource } from '../identity/sources/identity.ts';
import type { TlsLayer } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';

/** Time for a handshake, milliseconds. */
const HANDSHAKE_MS = 10_000;

/**
 * mTLS on the admin port, as the service mirror of another cluster probes it through its client proxy (wire
 * protocol 1.8): TLS 1.3, server name = our identity, no ALPN.
 *
 * A client certificate is requested, and verified where there is one, but not required: the same pages are
 * served without TLS, so requiring one would protect nothing, and a cluster whose trust anchors have not been
 * exchanged yet could not tell "not ready" from "not trusted". An invalid certificate is refused, so that its
 * holder learns that it is not trusted.
 */
export function adminTls(identity: IdentitySource, log: Logger): TlsLayer {
  /**
   * Connections in their handshake by the client's address, because the TLS server reports only the resulting
   * TLS socket.
   */
  const waiting = new Map<string, { readonly tcp: Socket; readonly onPlain: (socket: Socket) => void }>();
  let serverName = '';
  const server = tls.createServer({
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
    allowPartialTrustChain: true,
    handshakeTimeout: HANDSHAKE_MS,
    // A client that asks for another server name is refused; one without SNI is not, as a SPIFFE identity is
    // no server name.
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
      // There is no certificate yet.
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

/** Whether the client sent a certificate that does not verify. */
function refused(socket: tls.TLSSocket): boolean {
  return !socket.authorized && socket.getPeerX509Certificate() !== undefined;
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? 0}`;
}

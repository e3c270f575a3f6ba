import { once } from 'node:events';
import type net from 'node:net';
import tls from 'node:tls';
import type { Identity } from '../../src/identity/sources/identity.ts';
import type { SessionProtocol } from '../../src/proxy/http/messages.ts';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { ServiceClient } from './service-client.ts';

/** Where a client of a gateway connects to, and as whom. */
export interface MeshClientOptions {
  readonly port: number;
  readonly gatewayIdentity: string;
  readonly identity: Identity;
}

/**
 * A client whose `checkServerIdentity` looks at nothing: Node makes an object of the server's chain for it,
 * which is a fifth of a handshake's work. What the certificate was signed by is verified as ever.
 */
export function withoutPeerObject(socket: tls.TLSSocket): tls.TLSSocket {
  return Object.assign(socket, { getPeerCertificate: () => ({}) });
}

/** What Linkerd's proxy does as a client of a gateway, with Node's own TLS. */
export class MeshClient extends ServiceClient {
  readonly #options: MeshClientOptions;
  readonly #sockets = new Set<tls.TLSSocket>();
  /** Keys and certificates are read once, not for each connection. */
  readonly #context: tls.SecureContext;

  constructor(options: MeshClientOptions) {
    super();
    this.#options = options;
    const { cert, key, ca } = options.identity;
    this.#context = tls.createSecureContext({ cert, key, ca });
  }

  /**
   * A connection whose transport header has been sent.
   * @param below the TCP connection to the gateway, for who wants to reset it; default: one of its own
   */
  override async connect(
    name: string,
    port: number,
    protocol: SessionProtocol,
    below?: net.Socket,
  ): Promise<tls.TLSSocket> {
    const { gatewayIdentity } = this.#options;
    const settings: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
      ...(below === undefined ? { host: '127.0.0.1', port: this.#options.port } : { socket: below }),
      servername: gatewayIdentity,
      ALPNProtocols: ['transport.l5d.io/v1'],
      secureContext: this.#context,
      checkServerIdentity: () => undefined,
      allowHalfOpen: true,
    };
    const socket = withoutPeerObject(tls.connect(settings));
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    await once(socket, 'secureConnect');
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    // Node's HTTP/2 takes the handle over and fails an assertion when a write is still under way.
    await new Promise((resolve) => socket.write(encodeTransportHeader({ name, port, protocol }), resolve));
    return socket;
  }

  override close(): void {
    super.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

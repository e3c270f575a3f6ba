import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { peerIdentities } from '../../src/identity/x509/peer-certificate.ts';
import { type TransportHeader, TransportHeaderDecoder } from '../../src/proxy/io/transport-header.ts';

/** What a client said before its first byte for the application. */
export interface Hello {
  /** Server name asked for. */
  readonly sni: string;
  /** Protocol agreed on; empty when none was offered. */
  readonly alpn: string;
  /** From the client's certificate. */
  readonly client: string;
  readonly header?: TransportHeader;
}

/**
 * The inbound side of a pod's Linkerd proxy, as far as a client can tell it from the real one: mTLS under its
 * own name, then a transport header, or HTTP/1 or HTTP/2 by the first bytes. The application behind it is one
 * page that says as JSON what the proxy would have told it, and gives raw bytes back behind a greeting.
 */
export class MeshProxy {
  readonly port: number;
  readonly hellos: Hello[] = [];
  readonly #server: tls.Server;
  /** The application, in either protocol. */
  readonly #one: http.Server;
  readonly #two: http2.Http2Server;
  readonly #sockets = new Set<tls.TLSSocket>();

  private constructor(server: tls.Server, one: http.Server, two: http2.Http2Server) {
    this.#server = server;
    this.#one = one;
    this.#two = two;
    this.port = portOf(server);
    server.on('secureConnection', (socket) => this.#admit(socket));
  }

  /** @param port 0: any free one */
  static async start(identity: Identity, host = '127.0.0.1', port = 0): Promise<MeshProxy> {
    const { name, cert, key, ca } = identity;
    const server = tls.createServer({
      cert,
      key,
      ca,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
      allowHalfOpen: true,
      // Whoever offers none is served without, as by the real one on an application's port.
      ALPNProtocols: ['transport.l5d.io/v1'],
      SNICallback: (asked, done) => (asked === name ? done(null) : done(new Error('not me'))),
    });
    const one = http.createServer((request, response) => response.end(answer(request)));
    one.on('upgrade', (_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
    const two = http2.createServer((request, response) => {
      const spoken = request.headers['l5d-orig-proto'];
      if (spoken !== undefined) response.setHeader('l5d-orig-proto', spoken);
      response.end(answer(request));
    });
    server.listen(port, host);
    one.listen(0, '127.0.0.1');
    two.listen(0, '127.0.0.1');
    await Promise.all([server, one, two].map((each) => once(each, 'listening')));
    return new MeshProxy(server, one, two);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    for (const each of [this.#server, this.#one, this.#two]) each.close();
  }

  #admit(socket: tls.TLSSocket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => this.#sockets.delete(socket));
    const { servername } = socket as { servername?: unknown };
    const hello = {
      sni: String(servername),
      alpn: socket.alpnProtocol === false ? '' : (socket.alpnProtocol ?? ''),
      client: peerIdentities(socket.getPeerX509Certificate()?.raw ?? Buffer.alloc(0))[0] ?? '',
    };
    if (hello.alpn !== '') {
      this.#header(socket, hello);
      return;
    }
    this.hellos.push(hello);
    socket.once('data', (first: Buffer) => {
      const application = net.connect(
        portOf(first.toString('latin1', 0, 3) === 'PRI' ? this.#two : this.#one),
      );
      application.on('error', () => undefined).once('close', () => socket.destroy());
      socket.once('close', () => application.destroy());
      application.write(first);
      socket.pipe(application).pipe(socket);
    });
  }

  #header(socket: tls.TLSSocket, hello: Hello): void {
    const decoder = new TransportHeaderDecoder();
    const read = (chunk: Buffer) => {
      const found = decoder.push(chunk);
      if (found === undefined) return;
      socket.off('data', read);
      this.hellos.push({ ...hello, header: found.header });
      socket.write('greeting ');
      socket.write(found.rest);
      socket.pipe(socket);
    };
    socket.on('data', read);
  }
}

function portOf(server: { address(): unknown }): number {
  return (server.address() as AddressInfo).port;
}

function answer({
  headers,
  httpVersion,
  method,
  url,
}: http.IncomingMessage | http2.Http2ServerRequest): string {
  return JSON.stringify({ httpVersion, method, url, headers });
}

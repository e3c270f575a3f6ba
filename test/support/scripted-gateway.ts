import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import tls from 'node:tls';
import { STREAMS_ALPN } from '../../src/api/names.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import type { Field } from '../../src/proxy/http/fields.ts';
import { Http2Connection } from '../../src/proxy/http2/http2-connection.ts';
import type { Http2User } from '../../src/proxy/http2/http2-options.ts';
import { statusField } from '../../src/proxy/http2/message.ts';
import type { Http2Stream } from '../../src/proxy/http2/stream.ts';
import type { Connection } from '../../src/proxy/io/connection.ts';
import { SocketConnection } from '../../src/proxy/io/socket-connection.ts';
import { eventually } from './eventually.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** In virtual time nobody answers as fast as the clock runs. */
export const NEVER = 1e9;

/** A user of a connection that takes nothing. */
export const NOBODY: Http2User<Http2Connection> = {
  onRequest: () => undefined,
  onTooLarge: () => undefined,
  onStreamClosed: () => undefined,
  onGoAway: () => undefined,
  onClosed: () => undefined,
};

/** A gateway that does what a test says. */
export class ScriptedGateway {
  readonly server: tls.Server;
  port = 0;
  readonly connections: Http2Connection[] = [];
  readonly sockets: tls.TLSSocket[] = [];
  /** All of TCP, also those that never got through their handshake. */
  readonly below: Socket[] = [];
  /** Names in the certificates that clients have shown. */
  readonly clients: string[] = [];
  /** What came on connections with a transport header. */
  readonly headers: string[] = [];
  streams = 0;
  /** Of the streams. */
  readonly heads: Record<string, string>[] = [];
  data = '';
  /** What becomes of a stream; default: a tunnel that gives back what it gets. */
  onStream: (stream: Http2Stream, connection: Http2Connection) => void = (stream) => answer(stream);
  maxStreams = 250;
  /** What is done with a connection of streams as soon as it stands. */
  onConnection: (connection: Http2Connection) => void = () => undefined;
  readonly #clock: VirtualClock;

  constructor(identity: Identity, alpn: readonly string[], clock: VirtualClock) {
    this.#clock = clock;
    const { cert, key, ca } = identity;
    this.server = tls.createServer({ cert, key, ca, requestCert: true, ALPNProtocols: [...alpn] });
    this.server.on('secureConnection', (socket) => this.#serve(socket));
    this.server.on('connection', (socket: Socket) => this.below.push(socket));
    this.server.on('tlsClientError', () => undefined);
  }

  async listen(port = 0): Promise<this> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  #serve(socket: tls.TLSSocket): void {
    this.sockets.push(socket);
    this.clients.push(socket.getPeerX509Certificate()?.subjectAltName ?? '');
    socket.on('error', () => undefined);
    if (socket.alpnProtocol !== STREAMS_ALPN) {
      socket.on('data', (chunk: Buffer) => this.headers.push(chunk.toString('latin1')));
      return;
    }
    const connection: Http2Connection = new Http2Connection(new SocketConnection(socket), {
      role: 'server',
      clock: this.#clock,
      keepAliveMs: NEVER,
      maxStreams: this.maxStreams,
      takesAlternatives: true,
      user: {
        ...NOBODY,
        onRequest: (stream: Http2Stream, fields: readonly Field[]) => {
          this.streams++;
          this.heads.push(Object.fromEntries(fields.map(({ about, value }) => [about.text, value])));
          this.onStream(stream, connection);
        },
      },
    });
    this.connections.push(connection);
    connection.start(Buffer.alloc(0));
    this.onConnection(connection);
  }
}

/** A tunnel that gives back what it gets. @param standing whether its head says so now */
export function answer(stream: Http2Stream, standing = true): void {
  if (standing) stream.head([statusField(200)]);
  stream.handler = {
    onInterim: () => undefined,
    onHead: () => undefined,
    onData: (_, chunk) => {
      stream.write(chunk);
      stream.consumed(chunk.length);
    },
    onEnd: () => stream.end(),
    onSent: () => undefined,
    onReset: () => undefined,
  };
}

/** What somebody hears on a byte connection. */
export class Ear {
  text = '';
  ended = false;
  closed = false;
  error: Error | undefined;
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
    connection.handler = {
      onData: (_, chunk) => (this.text += chunk.toString('latin1')),
      onEnd: () => (this.ended = true),
      onDrain: () => undefined,
      onClose: (_, error) => {
        this.closed = true;
        this.error = error;
      },
    };
    connection.resume();
  }

  say(text: string): this {
    this.connection.send(Buffer.from(text));
    return this;
  }

  hears(text: string): Promise<boolean> {
    return eventually(`"${text}", after "${this.text}"`, () => this.text === text, {
      everyMs: 2,
    });
  }
}

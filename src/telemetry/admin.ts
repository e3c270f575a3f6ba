import { listenOn } from '../base/listen.ts';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer, isIPv4, type Socket } from 'node:net';
import { ConnectionAdmission } from '../base/connection-admission.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { http } from '../base/node-http.ts';
import type { SocketAddress } from '../base/address.ts';
import {
  whenClosed,
  contained,
  IDLE_MS,
  oneOf,
  MAX_ADMIN_HEAD_BYTES,
  readBody,
  serveHttp2,
} from './admin-http2.ts';
import { lengthField, sendBody } from './pieces.ts';
import { type AdminContent, AdminPages, textAnswer } from './admin-pages.ts';

export type { Health, LogLevel, PartHealth, ReadyAnswer } from './admin-pages.ts';

/** First byte of a TLS record that holds a ClientHello. */
const TLS_HANDSHAKE = 0x16;
/** Time for a client to send its first bytes, and again inside TLS; milliseconds. */
const FIRST_BYTES_MS = 10_000;
/**
 * Longest life of a connection, milliseconds: the bound for clients that send slowly for ever. A tap may last
 * for ten minutes.
 */
const MAX_AGE_MS = 660_000;
/**
 * Most connections at the same time. Beyond it one is evicted by `ConnectionAdmission`, so that nobody can
 * lock probes out by holding connections open or opening them fast.
 */
const MAX_CONNECTIONS = 256;

/** Terminates TLS on a connection whose first byte begins a handshake. */
export interface TlsLayer {
  /**
   * Takes a socket from which nothing has been consumed; calls `onPlain` with what is inside once the
   * handshake is done.
   */
  accept(socket: Socket, onPlain: (socket: Socket) => void): void;
  close(): void;
}

export interface AdminOptions extends AdminContent {
  readonly address: SocketAddress;
  /** Serves the same pages over TLS on the same port. Default: TLS clients are disconnected. */
  readonly tls?: TlsLayer;
  readonly clock?: Clock;
}

/** A running admin server. */
export interface AdminServer {
  /** The bound address, with the real port when 0 was asked for. */
  readonly address: SocketAddress;
  close(): Promise<void>;
}

/**
 * Server for operators and probes: HTTP/1 and HTTP/2 (prior knowledge), plain and, with `tls`, inside TLS;
 * the first bytes decide. Not the data path, so Node's own HTTP is good enough. Heads and bodies are small,
 * slow clients are cut off, and the oldest connection makes room for a new one.
 * @throws LinkspanError of `listenOn`
 */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const port = new AdminPort(options);
  // Metrics are sent in parts: the last one would wait for the peer's delayed acknowledgement, 40 ms.
  const server = createServer({ noDelay: true }, (socket) => port.accept(socket));
  await listenOn(server, options.address);
  const bound = server.address();
  const real = typeof bound === 'object' && bound !== null ? bound.port : options.address.port;
  return {
    address: { host: options.address.host, port: real },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      port.close();
      await closed;
    },
  };
}

/** What happens on a connection, from its first byte on. */
class AdminPort {
  readonly #pages: AdminPages;
  readonly #http: Server;
  readonly #tls: TlsLayer | undefined;
  readonly #clock: Clock;
  readonly #open = new Set<Socket>();
  readonly #admission = new ConnectionAdmission({
    handshakes: MAX_CONNECTIONS,
    connections: MAX_CONNECTIONS,
  });

  constructor(options: AdminOptions) {
    this.#pages = new AdminPages(options);
    this.#http = httpServer(this.#pages);
    this.#tls = options.tls;
    this.#clock = options.clock ?? systemClock;
  }

  accept(socket: Socket): void {
    const place = this.#admission.enter(socket.remoteAddress ?? '', () => socket.destroy());
    this.#open.add(socket);
    const age = this.#clock.after(MAX_AGE_MS, () => socket.destroy(), { unref: true });
    socket.once('close', () => {
      age.cancel();
      place?.leave();
      this.#open.delete(socket);
    });
    socket.on('error', () => socket.destroy());
    this.#serve(socket, isLoopback(socket.remoteAddress), this.#tls);
  }

  close(): void {
    for (const socket of this.#open) socket.destroy();
    this.#tls?.close();
    this.#http.close();
  }

  #serve(socket: Socket, local: boolean, tls: TlsLayer | undefined): void {
    socket.setTimeout(FIRST_BYTES_MS, () => socket.destroy());
    peek(socket, (first) => {
      // The next handler has timeouts of its own; this socket may see no more of the bytes.
      socket.setTimeout(0);
      if (first[0] === TLS_HANDSHAKE) {
        if (tls === undefined) socket.destroy();
        else tls.accept(socket, (inner) => this.#serve(inner, local, undefined));
      } else if (isHttp2(first)) {
        serveHttp2(socket, this.#pages, local);
      } else {
        locals.set(socket, local);
        this.#http.emit('connection', socket);
      }
    });
  }
}

/**
 * Whether the client of each HTTP/1 socket is on this machine; kept here because a TLS socket does not give
 * its underlying one.
 */
const locals = new WeakMap<Socket, boolean>();

/**
 * Calls `use` with the first bytes once they suffice to tell the protocol; they are put back to be read
 * again.
 */
function peek(socket: Socket, use: (first: Buffer) => void): void {
  let held: Buffer = Buffer.alloc(0);
  const onReadable = () => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    // PUT and PRI (HTTP/2) differ only in later bytes.
    if (held[0] === 0x50 && held.length < 3) return;
    socket.off('readable', onReadable);
    socket.unshift(held);
    use(held);
  };
  socket.on('readable', onReadable);
}

function isHttp2(first: Buffer): boolean {
  return first.subarray(0, 3).toString('latin1') === 'PRI';
}

function isLoopback(address: string | undefined): boolean {
  const bare = address?.startsWith('::ffff:') === true ? address.slice(7) : (address ?? '');
  return bare === '::1' || (isIPv4(bare) && bare.startsWith('127.'));
}

/** An HTTP/1 server that does not listen itself; connections are handed to it. */
function httpServer(pages: AdminPages): Server {
  const server = http.createServer(
    { requireHostHeader: false, maxHeaderSize: MAX_ADMIN_HEAD_BYTES, keepAliveTimeout: IDLE_MS },
    (request, response) => contained(respond(pages, request, response)),
  );
  server.timeout = IDLE_MS;
  return server;
}

async function respond(pages: AdminPages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = 'GET', url = '/', headers, socket } = request;
  const body = method === 'PUT' ? await readBody(request) : '';
  const acceptEncoding = headers['accept-encoding'] ?? '';
  const local = locals.get(socket) === true;
  const answer =
    body === undefined
      ? textAnswer(413, 'that is too much\n')
      : await pages.answer({
          method,
          path: url,
          accept: headers.accept,
          acceptEncoding,
          local,
          body,
          header: (name) => oneOf(headers[name]),
          onClose: (listener) => whenClosed(response, listener),
        });
  const length = answer.status === 204 ? {} : lengthField(answer.body);
  // The connection closes, so that an unread request body is not parsed as the next request.
  const close = method === 'GET' || method === 'HEAD' || answer.status === 204 ? {} : { connection: 'close' };
  response.writeHead(answer.status, { ...answer.headers, ...length, ...close });
  if (method === 'HEAD') response.end();
  else await sendBody(response, answer.body);
}

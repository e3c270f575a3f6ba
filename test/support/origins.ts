import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';

/** A service that tests send requests to: what stands behind a gateway. */
export interface Origin {
  readonly port: number;
  /** Requests, or raw connections, that came. */
  readonly count: () => number;
  close(): void;
}

type Incoming = http.IncomingMessage | http2.Http2ServerRequest;
/**
 * What both kinds of response have in common: the compatibility API of HTTP/2 is typed otherwise, but does
 * the same.
 */
type Outgoing = http.ServerResponse;

/** What an application does, over HTTP/1 and HTTP/2 alike. */
const pages: Readonly<Record<string, (request: Incoming, response: Outgoing, argument: string) => void>> = {
  hello: (_, response) => end(response, 'hello'),
  /** What came, as JSON. */
  facts: (request, response) => {
    const { method, url, httpVersion, headers } = request;
    end(response, JSON.stringify({ method, url, httpVersion, headers }));
  },
  /** The body comes back as it came, then the request's trailers as ours. */
  echo: (request, response) => {
    response.setHeader('trailer', 'x-echoed');
    request.on('data', (chunk: Buffer) => response.write(chunk));
    request.on('end', () => {
      response.addTrailers({ 'x-echoed': String(request.trailers['x-sent'] ?? 'none') });
      response.end();
    });
  },
  bytes: (_, response, argument) => end(response, Buffer.alloc(Number(argument), 'abcdefghij')),
  status: (_, response, argument) => {
    response.statusCode = Number(argument);
    response.end();
  },
  hints: (_, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' });
    end(response, 'hinted');
  },
  /** Half of the body, then the connection is gone. */
  cut: (request, response) => {
    response.setHeader('content-length', '1000');
    response.write('half', () => setImmediate(() => request.socket.destroy()));
  },
  /** Answers, and says by GOAWAY that it takes no more, where there is one. */
  away: (request, response) => {
    end(response, 'away');
    if ('stream' in request) request.stream.session?.close();
  },
  /** Never answers. */
  silence: () => undefined,
};

function end(response: Outgoing, body: string | Buffer): void {
  response.setHeader('content-length', String(Buffer.byteLength(body)));
  response.end(body);
}

function answer(request: Incoming, response: Outgoing, name: string): void {
  response.setHeader('x-origin', name);
  const [, page = '', argument = ''] = (request.url ?? '').split('?')[0]?.split('/') ?? [];
  const found = pages[page];
  if (found === undefined) {
    response.statusCode = 404;
    response.end('no such page');
  } else {
    found(request, response, argument);
  }
}

/**
 * An application that speaks HTTP/1. An `Upgrade: echo` becomes a connection that gives back what it gets.
 */
export async function http1Origin(name = 'http1'): Promise<Origin> {
  let count = 0;
  const server = http.createServer((request, response) => {
    count++;
    answer(request, response, name);
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => undefined);
    const { url, headers } = request;
    const fields = [
      `connection: upgrade\r\nupgrade: ${headers.upgrade}`,
      `x-origin: ${name}\r\nx-seen: ${JSON.stringify({ url, headers })}`,
    ];
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join('\r\n')}\r\n\r\n`);
    socket.write(head);
    socket.pipe(socket);
  });
  return listening(
    server,
    () => count,
    () => server.closeAllConnections(),
  );
}

/** An application that speaks HTTP/2 with prior knowledge. */
export async function http2Origin(name = 'http2'): Promise<Origin> {
  let count = 0;
  const sessions = new Set<http2.ServerHttp2Session>();
  // Megabytes: by default a session with 10 MB to send refuses more requests.
  const server = http2.createServer({ maxSessionMemory: 1000 });
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.once('close', () => sessions.delete(session));
  });
  server.on('request', (request, response) => {
    count++;
    answer(request, response as unknown as Outgoing, name);
  });
  return listening(
    server,
    () => count,
    () => sessions.forEach((session) => session.destroy()),
  );
}

/** A gRPC server. `/echo`: each message comes back at once. `/fail/<status>`: an error without messages. */
export async function grpcOrigin(): Promise<Origin> {
  let count = 0;
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.once('close', () => sessions.delete(session));
  });
  server.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    count++;
    stream.on('error', () => undefined);
    grpc(stream, String(headers[':path']));
  });
  return listening(
    server,
    () => count,
    () => sessions.forEach((session) => session.destroy()),
  );
}

function grpc(stream: http2.ServerHttp2Stream, path: string): void {
  const [, page, status = '0'] = path.split('/');
  const head = { ':status': 200, 'content-type': 'application/grpc' };
  if (page === 'fail') {
    stream.respond({ ...head, 'grpc-status': status, 'grpc-message': 'as asked' }, { endStream: true });
    return;
  }
  stream.respond(head, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-last': 'yes' }));
  stream.pipe(stream);
}

/**
 * Raw bytes: speaks first if there is a greeting, gives back what it gets, and ends when the client has
 * ended.
 */
export async function rawOrigin(greeting = ''): Promise<Origin> {
  let count = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    count++;
    sockets.add(socket);
    socket.on('error', () => undefined);
    if (greeting !== '') socket.write(greeting);
    socket.pipe(socket);
  });
  return listening(
    server,
    () => count,
    () => sockets.forEach((socket) => socket.destroy()),
  );
}

async function listening(server: net.Server, count: () => number, endAll: () => void): Promise<Origin> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    count,
    close: () => {
      endAll();
      server.close();
    },
  };
}

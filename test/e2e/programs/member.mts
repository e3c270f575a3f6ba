/**
 * `member.mts NAME [ADDRESS,… [HTTP [HTTP2 [RAW [READY]]]]]`: a member of a Service that every protocol of
 * `open-loop.mts` is spoken to, and that says its name in each answer. HTTP/1 (default port 8080), HTTP/2
 * with gRPC (8081), lines of raw bytes (8082), on all addresses unless some are given. `READY`: a port where
 * it says whether it is ready: always, or with `LOOP_MS` in the environment so long and then so long not, at
 * the same time as all others.
 */
import http from 'node:http';
import http2, { type ServerHttp2Stream } from 'node:http2';
import net from 'node:net';

const [, , name = '', addresses = '', ...ports] = process.argv;
const [httpPort = 8080, http2Port = 8081, rawPort = 8082, readyPort] = ports.map(Number);
const loopMs = Number(process.env['LOOP_MS'] ?? 0);
const body = `${name}\n`;

function http1Server(): net.Server {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200, { 'content-length': body.length }).end(body));
  });
  // Closing unused connections meets requests that must not be sent again: none of what is looked at here.
  server.keepAliveTimeout = 0;
  return server;
}

function http2Server(): net.Server {
  const server = http2.createServer();
  server.on('sessionError', () => undefined);
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => undefined);
    const type = headers['content-type'] ?? 'text/plain';
    const isGrpc = type.startsWith('application/grpc');
    stream.resume();
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': type }, { waitForTrailers: isGrpc });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(isGrpc ? message(body) : body);
    });
  });
  return server;
}

/** A message of gRPC: not compressed, its length, its bytes. */
function message(text: string): Buffer {
  const bytes = Buffer.alloc(5 + Buffer.byteLength(text));
  bytes.writeUInt32BE(bytes.length - 5, 1);
  bytes.write(text, 5);
  return bytes;
}

/** For each line, its name. */
function rawServer(): net.Server {
  return net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      for (const byte of bytes) if (byte === 0x0a) socket.write(body);
    });
  });
}

function readyServer(): net.Server {
  return http.createServer((_, response) => {
    const isReady = loopMs === 0 || Math.floor(Date.now() / loopMs) % 2 === 0;
    response.writeHead(isReady ? 200 : 503).end();
  });
}

if (readyPort !== undefined) readyServer().listen(readyPort);
const hosts = addresses === '' ? [undefined] : addresses.split(',');
let waiting = hosts.length * 3;
const started = () => {
  if (--waiting === 0) process.stdout.write('listening\n');
};
for (const host of hosts)
  for (const [server, port] of [
    [http1Server(), httpPort],
    [http2Server(), http2Port],
    [rawServer(), rawPort],
  ] as const)
    server.listen({ port, ...(host === undefined ? {} : { host }) }, started);

/**
 * An application of every kind in one process, all of which echo: HTTP/1 with upgrades (8080), HTTP/2 with
 * gRPC (8081), raw bytes (8082), a server that speaks first (8083).
 */
import http from 'node:http';
import http2, { type ServerHttp2Stream } from 'node:http2';
import net from 'node:net';
import type { Duplex } from 'node:stream';

const quiet = (stream: Duplex) => stream.on('error', () => undefined);

const one = http.createServer((request, response) => request.pipe(response));
one.on('upgrade', (request, socket) => {
  quiet(socket);
  const upgrade = request.headers.upgrade ?? '';
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${upgrade}\r\n\r\n`);
  socket.pipe(socket);
});
one.listen(8080);

const two = http2.createServer();
two.on('sessionError', () => undefined);
two.on('stream', (stream: ServerHttp2Stream, headers) => {
  quiet(stream);
  const type = headers['content-type'] ?? 'text/plain';
  const grpc = type.startsWith('application/grpc');
  stream.respond({ ':status': 200, 'content-type': type }, { waitForTrailers: grpc });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.pipe(stream);
});
two.listen(8081);

const echo = (greeting: string) =>
  net.createServer({ allowHalfOpen: true }, (socket) => {
    quiet(socket);
    if (greeting !== '') socket.write(greeting);
    socket.pipe(socket);
  });
echo('').listen(8082);
echo(`220 ${process.env['POD'] ?? ''}\r\n`).listen(8083);
process.on('SIGTERM', () => process.exit());

import { once } from 'node:events';
import net from 'node:net';
import type { Origin } from './origins.ts';

const ANSWER = 'HTTP/1.1 401 No\r\nwww-authenticate: NTLM more\r\ncontent-length: 6\r\n\r\nnobody';

/** A service that wants to have connections signed in (NTLM), and does so with nobody. */
export async function signingOrigin(): Promise<
  Origin & { /** The connection that has asked last. */ last: () => net.Socket }
> {
  let count = 0;
  let last = new net.Socket();
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', () => {
      count++;
      last = socket;
      socket.write(ANSWER);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    count: () => count,
    last: () => last,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

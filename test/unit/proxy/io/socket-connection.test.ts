import { expect } from 'chai';
import { once } from 'node:events';
import net from 'node:net';
import { NOBODY } from '../../../../src/proxy/io/connection.ts';
import { SocketConnection } from '../../../../src/proxy/io/socket-connection.ts';
import { eventually } from '../../../support/eventually.ts';

describe('A connection over a socket', () => {
  let server: net.Server;
  let peer: net.Socket;
  let connection: SocketConnection;

  beforeEach(async () => {
    server = net.createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    [[peer]] = await Promise.all([
      once(server, 'connection') as Promise<[net.Socket]>,
      once(socket, 'connect'),
    ]);
    peer.on('error', () => undefined);
    connection = new SocketConnection(socket);
  });

  afterEach(() => {
    peer.destroy();
    server.close();
  });

  it('that is aborted in the turn in which it was ended is closed', async () => {
    // A target's FIN and reset that are read together. libuv refuses to reset a socket whose FIN is going
    // out; it stayed open for ever, and counted.
    let closed = false;
    connection.whenClosed(() => (closed = true));
    connection.send(Buffer.from('all'));
    connection.end();
    connection.abort();
    await eventually('it is closed', () => closed);
    expect(connection.closed).to.equal(true);
  });

  it('that is aborted while its peer does not read what stands before its end is reset', async () => {
    let errno: string | undefined;
    peer.on('error', ({ code }: NodeJS.ErrnoException) => (errno = code));
    peer.pause();
    for (let at = 0; at < 64; at++) connection.send(Buffer.alloc(256 * 1024));
    connection.end();
    connection.handler = NOBODY;
    connection.abort();
    await eventually('it is closed', () => connection.closed);
    peer.resume();
    await eventually('the peer hears of it', () => errno === 'ECONNRESET');
  });
});

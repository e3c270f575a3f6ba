import { expect } from 'chai';
import { once } from 'node:events';
import http2 from 'node:http2';
import type net from 'node:net';
import { localGateway } from '../support/local-gateway.ts';
import { RawHttp2 } from '../support/raw-http2.ts';

const NAME = 'unused.demo.svc.cluster.local';

/** A request that meets the end of an unused connection is sent again over HTTP/1; over HTTP/2 it was 502. */
describe('An unused HTTP/2 connection to a target that is lost at the moment of a request', () => {
  it('costs nothing to a GET, and is not repeated for a POST', async () => {
    const server = http2.createServer();
    const sockets: net.Socket[] = [];
    let requests = 0;
    server.on('connection', (socket: net.Socket) => sockets.push(socket.on('error', () => undefined)));
    server.on('sessionError', () => undefined);
    server.on('stream', (stream: http2.ServerHttp2Stream) => {
      stream.on('error', () => undefined);
      // The second and the fourth request of all meet a reset.
      if (++requests % 2 === 0) sockets.at(-1)?.resetAndDestroy();
      else stream.respond({ ':status': 200 }, { endStream: true });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const local = await localGateway([
      { name: NAME, port: 80, protocol: 'http2', endpoints: [{ host: '127.0.0.1', port, ready: true }] },
    ]);
    try {
      const client = new RawHttp2(await local.client.connect(NAME, 80, 'http2'));
      for (const id of [1, 3]) {
        client.send(client.head(id));
        await client.hears(new RegExp(`^HEADERS ${id} 200`));
      }
      expect(requests).to.equal(3);
      const post = [
        [':method', 'POST'],
        [':scheme', 'http'],
        [':path', '/'],
        [':authority', 'x'],
      ] as const;
      client.send(client.head(5, true, post));
      await client.hears(/^HEADERS 5 502/);
      expect(requests).to.equal(4);
      client.socket.destroy();
    } finally {
      await local.close();
      server.close();
    }
  });
});

import { expect } from 'chai';
import { once } from 'node:events';
import net from 'node:net';
import { eventually } from '../support/eventually.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { RawHttp2 } from '../support/raw-http2.ts';
import { WireClient } from '../support/wire-client.ts';

const NAME = 'ntlm.demo.svc.cluster.local';

/** NTLM and Negotiate sign in a connection and not a request: whoever came next on a pooled one was answered as whoever had signed in before (RFC 4559 section 6). */
describe('A connection on which somebody has signed in', () => {
  let server: net.Server;
  let local: LocalGateway;
  let open = 0;

  before(async () => {
    server = net.createServer((socket) => {
      open++;
      socket.on('close', () => open--);
      socket.on('error', () => undefined);
      let who = 'nobody';
      let pending = '';
      socket.on('data', (chunk) => {
        pending += chunk.toString('latin1');
        for (let end = pending.indexOf('\r\n\r\n'); end >= 0; end = pending.indexOf('\r\n\r\n')) {
          const head = pending.slice(0, end);
          pending = pending.slice(end + 4);
          const said = /^authorization: (ntlm|negotiate) (\w+)/im.exec(head)?.[2];
          if (said === 'alice') who = said;
          const asks = said === undefined ? '' : 'www-authenticate: NTLM more\r\n';
          const answer = who === 'nobody' ? `401 No\r\n${asks}` : '200 OK\r\n';
          socket.write(`HTTP/1.1 ${answer}content-length: ${who.length}\r\n\r\n${who}`);
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    local = await localGateway([
      { name: NAME, port: 80, protocol: 'http1', endpoints: [{ host: '127.0.0.1', port, ready: true }] },
    ]);
  });

  after(async () => {
    await local.close();
    server.close();
  });

  const connect = async () => new WireClient(await local.client.connect(NAME, 80, 'http1'));
  const ask = (authorization?: string) =>
    `GET / HTTP/1.1\r\nhost: x\r\n${authorization === undefined ? '' : `authorization: ${authorization}\r\n`}\r\n`;

  for (const scheme of ['NTLM', 'Negotiate'])
    it(`is the client's own, by ${scheme}, and ends with it`, async () => {
      const alice = await connect();
      await alice.send(ask(`${scheme} hello`)).hears(/401[^]*nobody$/);
      await alice.send(ask(`${scheme} alice`)).hears(/200 OK[^]*alice$/);
      const before = open;
      const other = await connect();
      await other.send(ask()).hears(/401[^]*nobody$/);
      // The handshake holds: the next request needs no field.
      await alice.send(ask()).hearsTimes('200 OK', 2);
      expect(open).to.equal(before + 1);
      alice.socket.destroy();
      await eventually('it has ended', () => open <= before);
      await other.send(ask()).hearsTimes('401 No', 2);
      other.socket.destroy();
    });

  it('carries nothing more when it was for a request of HTTP/2', async () => {
    const client = new RawHttp2(await local.client.connect(NAME, 80, 'http2'));
    client.send(client.head(1, true, RawHttp2.get([['authorization', 'Negotiate alice']])));
    await client.hears(/^HEADERS 1 200/);
    client.send(client.head(3));
    await client.hears(/^HEADERS 3 401/);
    client.socket.destroy();
  });
});

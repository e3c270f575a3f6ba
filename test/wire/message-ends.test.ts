import { expect } from 'chai';
import net from 'node:net';
import { once } from 'node:events';
import { eventually } from '../support/eventually.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { raw, RawHttp2 } from '../support/raw-http2.ts';
import { rawHttp2Target, type RawRequest, type RawTarget } from '../support/raw-http2-target.ts';
import { WireClient } from '../support/wire-client.ts';

const WEB2 = 'web2.demo.svc.cluster.local';
const PROTOCOL_ERROR = 1;

/** What an endpoint may answer with, wrong or odd, by path. */
const answers: Readonly<Record<string, (request: RawRequest) => readonly Buffer[]>> = {
  '/fine': ({ streamId, head }) => [
    head(false, [':status', '200'], ['content-length', '4']),
    raw.data(streamId, 'fine', true),
  ],
  '/short': ({ head }) => [head(true, [':status', '200'], ['content-length', '5'])],
  '/none': ({ head }) => [head(true, [':status', '200'], ['content-length', 'abc'])],
  '/twice': ({ streamId, head }) => [
    head(false, [':status', '200'], ['content-length', '2'], ['content-length', '2']),
    raw.data(streamId, 'ok', true),
  ],
  '/101': ({ streamId, head }) => [
    head(false, [':status', '101']),
    head(false, [':status', '200']),
    raw.data(streamId, 'x', true),
  ],
  '/early': ({ streamId, head }) => [head(false, [':status', '413']), raw.data(streamId, 'no', true)],
};

/** The head of a request of HTTP/2. */
const fieldsOf = (method: string, path: string): readonly (readonly [string, string])[] => [
  [':method', method],
  [':scheme', 'http'],
  [':path', path],
  [':authority', 'x'],
];

/**
 * A target that speaks HTTP/2 says where a message ends by frames; an HTTP/1 client by its head alone. What a
 * target says wrongly became a second answer on the client's connection, a body that the next answer was
 * taken for, or an upgrade that nobody had asked for. The table of all ways to end is
 * `message-ends-table.test.ts`; here is what has no place in it.
 */
describe('How a message ends is decided here', () => {
  let target: RawTarget;
  let local: LocalGateway;

  before(async () => {
    target = await rawHttp2Target((request) =>
      (answers[request.path] ?? answers['/fine'] ?? (() => []))(request),
    );
    const endpoint = (port: number) => [{ host: '127.0.0.1', port, ready: true }];
    local = await localGateway([
      { name: WEB2, port: 80, protocol: 'http2', endpoints: endpoint(target.port) },
    ]);
  });

  after(async () => {
    await local.close();
    target.close();
  });

  /** Everything that an HTTP/1 client gets for a request and a second one behind it. */
  async function over1(method: string, path: string): Promise<string> {
    const client = new WireClient(await local.client.connect(WEB2, 80, 'http1'));
    client.send(`${method} ${path} HTTP/1.1\r\nhost: web\r\n\r\n`);
    await eventually('the first answer', () => client.text.includes('\r\n\r\n') || client.closed);
    client.send('GET /fine HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
    await eventually('the end', () => client.ended || client.closed);
    client.socket.destroy();
    return client.text;
  }

  const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]);

  for (const path of ['/short', '/none', '/twice', '/101'])
    it(`${path}: a malformed answer is 502, and the next one is its own`, async () => {
      const text = await over1('GET', path);
      expect(statuses(text)).to.deep.equal(['502', '200']);
      expect(text).to.match(/fine$/);
      const client = new RawHttp2(await local.client.connect(WEB2, 80, 'http2'));
      client.send(client.head(1, true, fieldsOf('GET', path)));
      await client.hears(/^HEADERS 1 502/);
      client.socket.destroy();
      expect([...target.resets.values()]).to.include(PROTOCOL_ERROR);
    });

  it('an upload that is answered early leaves no stream open at the target', async () => {
    const before = target.resets.size;
    const client = new RawHttp2(await local.client.connect(WEB2, 80, 'http2'));
    for (let id = 1; id < 40; id += 2) client.send(client.head(id, false, fieldsOf('POST', '/early')));
    await client.hears(/^DATA 39 2 end/);
    await eventually('each is reset', () => target.resets.size - before === 20);
    client.socket.destroy();
  });

  it('nor a connection at an HTTP/1 target that would wait for the rest', async () => {
    let open = 0;
    const server = net.createServer((socket) => {
      open++;
      socket.on('close', () => open--);
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write('HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno'));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const name = 'waits.demo.svc.cluster.local';
    const { port } = server.address() as net.AddressInfo;
    const gateway = await localGateway([
      { name, port: 80, protocol: 'http1', endpoints: [{ host: '127.0.0.1', port, ready: true }] },
    ]);
    const client = new RawHttp2(await gateway.client.connect(name, 80, 'http2'));
    client.send(client.head(1, false, fieldsOf('POST', '/')));
    await client.hears(/^DATA 1 2 end/);
    await eventually('the connection has ended', () => open === 0);
    client.socket.destroy();
    await gateway.close();
    server.close();
  });

  it('a POST without a body says so to an HTTP/1 target, which answers 411 otherwise', async () => {
    const seen: string[] = [];
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        seen.push(chunk.toString('latin1'));
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const name = 'post.demo.svc.cluster.local';
    const { port } = server.address() as net.AddressInfo;
    const gateway = await localGateway([
      { name, port: 80, protocol: 'http1', endpoints: [{ host: '127.0.0.1', port, ready: true }] },
    ]);
    const client = new RawHttp2(await gateway.client.connect(name, 80, 'http2'));
    client.send(client.head(1, true, fieldsOf('POST', '/')));
    await client.hears(/^HEADERS 1 200/);
    expect(seen.join(''))
      .to.match(/^POST \/ HTTP\/1\.1\r\n/)
      .and.to.include('\r\ncontent-length: 0\r\n');
    client.socket.destroy();
    await gateway.close();
    server.close();
  });
});

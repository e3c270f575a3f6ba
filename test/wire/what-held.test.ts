import { expect } from 'chai';
import { eventually } from '../support/eventually.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { WireClient } from '../support/wire-client.ts';

const WEB = 'web.demo.svc.cluster.local';

/** A review tried these on the gateway, and they held. They have to go on doing so. */
describe('What held in a review: the way to a Service', () => {
  let origin: Origin;
  let local: LocalGateway;

  before(async () => {
    origin = await http1Origin();
    local = await localGateway([
      { name: WEB, port: 80, endpoints: [{ host: '127.0.0.1', port: origin.port, ready: true }] },
    ]);
  });

  after(async () => {
    await local.close();
    origin.close();
  });

  /**
   * The status of a request to a name, as a mesh client says it in the transport header; `closed` where the
   * connection ends without one.
   */
  async function statusOf(name: string, port: number, request: string): Promise<string> {
    const client = new WireClient(await local.client.connect(name, port, 'http1'));
    client.send(request);
    await eventually(
      'an answer or the end',
      () => /HTTP\/1\.1 \d+/.test(client.text) || client.ended || client.closed,
    );
    client.socket.destroy();
    return /HTTP\/1\.1 (\d+)/.exec(client.text)?.[1] ?? 'closed';
  }

  const GET = 'GET /hello HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';

  for (const name of [WEB, `${WEB}.`, WEB.toUpperCase()])
    it(`leads to what is exported, in one form of its name: ${name}`, async () => {
      expect(await statusOf(name, 80, GET)).to.equal('200');
    });

  for (const name of [
    'web.demo',
    'web.demo.svc',
    `${WEB}:80`,
    'web%2edemo.svc.cluster.local',
    '127.0.0.1',
    '[::1]',
    'kubernetes.default.svc.cluster.local',
    `${WEB}..`,
    ` ${WEB}`,
    `${WEB}\0`,
    'other.demo.svc.cluster.local',
  ])
    it(`leads nowhere else: ${JSON.stringify(name)}`, async () => {
      const before = origin.count();
      expect(await statusOf(name, 80, GET)).to.be.oneOf(['404', 'closed']);
      expect(origin.count()).to.equal(before);
    });

  for (const port of [0, 81, 65_535, 65_616])
    it(`is that of one port: not ${port}`, async () => {
      expect(await statusOf(WEB, port, GET)).to.be.oneOf(['404', 'closed']);
    });

  it('is not opened by CONNECT, whatever it asks for', async () => {
    for (const target of ['127.0.0.1:22', `${WEB}:80`, 'kubernetes.default:443'])
      expect(await statusOf(WEB, 80, `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`)).to.be.oneOf([
        '400',
        '405',
        '501',
      ]);
  });

  it('is not changed by an absolute target, a Connection that names Host, or an upgrade to h2c', async () => {
    const ask = async (request: string) => {
      const client = new WireClient(await local.client.connect(WEB, 80, 'http1'));
      client.send(request);
      await eventually('the facts', () => client.ended || client.closed);
      client.socket.destroy();
      return JSON.parse(/\{.*\}/s.exec(client.text)?.[0] ?? '{}') as {
        url: string;
        headers: Record<string, string>;
      };
    };
    const end = 'connection: close\r\n\r\n';
    const absolute = await ask(`GET http://evil.example/facts HTTP/1.1\r\nhost: evil.example\r\n${end}`);
    expect([absolute.url, absolute.headers['host']]).to.deep.equal(['/facts', WEB]);
    const named = await ask(`GET /facts HTTP/1.1\r\nhost: web\r\nconnection: host, forwarded, close\r\n\r\n`);
    expect(named.headers['host']).to.equal(WEB);
    expect(named.headers['forwarded']).to.match(/for=/);
    const upgraded = await ask(
      `GET /facts HTTP/1.1\r\nhost: web\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n`,
    );
    expect(upgraded.headers['upgrade']).to.not.equal('h2c');
    expect(upgraded.headers).to.not.have.property('http2-settings');
  });
});

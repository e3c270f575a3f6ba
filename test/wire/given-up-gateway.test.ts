import { expect } from 'chai';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { http1Origin, type Origin } from '../support/origins.ts';
import { type Relay, startRelay } from '../support/relay.ts';

const WEB = 'web.demo.svc.cluster.local';

// A client that kept its connection to an egress whose gateway was gone got 502 on it for ever, although a
// new connection would have led to another gateway, or failed at once.
describe('a client of a mirror whose gateway was given up', () => {
  let origin: Origin;
  let relay: Relay;

  beforeEach(async () => {
    origin = await http1Origin();
    relay = await startRelay({
      specs: [
        {
          name: WEB,
          port: 80,
          protocol: 'http1',
          endpoints: [{ host: '127.0.0.1', port: origin.port, ready: true }],
        },
      ],
      services: [{ name: WEB }],
    });
  });
  afterEach(async () => {
    await relay.close();
    origin.close();
  });

  it('of HTTP/1 is told with the failure that its connection ends, and it does', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ask = async () => {
      const request = http.get({ agent, host: '127.0.0.1', port: relay.client.portOf(WEB), path: '/hello' });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      response.resume();
      await once(response, 'end');
      return { status: response.statusCode, connection: response.headers.connection, socket: request.socket };
    };
    const first = await ask();
    expect([first.status, first.connection]).to.deep.equal([200, undefined]);
    await relay.local.gateway.stop();
    const second = await ask();
    expect([second.status, second.connection]).to.deep.equal([502, 'close']);
    expect(second.socket).to.equal(first.socket);
    if (second.socket?.closed === false) await once(second.socket, 'close');
    agent.destroy();
  });

  it('of HTTP/2 is told to open no more streams on its connection', async () => {
    const session = await relay.client.session(WEB);
    const away = once(session, 'goaway');
    expect((await relay.client.request('http2', WEB, { path: '/hello' })).status).to.equal(200);
    await relay.local.gateway.stop();
    expect((await relay.client.request('http2', WEB, { path: '/hello' })).status).to.equal(502);
    const [code] = await away;
    expect(code).to.equal(http2.constants.NGHTTP2_NO_ERROR);
  });
});

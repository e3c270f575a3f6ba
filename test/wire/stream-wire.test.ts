import { expect } from 'chai';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { STREAMS_ALPN } from '../../src/api/names.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { raw, RawHttp2 } from '../support/raw-http2.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { WireTarget } from '../support/wire-target.ts';

type Fields = readonly (readonly [string, string])[];

const request = (...extra: Fields): Fields => [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/facts'],
  [':authority', 'x'],
  ...extra,
];
const tunnel = (target: string, session = 'opaque'): Fields => [
  [':method', 'CONNECT'],
  [':target', target],
  [':session', session],
];

// Whoever can say in a header where a request goes can reach what he was never let in to. In stream mode
// header fields say just that, so nobody but an egress of ours may be able to say them, and what they say is
// checked like the header of a whole connection.
describe('Streams that say where they go', () => {
  let gateway: WireGateway;
  let echo: Origin;
  let web: Origin;
  const clients: RawHttp2[] = [];

  const connect = async (alpn: readonly string[] = [STREAMS_ALPN]) => {
    const { socket } = await gateway.connect({ ALPNProtocols: [...alpn] });
    const client = new RawHttp2(socket);
    clients.push(client);
    return client;
  };
  const spec = (name: string, port: number, origin: Origin, more: Partial<TargetSpec> = {}): TargetSpec => ({
    ...service(name, [origin.port], port),
    ...more,
  });

  before(async () => {
    echo = await rawOrigin();
    web = await http1Origin();
    gateway = await WireGateway.start([
      spec('echo', 7, echo),
      spec('web', 80, web, { protocol: 'http1' }),
      spec('locked', 7, echo, { allow: ['nobody'] }),
      spec('dead', 7, { ...echo, port: 1 }),
    ]);
  });
  after(async () => {
    await gateway.close();
    echo.close();
    web.close();
  });
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.destroy();
  });

  it('are negotiated: the gateway prefers them, and speaks the transport header with whoever knows no better', async () => {
    for (const [offer, taken] of [
      [[STREAMS_ALPN, 'transport.l5d.io/v1'], STREAMS_ALPN],
      [['transport.l5d.io/v1', STREAMS_ALPN], STREAMS_ALPN],
      [['transport.l5d.io/v1'], 'transport.l5d.io/v1'],
      [['linkspan.dev/v2', 'transport.l5d.io/v1'], 'transport.l5d.io/v1'],
    ] as const) {
      const { socket } = await gateway.connect({ ALPNProtocols: [...offer] });
      expect(socket.alpnProtocol).to.equal(taken);
      socket.destroy();
    }
  });

  it('of a version that the gateway does not know there are none', async () => {
    const outcome = await gateway.connect({ ALPNProtocols: ['linkspan.dev/v2'] }).then(
      () => 'connected',
      () => 'refused',
    );
    expect(outcome).to.equal('refused');
  });

  it('carry bytes both ways as DATA, each end on its own', async () => {
    const client = await connect();
    // Data follows the head at once, and so does the end.
    client.send(client.head(1, false, tunnel('echo:7')), raw.data(1, 'hello'), raw.data(1, '', true));
    await client.hears(/^HEADERS 1 200$/);
    await client.hears(/^DATA 1 5/);
    await client.hears(/^DATA 1 0 end/);
    client.send(client.head(3, false, tunnel('ECHO:7')), raw.data(3, 'again'));
    await client.hears(/^DATA 3 5$/);
    expect(client.heard.join()).not.to.match(/RST|GOAWAY/);
  });

  it('that are reset are broken off at the target', async () => {
    const target = await WireTarget.start();
    try {
      gateway.serve([
        spec('echo', 7, echo),
        service('watched', [target.port], 7),
        spec('web', 80, web, { protocol: 'http1' }),
        spec('locked', 7, echo, { allow: ['nobody'] }),
        spec('dead', 7, { ...echo, port: 1 }),
      ]);
      const client = await connect();
      client.send(client.head(1, false, tunnel('watched:7')), raw.data(1, 'x'));
      await eventually('it has come', () => target.text === 'x');
      client.send(raw.reset(1));
      await eventually('it is gone', () => target.connections[0]?.errno === 'ECONNRESET');
      client.send(client.head(3, false, tunnel('watched:7')));
      await client.hears(/^HEADERS 3 200$/);
      target.connections[1]?.socket.resetAndDestroy();
      expect(await client.hears(/^RST 3/)).to.equal('RST 3 CONNECT_ERROR');
    } finally {
      await target.close();
    }
  });

  const refusals: readonly (readonly [string, Fields, RegExp])[] = [
    ['a tunnel to what is not exported', tunnel('nowhere:7'), /^HEADERS 1 404 end/],
    ['a tunnel to another port', tunnel('echo:8'), /^HEADERS 1 404 end/],
    ['a tunnel that the client may not use', tunnel('locked:7'), /^HEADERS 1 403 end/],
    ['a tunnel to a target that is dead', tunnel('dead:7'), /^HEADERS 1 50[24] end/],
    [
      'a tunnel without a target',
      [
        [':method', 'CONNECT'],
        [':session', 'opaque'],
      ],
      /^HEADERS 1 400 end/,
    ],
    ['a tunnel for a protocol that nobody knows', tunnel('echo:7', 'quic'), /^HEADERS 1 505 end/],
    [
      'CONNECT as ordinary clients say it',
      [
        [':method', 'CONNECT'],
        [':authority', 'echo:7'],
      ],
      /^HEADERS 1 400 end/,
    ],
    [
      'a request that is also a tunnel',
      request([':target', 'web:80'], [':session', 'opaque']),
      /^HEADERS 1 400 end/,
    ],
    ['a request without a target', request(), /^HEADERS 1 400 end/],
    ['a target without a port', request([':target', 'web']), /^HEADERS 1 400 end/],
    ['a port that is none', request([':target', 'web:0']), /^HEADERS 1 400 end/],
    ['a port beyond all', request([':target', 'web:65536']), /^HEADERS 1 400 end/],
    ['a name that is none', request([':target', 'we b:80']), /^HEADERS 1 400 end/],
    ['an empty name', request([':target', ':80']), /^HEADERS 1 400 end/],
    ['two targets', request([':target', 'web:80'], [':target', 'locked:7']), /^HEADERS 1 400$/],
    ['a target behind the fields', request(['x-a', 'b'], [':target', 'web:80']), /^HEADERS 1 400 end/],
  ];
  for (const [what, fields, answer] of refusals)
    it(`${what}: refused, with the status of that failure, and the next stream is served`, async () => {
      const client = await connect();
      client.send(client.head(1, false, fields), client.head(3, false, tunnel('echo:7')), raw.data(3, 'ok'));
      await client.hears(answer);
      await client.hears(/^DATA 3 2$/);
      expect(client.heard.some((line) => line.startsWith('GOAWAY'))).to.equal(false);
    });

  it('that are requests are served as requests', async () => {
    const client = await connect();
    client.send(client.head(1, true, request([':target', 'web:80'], ['l5d-orig-proto', 'HTTP/1.1'])));
    await client.hears(/^HEADERS 1 200$/);
    await client.hears(/^DATA 1 \d+/);
  });

  it('cannot be said on a connection with a transport header: there they are a malformed request', async () => {
    const header = await gateway.open('web', 'http2');
    const client = new RawHttp2(header.socket);
    clients.push(client);
    client.send(client.head(1, true, request([':target', 'locked:7'])));
    await client.hears(/^HEADERS 1 400$/);
    const plain = await gateway.open('web', 'http1');
    plain.send('GET /facts HTTP/1.1\r\nhost: x\r\n:target: locked:7\r\n\r\n');
    expect(await plain.whole()).to.match(/^HTTP\/1\.1 400 /);
  });

  it('are as many as the gateway says, and what is beyond is turned away unseen', async () => {
    const client = await connect();
    for (let id = 1; id <= 501; id += 2) client.send(client.head(id, false, tunnel('echo:7')));
    await client.hears(/^RST 501 REFUSED_STREAM$/);
    expect(client.heard.filter((line) => line.startsWith('RST'))).to.have.length(1);
    client.send(raw.data(499, 'ok'));
    await client.hears(/^DATA 499 2$/);
  });

  it('are let end when the gateway shuts down, and no new ones are taken', async () => {
    const other = await WireGateway.start([service('echo', [echo.port], 7)], { graceMs: 10_000 });
    try {
      const { socket } = await other.connect({ ALPNProtocols: [STREAMS_ALPN] });
      const client = new RawHttp2(socket);
      client.send(client.head(1, false, tunnel('echo:7')), raw.data(1, 'a'));
      await client.hears(/^DATA 1 1$/);
      const stopped = other.gateway.stop();
      await client.hears(/^GOAWAY 2147483647 NO_ERROR/);
      client.send(raw.data(1, 'bc', true));
      await client.hears(/^DATA 1 2$/);
      await client.hears(/^DATA 1 0 end$/);
      client.send(raw.frame(6, 1, 0, Buffer.from('draining')));
      await client.hears(/^GOAWAY 1 NO_ERROR/);
      await stopped;
    } finally {
      await other.close();
    }
  });
});

// A client of the egress has no mesh and no identity of its own; it must not be able to borrow the egress' to
// get elsewhere.
describe('A plain client that says where its request is to go', () => {
  let relay: Relay;
  let web: Origin;
  let secret: Origin;

  before(async () => {
    web = await http2Origin('web');
    secret = await http2Origin('secret');
    relay = await startRelay({
      specs: [
        { ...service('web', [web.port]), protocol: 'http2' },
        { ...service('secret', [secret.port]), protocol: 'http2' },
      ],
      services: [{ name: 'web' }],
    });
  });
  after(async () => {
    await relay.close();
    web.close();
    secret.close();
  });

  it('is told that its request is malformed, in HTTP/2 and HTTP/1', async () => {
    const client = new RawHttp2(await relay.client.connect('web'));
    client.send(client.head(1, true, request([':target', 'secret:80'])));
    client.send(client.head(3, false, tunnel('secret:80')));
    await client.hears(/^HEADERS 1 400$/);
    await client.hears(/^HEADERS 3 400$/);
    client.send(client.head(5, true, request([':client', 'somebody.else'])));
    await client.hears(/^HEADERS 5 400$/);
    client.socket.destroy();
    const socket = await relay.client.connect('web');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.write('GET /facts HTTP/1.1\r\nhost: x\r\n:target: secret:80\r\n\r\n');
    await eventually('it is refused', () => text.startsWith('HTTP/1.1 400 '));
    socket.destroy();
    expect([web.count(), secret.count()]).to.deep.equal([0, 0]);
  });

  it('gets nowhere with fields of the same name, which travel as what they are', async () => {
    const { body } = await relay.client.request('http2', 'web', {
      path: '/facts',
      headers: { target: 'secret:80', session: 'opaque', 'l5d-dst-canonical': 'secret:80' },
    });
    const { headers } = JSON.parse(String(body)) as { headers: Record<string, string> };
    expect(headers).to.include({ target: 'secret:80', session: 'opaque', 'l5d-dst-canonical': 'web:80' });
    expect(
      Object.keys(headers)
        .filter((name) => name.startsWith(':'))
        .sort(),
    ).to.deep.equal([':authority', ':method', ':path', ':scheme']);
    expect(secret.count()).to.equal(0);
  });
});

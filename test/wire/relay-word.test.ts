import { expect } from 'chai';
import { STREAMS_ALPN, STREAMS_CLIENTS_ALPN, TRANSPORT_HEADER_ALPN } from '../../src/api/names.ts';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { http1Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { raw, RawHttp2 } from '../support/raw-http2.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';

type Fields = readonly (readonly [string, string])[];

const EAST = 'serviceaccount.identity.linkerd.east';
const RELAY = `linkspan-egress.linkspan.${EAST}`;
const CLIENT = `web.shop.${EAST}`;

const request = (target: string, ...extra: Fields): Fields => [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/facts'],
  [':target', target],
  ...extra,
];
const tunnel = (target: string, ...extra: Fields): Fields => [
  [':method', 'CONNECT'],
  [':target', target],
  [':session', 'opaque'],
  ...extra,
];

// Who may say for whom it speaks can be anybody. So a gateway believes those alone that its operator has
// listed, only of their own trust domain, and nobody else's saying so changes anything.
describe('A stream that says on whose behalf it is', () => {
  let gateway: WireGateway;
  let web: Origin;
  let echo: Origin;
  let relay: Identity;
  let stranger: Identity;
  const clients: RawHttp2[] = [];

  const connect = async (identity: Identity, alpn: readonly string[] = [STREAMS_CLIENTS_ALPN]) => {
    const { cert, key } = identity;
    const { socket } = await gateway.connect({ ALPNProtocols: [...alpn], cert, key });
    const client = new RawHttp2(socket);
    clients.push(client);
    return client;
  };
  /** Status of one stream on a connection of its own. */
  const statusOf = async (identity: Identity, fields: Fields, alpn?: readonly string[]) => {
    const client = await connect(identity, alpn);
    client.send(client.head(1, true, fields));
    return Number(/^HEADERS 1 (\d+)/.exec(await client.hears(/^HEADERS 1 \d+/))?.[1]);
  };

  before(async () => {
    web = await http1Origin();
    echo = await rawOrigin();
    const spec = (name: string, { port }: Origin, at: number, more: Partial<TargetSpec> = {}) => ({
      ...service(name, [port], at),
      ...more,
    });
    const http1 = { protocol: 'http1' as const };
    gateway = await WireGateway.start(
      [
        spec('all', web, 80, http1),
        spec('client', web, 80, { ...http1, allow: [CLIENT] }),
        spec('client', echo, 7, { allow: [CLIENT] }),
        spec('relay', web, 80, { ...http1, allow: [RELAY] }),
        spec('stranger', web, 80, { ...http1, allow: ['client.east'] }),
      ],
      { trustedRelays: [RELAY.toUpperCase()] },
    );
    relay = await issueLeaf(gateway.authority, { identity: RELAY });
    stranger = gateway.client;
  });
  after(async () => {
    await gateway.close();
    web.close();
    echo.close();
  });
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.destroy();
  });

  it('is agreed on in the handshake, by a gateway that believes somebody', async () => {
    const offer = [STREAMS_CLIENTS_ALPN, STREAMS_ALPN, TRANSPORT_HEADER_ALPN];
    const { socket } = await gateway.connect({ ALPNProtocols: offer });
    expect(socket.alpnProtocol).to.equal(STREAMS_CLIENTS_ALPN);
    const other = await WireGateway.start([]);
    try {
      const { socket: there } = await other.connect({ ALPNProtocols: offer });
      expect(there.alpnProtocol).to.equal(STREAMS_ALPN);
    } finally {
      await other.close();
    }
    socket.destroy();
  });

  const asked = (name: string, ...client: string[]) =>
    request(`${name}:80`, ...client.map((one) => [':client', one] as const));

  it('of a listed relay is its client: no more and no less than that one may', async () => {
    expect(await statusOf(relay, asked('client', CLIENT))).to.equal(200);
    expect(await statusOf(relay, asked('client', `other.shop.${EAST}`))).to.equal(403);
    // The relay's own rights are not those of its clients.
    expect(await statusOf(relay, asked('relay', CLIENT))).to.equal(403);
    expect(await statusOf(relay, tunnel('client:7', [':client', CLIENT]))).to.equal(200);
    expect(await statusOf(relay, tunnel('client:7', [':client', `other.shop.${EAST}`]))).to.equal(403);
  });

  it('of a listed relay that says nothing is the relay', async () => {
    expect(await statusOf(relay, asked('relay'))).to.equal(200);
    expect(await statusOf(relay, asked('client'))).to.equal(403);
  });

  it('on one connection may be of many clients, one after the other and at once', async () => {
    const client = await connect(relay);
    const names = [CLIENT, `other.shop.${EAST}`, undefined];
    const streams = Array.from({ length: 60 }, (_, index) => ({ id: 1 + 2 * index, name: names[index % 3] }));
    client.send(
      ...streams.map(({ id, name }) =>
        client.head(id, true, name === undefined ? asked('client') : asked('client', name)),
      ),
    );
    for (const { id, name } of streams)
      await client.hears(new RegExp(`^HEADERS ${id} ${name === CLIENT ? 200 : 403}`));
  });

  for (const [what, name] of [
    ['another trust domain', 'web.shop.serviceaccount.identity.linkerd.west'],
    ['another control plane', 'web.shop.serviceaccount.identity.other.east'],
    ['no form', 'gateway.west'],
    ['a wildcard', `*.${EAST}`],
    ['nothing', ''],
    ['no end', `${'a.'.repeat(10_000)}.${EAST}`],
  ] as const)
    it(`of a listed relay is refused when the name is of ${what}, though the relay itself may`, async () => {
      expect(await statusOf(relay, asked('all', name))).to.equal(403);
      expect(await statusOf(relay, asked('relay', name))).to.equal(403);
    });

  it('twice is malformed', async () => {
    expect(await statusOf(relay, asked('client', CLIENT, CLIENT))).to.equal(400);
  });

  it('of anybody else is whoever has opened the connection', async () => {
    expect(await statusOf(stranger, asked('client', CLIENT))).to.equal(403);
    expect(await statusOf(stranger, asked('stranger', CLIENT))).to.equal(200);
    expect(await statusOf(stranger, tunnel('client:7', [':client', CLIENT]))).to.equal(403);
  });

  it('cannot be said where it was not agreed on, not even by a listed relay', async () => {
    expect(await statusOf(relay, asked('client', CLIENT), [STREAMS_ALPN])).to.equal(400);
    expect(await statusOf(relay, tunnel('client:7', [':client', CLIENT]), [STREAMS_ALPN])).to.equal(403);
    const { cert, key } = relay;
    const opened = await gateway.open('client', 'http2', { cert, key });
    const client = new RawHttp2(opened.socket);
    clients.push(client);
    client.send(client.head(1, true, RawHttp2.get([[':client', CLIENT]])));
    await client.hears(/^(HEADERS 1 400|RST 1 )/);
  });

  it('cannot be said in a field of that name, or inside of a tunnel', async () => {
    expect(
      await statusOf(relay, request('client:80', ['client', CLIENT], ['l5d-client-id', CLIENT])),
    ).to.equal(403);
    const client = await connect(relay);
    const inner: Fields = [
      [':method', 'CONNECT'],
      [':target', 'client:80'],
      [':session', 'http1'],
    ];
    client.send(
      client.head(1, false, inner),
      raw.data(1, `GET /facts HTTP/1.1\r\nhost: x\r\n:client: ${CLIENT}\r\nl5d-client-id: ${CLIENT}\r\n\r\n`),
    );
    await client.hears(/^HEADERS 1 200/);
    await client.hears(/^DATA 1 /);
    expect(gateway.failures['bad request'] ?? 0).to.be.greaterThan(0);
  });
});

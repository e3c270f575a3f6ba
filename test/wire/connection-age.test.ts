import { expect } from 'chai';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { freeAuthority } from '../support/authorities.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { RawHttp2 } from '../support/raw-http2.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';

const WEB = 'web.demo.svc.cluster.local';
const RAW = 'raw.demo.svc.cluster.local';
const WEB2 = 'web2.demo.svc.cluster.local';
/** Short: in virtual time nobody answers to keep-alive pings. */
const AGE_MS = 5000;
const GRACE_MS = 4000;
const GET = 'GET /hello HTTP/1.1\r\nhost: x\r\n\r\n';

/**
 * A connection is let in once, on a certificate that lives a day and an anchor that may be taken away. What
 * is open must end too, and must not break anybody's request for it: clients are told, in the words of their
 * protocol, and only what cannot be told, or does not listen, is cut.
 */
describe('the end of connections that nobody ends', () => {
  let origin: Origin;
  let echo: Origin;
  let origin2: Origin;
  let clock: VirtualClock;
  let gateway: WireGateway;
  let other: Identity;

  before(async () => {
    origin = await http1Origin();
    echo = await rawOrigin();
    origin2 = await http2Origin();
  });
  after(() => {
    origin.close();
    echo.close();
    origin2.close();
  });
  beforeEach(async () => {
    clock = new VirtualClock(Date.now());
    gateway = await WireGateway.start(
      [
        service(WEB, [origin.port]),
        service(WEB2, [origin2.port]),
        { ...service(RAW, [echo.port]), protocol: 'opaque' },
      ],
      {
        clock,
        random: () => 0.5,
        connectionAge: { maxAgeMs: AGE_MS, graceMs: GRACE_MS },
      },
    );
    other = await issueLeaf(await freeAuthority(), { identity: 'gateway.west' });
  });
  afterEach(() => gateway.close());

  const withdrawn = () => gateway.rotate(other);
  const aged = () => clock.advance(AGE_MS + 200);
  const served = async (protocol: 'http1' | 'opaque') => {
    const client = await gateway.open(protocol === 'opaque' ? RAW : WEB, protocol);
    await client.send(GET).hears(protocol === 'opaque' ? /GET \/hello/ : /hello$/);
    return client;
  };
  const http2 = async (path = '/hello') => {
    const { socket } = await gateway.open(WEB2, 'http2');
    const client = new RawHttp2(socket);
    const fields = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', path],
      [':authority', 'x'],
    ] as const;
    client.send(client.head(1, true, fields));
    return client;
  };

  it('tells an HTTP/1 client with its next response, and closes', async () => {
    const client = await served('http1');
    await aged();
    client.send(GET);
    expect(await client.whole()).to.match(/connection: close\r\n[^]*hello$/);
  });

  it('closes an HTTP/1 connection that is idle after a moment', async () => {
    const client = await served('http1');
    await aged();
    await clock.advance(1000);
    await client.whole();
  });

  it('tells an HTTP/2 client with GOAWAY, and lets its streams end', async () => {
    const client = await http2();
    await client.hears(/^DATA 1 .* end$/);
    await aged();
    await client.hears(/^GOAWAY .* NO_ERROR/);
  });

  it('lets raw connections go on for the grace, and then ends them', async () => {
    const client = await served('opaque');
    await aged();
    await client.send('still here').hears(/still here$/);
    await clock.advance(GRACE_MS);
    await client.whole();
  });

  it('lets a request that takes long go on for the grace, and no longer', async () => {
    const client = await http2('/silence');
    await aged();
    await client.hears(/^GOAWAY/);
    await clock.advance(GRACE_MS - 1000);
    expect(client.closed).to.equal(false);
    await clock.advance(1000);
    await client.ends();
  });

  it('ends everything that rests on an anchor within ten seconds after it was taken away', async () => {
    const seen = origin2.count();
    const [http1, opaque, streams, silent] = await Promise.all([
      served('http1'),
      served('opaque'),
      http2('/silence'),
      gateway.connect(),
    ]);
    await eventually('the request is under way', () => origin2.count() > seen);
    withdrawn();
    await streams.hears(/^GOAWAY .* NO_ERROR/);
    http1.send(GET);
    await http1.hears(/connection: close/);
    await clock.advance(10_000);
    await Promise.all([http1.whole(), opaque.whole(), streams.ends(), silent.whole()]);
  });
});

import { expect } from 'chai';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, type Origin, rawOrigin } from '../support/origins.ts';
import type { WireClient } from '../support/wire-client.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { WireTarget } from '../support/wire-target.ts';

const WEB = 'web.demo.svc.cluster.local';
const ECHO = 'echo.demo.svc.cluster.local';
const SILENT = 'silent.demo.svc.cluster.local';
const DETECT_MS = 300;
const PREFACE = 'transport.l5d.io/v1\r\n\r\n';
const GET = 'GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';

/** A header as the wire has it, from the hexadecimal text of its message. */
function framed(message: string, length = message.length / 2): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(length);
  return Buffer.concat([Buffer.from(PREFACE), size, Buffer.from(message, 'hex')]);
}
/** Field 2, the name, as hexadecimal text. */
const named = (name: string) =>
  `12${Buffer.from([name.length]).toString('hex')}${Buffer.from(name, 'latin1').toString('hex')}`;

/**
 * The header decides where a whole connection goes. The network cuts it anywhere; a gateway that needs it in
 * one piece breaks one connection in a thousand, where nobody finds out why. One that guesses at a broken
 * header carries bytes to a service that they were not meant for.
 */
describe('transport header at the gateway', () => {
  /** It has all the time in the world: whoever splits headers on a busy machine is late. */
  let gateway: WireGateway;
  /** It gives up clients whose header does not come. */
  let hasty: WireGateway;
  let origin: Origin;
  let echo: Origin;
  let silent: WireTarget;

  before(async () => {
    origin = await http1Origin();
    echo = await rawOrigin();
    silent = await WireTarget.start();
    const services = [
      service(WEB, [origin.port]),
      service(ECHO, [echo.port]),
      service(SILENT, [silent.port]),
    ];
    gateway = await WireGateway.start(services, { detectTimeoutMs: 120_000 });
    hasty = await WireGateway.start(services, { detectTimeoutMs: DETECT_MS });
  });

  after(async () => {
    await gateway.close();
    await hasty.close();
    origin.close();
    echo.close();
    await silent.close();
  });

  afterEach(async () => {
    const client = await gateway.open(WEB, 'http1');
    expect(await client.send(GET).whole()).to.match(/^HTTP\/1\.1 200 /);
  });

  const header = encodeTransportHeader({ name: WEB, port: 80, protocol: 'http1' });

  it('may be split at every byte, into records of their own, with a request behind it', async () => {
    const bytes = Buffer.concat([header, Buffer.from(GET)]);
    const cut = async (at: number) => {
      const client = await gateway.connect();
      await client.sendAlone(bytes.subarray(0, at));
      await client.sendAlone(bytes.subarray(at));
      expect(await client.whole(), `split at ${at}`).to.match(/^HTTP\/1\.1 200 [^]*hello$/);
    };
    for (let at = 1; at <= header.length; at += 8)
      await Promise.all(Array.from({ length: Math.min(8, header.length + 1 - at) }, (_, n) => cut(at + n)));
  });

  it('may come byte by byte', async () => {
    const client = await gateway.connect();
    for (const byte of header) await client.sendAlone(Buffer.from([byte]));
    expect(await client.send(GET).whole()).to.match(/^HTTP\/1\.1 200 /);
  });

  it('loses none of the bytes that follow it at once', async () => {
    const client = await gateway.connect();
    const payload = Buffer.alloc(100_000, 'abcdefghij');
    client.send(
      Buffer.concat([encodeTransportHeader({ name: ECHO, port: 80, protocol: 'opaque' }), payload]),
    );
    await eventually('all comes back', () => client.bytes.length === payload.length);
    expect(client.bytes.equals(payload)).to.equal(true);
  });

  it('with the end of what the client sends behind it: the target hears the end, and can still answer', async () => {
    silent.forget();
    const client = await gateway.open(SILENT, 'opaque');
    client.end();
    await eventually('the target hears the end', () => silent.connections.at(-1)?.ended === true);
    silent.connections.at(-1)?.say('late');
    silent.connections.at(-1)?.socket.end();
    expect(await client.whole()).to.equal('late');
  });

  it('of an HTTP/1 connection with the end behind it: nothing is sent to the target', async () => {
    const requests = origin.count();
    const client = await gateway.open(WEB, 'http1');
    expect(await client.end().whole()).to.equal('');
    expect(origin.count()).to.equal(requests);
  });

  it('of a protocol that nobody knows is one of raw bytes, as linkerd2-proxy takes it', async () => {
    const client = await gateway.connect();
    client.send(framed(`0850${named(ECHO)}1a022a00`), 'hi');
    expect(await client.hears(/hi/)).to.equal('hi');
  });

  it('may write the name in upper case and with a trailing dot', async () => {
    const client = await gateway.connect();
    client.send(framed(`0850${named(`${WEB.toUpperCase()}.`)}1a020a00`), GET);
    expect(await client.whole()).to.match(/^HTTP\/1\.1 200 /);
  });

  const port80 = '0850';
  const cases: readonly {
    readonly story: string;
    readonly send: (client: WireClient) => void;
    readonly reason: string;
  }[] = [
    { story: 'a request without a header', send: (c) => c.send(GET), reason: 'bad header' },
    {
      story: 'another version',
      send: (c) => c.send(Buffer.from(header.toString('latin1').replace('/v1', '/v2'), 'latin1')),
      reason: 'bad header',
    },
    {
      story: 'a length over the limit, without the bytes',
      send: (c) => c.send(framed(port80, 65_537)),
      reason: 'bad header',
    },
    {
      story: 'a length of 4 GiB',
      send: (c) => c.send(framed(port80, 0xffffffff)),
      reason: 'bad header',
    },
    { story: 'an empty message', send: (c) => c.send(framed('')), reason: 'bad header' },
    { story: 'port 0', send: (c) => c.send(framed(`0800${named(WEB)}`)), reason: 'bad header' },
    { story: 'port 65536', send: (c) => c.send(framed(`08808004${named(WEB)}`)), reason: 'bad header' },
    {
      story: 'a negative port',
      send: (c) => c.send(framed(`08ffffffffffffffffff01${named(WEB)}`)),
      reason: 'bad header',
    },
    {
      story: 'a number without end',
      send: (c) => c.send(framed(`08${'ff'.repeat(20)}`)),
      reason: 'bad header',
    },
    {
      story: 'a name with a slash',
      send: (c) => c.send(framed(`${port80}${named('../etc')}`)),
      reason: 'bad header',
    },
    {
      story: 'a name with a line break',
      send: (c) => c.send(framed(`${port80}${named('a\r\nb: c')}`)),
      reason: 'bad header',
    },
    {
      story: 'a name with NUL',
      send: (c) => c.send(framed(`${port80}${named(`${WEB}\0`)}`)),
      reason: 'bad header',
    },
    {
      story: 'a name that is no UTF-8',
      send: (c) => c.send(framed(`${port80}1202c328`)),
      reason: 'bad header',
    },
    {
      story: 'a name longer than the message',
      send: (c) => c.send(framed(`${port80}127f61`)),
      reason: 'bad header',
    },
    {
      story: 'a group, which protobuf has given up',
      send: (c) => c.send(framed(`${port80}1b`)),
      reason: 'bad header',
    },
    { story: 'no name', send: (c) => c.send(framed(`${port80}1a020a00`), GET), reason: 'nameless header' },
    { story: 'an end without a header', send: (c) => c.end(), reason: 'no header' },
    {
      story: 'an end in the middle of the header',
      send: (c) => c.send(header.subarray(0, 30)).end(),
      reason: 'no header',
    },
    { story: 'nothing', send: () => undefined, reason: 'header timeout' },
    {
      story: 'half of a header',
      send: (c) => c.send(header.subarray(0, 30)),
      reason: 'header timeout',
    },
    {
      story: 'a header that comes too slowly',
      send: (client) => {
        let at = 0;
        const timer = setInterval(() => {
          client.send(header.subarray(at, ++at));
          if (client.closed || at === header.length - 1) clearInterval(timer);
        }, 25);
      },
      reason: 'header timeout',
    },
  ];
  for (const { story, send, reason } of cases) {
    it(`ends ${story} without a word, counts it once under "${reason}"`, async () => {
      const asked = reason === 'header timeout' ? hasty : gateway;
      const counts = asked.refused;
      const requests = origin.count();
      const client = await asked.connect();
      send(client);
      expect(await client.whole()).to.equal('');
      const now = asked.refused;
      const changed = Object.keys(now).filter((key) => now[key] !== counts[key]);
      expect(changed).to.deep.equal([reason]);
      expect(now[reason]).to.equal((counts[reason] ?? 0) + 1);
      expect(origin.count()).to.equal(requests);
    });
  }

  it('of a service that is not exported ends raw bytes without a word, and tells HTTP why', async () => {
    const opaque = await gateway.open('secret.demo.svc.cluster.local', 'opaque');
    expect(await opaque.send('hi').whole()).to.equal('');
    const http = await gateway.open('secret.demo.svc.cluster.local', 'http1');
    expect(await http.send(GET).whole()).to.match(/^HTTP\/1\.1 404 [^]*not exported by this cluster/);
  });
});

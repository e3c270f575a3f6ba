import { expect } from 'chai';
import net from 'node:net';
import { once } from 'node:events';
import tls from 'node:tls';
import { STREAMS_ALPN } from '../../src/api/names.ts';
import { systemClock } from '../../src/base/clock.ts';
import { isRead, KNOWN_FIELDS, makeField } from '../../src/proxy/http/fields.ts';
import { frame, FrameType } from '../../src/proxy/http2/frames.ts';
import { Http2Connection } from '../../src/proxy/http2/http2-connection.ts';
import { statusField } from '../../src/proxy/http2/message.ts';
import { Tracer } from '../../src/proxy/tracing/tracer.ts';
import { SocketConnection } from '../../src/proxy/io/socket-connection.ts';
import { http1Origin, http2Origin, type Origin } from '../support/origins.ts';
import { eventually } from '../support/eventually.ts';
import { KeptHttp1, KeptHttp2 } from '../support/kept-connections.ts';
import { expectNoLag } from '../support/loop-lag.ts';
import { RawHttp2 } from '../support/raw-http2.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { worstTexts, WRAPPED_TEXTS } from '../support/worst-text.ts';

const WEB = 'web.demo.svc.cluster.local';
const WEB2 = 'web2.demo.svc.cluster.local';
const PREFACE = Buffer.from('transport.l5d.io/v1\r\n\r\n', 'latin1');

type Fields = readonly (readonly [string, string])[];

/** Fields of heads: those of which the gateway knows something, and some that only pass. */
const FIELDS = [
  ...new Set([
    ...KNOWN_FIELDS.filter((name) => !name.startsWith(':')),
    'l5d-client-id',
    'l5d-dst-canonical',
    'l5d-timeout',
    'l5d-retry-limit',
    'l5d-retry-http',
    'l5d-proxy-error',
    'expect',
    'trailer',
    'content-type',
    'accept-encoding',
    'grpc-status',
    'retry-after',
    'x-forwarded-for',
    'x-own',
  ]),
];
/** The longest that is read, and some of the longest that there can be. */
const TEXTS = [...worstTexts(8000), ...worstTexts(60_000).slice(-WRAPPED_TEXTS)];
/** For fields that nobody looks at: a few will do. */
const FEW_TEXTS = worstTexts(8000).slice(-WRAPPED_TEXTS);
const textsFor = (field: string) => (isRead(makeField(field, '')) ? TEXTS : FEW_TEXTS);

// One `Forwarded` field of 6 KB, from a pod of another cluster without any credentials, kept a gateway from
// everything else for minutes: the text was tried as one thing after another. Whatever is sent, and wherever,
// the others must not feel it; what the answer is does not matter here.
describe('text that is as bad as can be holds up nobody', () => {
  let gateway: WireGateway;
  let origin: Origin;
  let origin2: Origin;

  before(async () => {
    origin = await http1Origin();
    origin2 = await http2Origin();
    // All are recorded, so that what says of which trace they are is read.
    const sink = { add: () => undefined, capped: () => undefined };
    const all = { share: 1, paths: true, perSecond: 1e9, cluster: 'west' };
    const parts = { random: Math.random, clock: systemClock };
    gateway = await WireGateway.start(
      [
        { ...service(WEB, [origin.port]), protocol: 'http1' },
        { ...service(WEB2, [origin2.port]), protocol: 'http2' },
      ],
      { tracer: new Tracer({ ...all, ...parts, sink }) },
    );
    // The first of everything compiles.
    await http1('GET / HTTP/1.1', 'x-own: x');
  });

  after(async () => {
    kept.close();
    await gateway.close();
    origin.close();
    origin2.close();
  });

  const kept = new KeptHttp1(() => gateway.open(WEB, 'http1'));
  const http1 = (start: string, line: string, body = '') =>
    kept.ask(`${start}\r\nhost: x\r\n${line}\r\n\r\n${body}`);

  /** Sends requests over HTTP/2, over as few connections as the gateway lets it. */
  async function http2(heads: readonly Fields[], open: () => Promise<RawHttp2>): Promise<void> {
    const connection = new KeptHttp2(open);
    for (const head of heads)
      await connection.ask((client, stream) => client.send(client.head(stream, true, head)));
    connection.close();
  }

  const openHttp2 = async () => new RawHttp2((await gateway.open(WEB2, 'http2')).socket);
  const openStreams = async () =>
    new RawHttp2((await gateway.connect({ ALPNProtocols: [STREAMS_ALPN] })).socket);
  const get = (...extra: Fields): Fields => RawHttp2.get(extra);

  describe('over HTTP/1', () => {
    for (const field of FIELDS)
      it(`in ${field}`, () =>
        expectNoLag(field, async () => {
          for (const text of textsFor(field)) await http1('GET / HTTP/1.1', `${field}: ${text}`);
        }));

    const places: readonly [where: string, send: (text: string) => Promise<unknown>][] = [
      ['the method', (text) => http1(`${text} / HTTP/1.1`, 'x: y')],
      ['the path', (text) => http1(`GET /${text} HTTP/1.1`, 'x: y')],
      ['the query', (text) => http1(`GET /?${text} HTTP/1.1`, 'x: y')],
      ['an absolute target', (text) => http1(`GET http://${text} HTTP/1.1`, 'x: y')],
      ['what is behind a host', (text) => http1(`GET http://x/${text} HTTP/1.1`, 'x: y')],
      ['the version', (text) => http1(`GET / ${text}`, 'x: y')],
      ['a name', (text) => http1('GET / HTTP/1.1', `${text}: y`)],
      ['a line that is none', (text) => http1('GET / HTTP/1.1', text)],
      [
        'an extension of a chunk',
        (text) => http1('POST / HTTP/1.1', 'transfer-encoding: chunked', `1;${text}\r\na\r\n0\r\n\r\n`),
      ],
      [
        'the size of a chunk',
        (text) => http1('POST / HTTP/1.1', 'transfer-encoding: chunked', `${text}\r\na\r\n`),
      ],
      [
        'a trailer',
        (text) => http1('POST / HTTP/1.1', 'transfer-encoding: chunked', `0\r\nx-t: ${text}\r\n\r\n`),
      ],
      [
        'the name of a trailer',
        (text) => http1('POST / HTTP/1.1', 'transfer-encoding: chunked', `0\r\n${text}: x\r\n\r\n`),
      ],
    ];
    for (const [where, send] of places)
      it(`in ${where}`, () =>
        expectNoLag(where, async () => {
          for (const text of TEXTS) await send(text);
        }));

    it('in 199 fields of one head', () =>
      expectNoLag('many fields', async () => {
        for (const text of worstTexts(300)) {
          const lines = ['connection', 'forwarded', 'te', 'upgrade'].map((name) => `${name}: ${text}\r\n`);
          await http1('GET / HTTP/1.1', lines.join('').repeat(48).slice(0, -2));
        }
      }));
  });

  describe('over HTTP/2', () => {
    for (const field of FIELDS)
      it(`in ${field}`, () =>
        expectNoLag(field, () =>
          http2(
            textsFor(field).map((text) => get([field, text])),
            openHttp2,
          ),
        ));

    for (const pseudo of [':method', ':path', ':authority', ':scheme'])
      it(`in ${pseudo}`, () =>
        expectNoLag(pseudo, () =>
          http2(
            TEXTS.map((text) =>
              RawHttp2.get().map(([name, value]) => [name, name === pseudo ? text : value]),
            ),
            openHttp2,
          ),
        ));

    it('in a name', () =>
      expectNoLag('names', () =>
        http2(
          TEXTS.map((text) => get([text, 'x'])),
          openHttp2,
        ),
      ));

    it('in strings of HPACK: Huffman code, and integers that do not end', () => {
      const blocks = [0x00, 0xff, 0x18, 0x63, 0xf8].map((byte) => {
        const block = Buffer.alloc(16_000, byte);
        // A literal without indexing, whose name is Huffman code of 15,800 bytes.
        block.set([0x00, 0xff, 0xb9, 0x7a]);
        return block;
      });
      return expectNoLag('HPACK', async () => {
        for (const block of [...blocks, Buffer.alloc(16_000, 0xbe), Buffer.alloc(16_000, 0x20)]) {
          const client = await openHttp2();
          client.send(frame(FrameType.HEADERS, 5, 1, block));
          await client.hears(/^(HEADERS|RST) 1 |^GOAWAY/);
          client.socket.destroy();
        }
      });
    });
  });

  describe('in stream mode', () => {
    for (const field of ['forwarded', 'te', 'content-length', 'l5d-orig-proto', 'cookie', 'x-own'])
      it(`in ${field}`, () =>
        expectNoLag(field, () =>
          http2(
            TEXTS.map((text) => [[':target', `${WEB}:80`], ...get([field, text])]),
            openStreams,
          ),
        ));

    it('in :alternatives', () =>
      expectNoLag(':alternatives', () =>
        http2(
          TEXTS.map((text) => [[':target', `${WEB}:80`], [':alternatives', text], ...get()]),
          openStreams,
        ),
      ));

    for (const pseudo of [':target', ':session'])
      it(`in ${pseudo}`, () =>
        expectNoLag(pseudo, () =>
          http2(
            TEXTS.map((text) => {
              const head: Fields = [
                [':method', 'CONNECT'],
                [':target', `${WEB}:80`],
                [':session', 'http1'],
              ];
              return head.map(([name, value]) => [name, name === pseudo ? text : value]);
            }),
            openStreams,
          ),
        ));
  });

  it('in the name of a transport header', () =>
    expectNoLag('transport header', async () => {
      for (const text of TEXTS) {
        const name = Buffer.from(text, 'latin1');
        const length = Buffer.from([
          (name.length & 0x7f) | 0x80,
          (name.length >> 7) | 0x80,
          name.length >> 14,
        ]);
        const message = Buffer.concat([Buffer.from([0x08, 80, 0x12]), length, name]);
        const size = Buffer.alloc(4);
        size.writeUInt32BE(message.length);
        const client = await gateway.connect();
        await client.send(PREFACE, size, message).end().whole();
      }
    }));

  it('in the first bytes of a connection that says nothing of what it is', async () => {
    const relay = await startRelay({ specs: [service(WEB, [origin.port])], services: [{ name: WEB }] });
    try {
      await expectNoLag('first bytes', async () => {
        for (const text of TEXTS) await ask(relay, `${text}\r\n\r\n`);
      });
    } finally {
      await relay.close();
    }
  });

  it('from a plain client through an egress, as it was done', async () => {
    const relay = await startRelay({ specs: [service(WEB, [origin.port])], services: [{ name: WEB }] });
    try {
      const forwarded = (text: string) =>
        ask(relay, `GET / HTTP/1.1\r\nhost: x\r\nforwarded: ${text}\r\nconnection: close\r\n\r\n`);
      // A second each; the next ones took hours.
      await expectNoLag('Forwarded', () => forwarded(`by=${' '.repeat(800)}"a"b`));
      await expectNoLag('Forwarded', async () => {
        for (const text of [...FEW_TEXTS, `by=${' '.repeat(6000)}"a"b`]) await forwarded(text);
      });
    } finally {
      await relay.close();
    }
  });

  describe('from a target', () => {
    const fields = ['connection', 'upgrade', 'transfer-encoding', 'content-length', 'content-type'];
    const answers: readonly [where: string, answer: (text: string) => string][] = [
      ['the version', (text) => `${text} 200 OK\r\n\r\n`],
      ['the status', (text) => `HTTP/1.1 ${text}\r\n\r\n`],
      ['the reason', (text) => `HTTP/1.1 200 ${text}\r\n\r\n`],
      ['a name', (text) => `HTTP/1.1 200 OK\r\n${text}: x\r\n\r\n`],
      ...[...fields, 'grpc-status', 'retry-after', 'l5d-proxy-error', 'set-cookie'].map(
        (field): [string, (text: string) => string] => [
          field,
          (text) => `HTTP/1.1 200 OK\r\n${field}: ${text}\r\n\r\n`,
        ],
      ),
      [
        'a trailer',
        (text) => `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ngrpc-status: ${text}\r\n\r\n`,
      ],
      [
        'an extension of a chunk',
        (text) => `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;${text}\r\na\r\n0\r\n\r\n`,
      ],
    ];
    let next = '';
    let server: net.Server;

    before(async () => {
      server = net.createServer((socket) => {
        socket.on('error', () => undefined);
        socket.on('data', () => socket.end(Buffer.from(next, 'latin1')));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as net.AddressInfo;
      gateway.serve([{ ...service(WEB, [port]), protocol: 'http1' }]);
    });
    after(() => {
      server.close();
    });

    for (const [where, answer] of answers)
      it(`in ${where}`, () =>
        expectNoLag(where, async () => {
          for (const text of TEXTS) {
            next = answer(text);
            await http1('POST / HTTP/1.1', 'content-length: 0');
          }
        }));
  });

  // A gateway may be somebody else's: why it refuses a flow is its text, in our log.
  it('from a gateway that refuses a flow', async () => {
    const relay = await startRelay({ specs: [], services: [{ name: WEB }] });
    let why = '';
    let refused = 0;
    const { cert = '', key = '', ca = '' } = relay.local.identity.current() ?? {};
    const rogue = tls.createServer({
      cert,
      key,
      ca,
      requestCert: true,
      ALPNProtocols: [STREAMS_ALPN],
    });
    rogue.on('secureConnection', (socket) => {
      const connection = new Http2Connection(new SocketConnection(socket), {
        role: 'server',
        clock: systemClock,
        user: {
          onRequest(stream) {
            refused++;
            stream.head([statusField(403), makeField('l5d-proxy-error', why)], true);
          },
          onTooLarge: () => undefined,
          onStreamClosed: () => undefined,
          onGoAway: () => undefined,
          onClosed: () => undefined,
        },
      });
      connection.start(Buffer.alloc(0));
    });
    rogue.listen(0, '127.0.0.1');
    await once(rogue, 'listening');
    const { port } = rogue.address() as net.AddressInfo;
    relay.route({ addresses: ['127.0.0.1'], port, identity: 'gateway.west' });
    try {
      await expectNoLag('a refusal', async () => {
        const before = refused;
        for (const text of TEXTS) {
          why = text;
          const socket = await relay.client.connect(WEB);
          // A refusal of raw bytes is a reset.
          socket.on('error', () => undefined).resume();
          socket.write('bytes of nobody knows what\n\n');
          await eventually('it is over', () => socket.destroyed);
        }
        expect(refused - before).to.be.at.least(TEXTS.length);
      });
      const said = relay.lines.filter(({ msg }) => msg === 'flow refused by the gateway');
      expect(said.length).to.be.at.least(1);
      for (const { reason } of said) expect(String(reason).length).to.be.at.most(512);
    } finally {
      await relay.close();
      rogue.close();
    }
  });

  async function ask(relay: Relay, bytes: string): Promise<void> {
    const socket = await relay.client.connect(WEB);
    const over = once(socket, 'close');
    socket.resume();
    socket.end(Buffer.from(bytes, 'latin1'));
    await over;
    expect(socket.destroyed).to.equal(true);
  }
});

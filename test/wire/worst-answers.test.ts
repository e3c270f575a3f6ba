import { expect } from 'chai';
import { once } from 'node:events';
import net from 'node:net';
import { systemClock } from '../../src/base/clock.ts';
import { STREAMS_CLIENTS_ALPN } from '../../src/api/names.ts';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { Prober } from '../../src/controllers/gateway-health/probe-request.ts';
import { type AdminServer, startAdmin } from '../../src/telemetry/admin.ts';
import { KeptHttp1, KeptHttp2 } from '../support/kept-connections.ts';
import { expectNoLag } from '../support/loop-lag.ts';
import { http1Origin, http2Origin, type Origin } from '../support/origins.ts';
import { RawHttp2, raw } from '../support/raw-http2.ts';
import { rawHttp2Target, type RawTarget } from '../support/raw-http2-target.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { WORST_TEXTS, worstTexts, WRAPPED_TEXTS } from '../support/worst-text.ts';

const WEB1 = 'web1.demo.svc.cluster.local';
const WEB2 = 'web2.demo.svc.cluster.local';
const ANSWERS = 'answers.demo.svc.cluster.local';
const EAST = 'serviceaccount.identity.linkerd.east';
const RELAY = `linkspan-egress.linkspan.${EAST}`;

type Fields = readonly (readonly [string, string])[];

/** The longest that is read, and some of the longest that there can be. */
const TEXTS = [...worstTexts(8000), ...worstTexts(60_000).slice(-WRAPPED_TEXTS)];
const OK: readonly [string, string] = [':status', '200'];

/**
 * What comes behind a body, from a target that speaks HTTP/2, from a relay that names its clients, and at the
 * ports that people and probes ask was in no test of worst texts: heads of requests were.
 */
describe('text that is as bad as can be holds up nobody, wherever else it comes', () => {
  const origins: Origin[] = [];
  let target: RawTarget;
  let answer: { readonly interim?: Fields; readonly head: Fields; readonly trailers?: Fields };
  let gateway: WireGateway;
  const kept1 = new KeptHttp1(() => gateway.open(ANSWERS, 'http1'));
  const openHttp2 = async (name: string) => new RawHttp2((await gateway.open(name, 'http2')).socket);
  const kept2 = new KeptHttp2(() => openHttp2(ANSWERS));

  before(async () => {
    const [one, two] = [await http1Origin(), await http2Origin()];
    origins.push(one, two);
    target = await rawHttp2Target(({ streamId, head }) => {
      const { interim, trailers } = answer;
      const before = interim === undefined ? [] : [head(false, ...interim)];
      if (trailers === undefined) return [...before, head(true, ...answer.head)];
      return [...before, head(false, ...answer.head), raw.data(streamId, 'x'), head(true, ...trailers)];
    });
    const of = (name: string, port: number, protocol: 'http1' | 'http2'): TargetSpec => ({
      ...service(name, [port]),
      protocol,
    });
    gateway = await WireGateway.start(
      [of(WEB1, one.port, 'http1'), of(WEB2, two.port, 'http2'), of(ANSWERS, target.port, 'http2')],
      { trustedRelays: [RELAY] },
    );
    // The first of everything compiles.
    answer = { head: [OK], trailers: [['x-t', 'y']] };
    for (const client of ['http1', 'http2'] as const) await ask(client);
  });

  after(async () => {
    for (const kept of [kept1, kept2]) kept.close();
    await gateway.close();
    target.close();
    for (const origin of origins) origin.close();
  });

  /** One request to the target that answers what it is told. */
  async function ask(client: 'http1' | 'http2'): Promise<void> {
    if (client === 'http1') await kept1.ask('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    else
      await kept2.ask(
        (asking, stream) => asking.send(asking.head(stream)),
        (stream) => new RegExp(`^(HEADERS ${stream} .*end|DATA ${stream} .*end|RST ${stream} )`),
      );
  }

  describe('from a target of HTTP/2', () => {
    const fields = ['content-length', 'content-type', 'grpc-status', 'connection', 'transfer-encoding', 'te'];
    const more = ['upgrade', 'www-authenticate', 'l5d-proxy-error', 'l5d-proxy-connection', 'set-cookie'];
    const places: readonly [where: string, make: (text: string) => typeof answer][] = [
      ['the status', (text) => ({ head: [[':status', text]] })],
      ['a name', (text) => ({ head: [OK, [text, 'x']] })],
      ...[...fields, ...more].map((field): [string, (text: string) => typeof answer] => [
        field,
        (text) => ({ head: [OK, [field, text]] }),
      ]),
      [
        'an interim answer',
        (text) => ({
          interim: [
            [':status', '103'],
            ['link', text],
          ],
          head: [OK],
        }),
      ],
      ...['grpc-status', 'grpc-message', 'content-length', 'x-t'].map(
        (field): [string, (text: string) => typeof answer] => [
          `the trailer ${field}`,
          (text) => ({ head: [OK], trailers: [[field, text]] }),
        ],
      ),
      ['the name of a trailer', (text) => ({ head: [OK], trailers: [[text, 'x']] })],
    ];
    for (const client of ['http1', 'http2'] as const)
      for (const [where, make] of places)
        it(`in ${where}, to a client of ${client}`, async () => {
          const before = target.streams();
          // Our client of HTTP/2 reads no CONTINUATION.
          const texts = client === 'http1' ? TEXTS : worstTexts(8000);
          await expectNoLag(where, async () => {
            for (const text of texts) {
              answer = make(text);
              await ask(client);
            }
          });
          // Each has come to where it could do harm.
          expect(target.streams() - before).to.be.at.least(texts.length);
        });
  });

  for (const name of [WEB1, WEB2])
    for (const [where, make] of [
      ['a trailer', (text: string): Fields => [['x-t', text]]],
      ['a trailer that frames', (text: string): Fields => [['content-length', text]]],
      ['the name of a trailer', (text: string): Fields => [[text, 'x']]],
    ] as const)
      it(`in ${where} of a request over HTTP/2 to ${name}`, () =>
        expectNoLag(where, async () => {
          const connection = new KeptHttp2(() => openHttp2(name));
          const post = RawHttp2.get().map(
            ([field, value]) => [field, field === ':method' ? 'POST' : value] as const,
          );
          for (const text of TEXTS)
            await connection.ask((client, stream) =>
              client.send(
                client.head(stream, false, post),
                raw.data(stream, 'body'),
                client.head(stream, true, make(text)),
              ),
            );
          connection.close();
        }));

  it('in the name of a client that a relay says', async () => {
    const { cert, key } = await issueLeaf(gateway.authority, { identity: RELAY });
    const names = TEXTS.flatMap((text) => [text, `${text}.${EAST}`]);
    await expectNoLag(':client', async () => {
      const connection = new KeptHttp2(async () => {
        const settings = { ALPNProtocols: [STREAMS_CLIENTS_ALPN], cert, key };
        return new RawHttp2((await gateway.connect(settings)).socket);
      });
      for (const name of names) {
        const head: Fields = [...RawHttp2.get().slice(0, 3), [':target', `${WEB1}:80`], [':client', name]];
        await connection.ask((client, stream) => client.send(client.head(stream, true, head)));
      }
      connection.close();
    });
  });

  describe('at the ports for probes and people', () => {
    let admin: AdminServer;

    before(async () => {
      admin = await startAdmin({
        address: { host: '127.0.0.1', port: 0 },
        ready: () => ({ ok: true, reason: '' }),
        readyPart: (parts) => ({ status: 404, reason: parts.join() }),
        logLevel: { get: () => 'info', set: (level) => `"${level}" is no level` },
        pages: new Map([['/explain', (query) => [...query]]]),
      });
    });
    after(() => admin.close());

    async function said(text: string): Promise<void> {
      const socket = net.connect(admin.address.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.resume();
      socket.end(Buffer.from(text, 'latin1'));
      await once(socket, 'close');
    }

    for (const [where, make] of [
      ['the path', (text) => `GET /${text} HTTP/1.1\r\n\r\n`],
      ['the name of a part', (text) => `GET /ready/${text.replaceAll(' ', '/')} HTTP/1.1\r\n\r\n`],
      ['the query', (text) => `GET /explain?${text.replaceAll(' ', '&')} HTTP/1.1\r\n\r\n`],
      ['a field', (text) => `GET /metrics HTTP/1.1\r\naccept-encoding: ${text}\r\n\r\n`],
      [
        'a log level',
        (text) => `PUT /proxy-log-level HTTP/1.1\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
      ],
      ['the first bytes', (text) => text],
    ] as const satisfies readonly [string, (text: string) => string][])
      it(`in ${where}`, () =>
        expectNoLag(where, async () => {
          for (const text of TEXTS) await said(make(text));
        }));
  });

  it('from a gateway that is probed', async () => {
    let text = '';
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(Buffer.from(text, 'latin1')));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const prober = new Prober({ clock: systemClock, identity: () => undefined });
    const probed = { host: '127.0.0.1', port, path: '/ready', identity: 'gateway.west', timeoutMs: 5000 };
    try {
      await expectNoLag('a probe', async () => {
        for (const make of WORST_TEXTS)
          for (const whole of [
            make(8000),
            `HTTP/1.1 ${make(8000)}\r\n\r\n`,
            `HTTP/1.1 200 OK\r\ncontent-length: ${make(8000)}\r\n\r\n`,
            `HTTP/1.1 200 OK\r\n${make(8000)}: x\r\n\r\n`,
          ]) {
            text = whole;
            await prober.probe(probed);
          }
      });
    } finally {
      server.close();
    }
  });
});

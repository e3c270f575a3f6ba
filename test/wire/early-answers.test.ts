import { expect } from 'chai';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { outliveWriteErrors } from '../../src/proxy/io/write-errors.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import type { PlainClient } from '../support/plain-client.ts';
import { RawHttp2 } from '../support/raw-http2.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

const NAME = 'early.demo.svc.cluster.local';
const RAW = 'raw.demo.svc.cluster.local';
const ECHO = 'echo.demo.svc.cluster.local';
const UPLOAD = 4 * 1024 * 1024;
/** Raw bytes: the client is reset as the gateway was, and its own runtime must not lose what it has got. */
const RAW_UPLOAD = 256 * 1024;
const PIECE = Buffer.alloc(64 * 1024, 'u');
/** Tries of each kind, and how many of them at once. Before, one of two to one of eight was lost. */
const TRIES = 100;
const AT_ONCE = 10;
/**
 * Says no at the head of a request, and goes away with the rest of it unread, which makes the kernel send a
 * reset.
 */
const ANSWER = 'HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 8\r\n\r\ntoo big\n';

/** All that a client has got, who sends as fast as it is let until the answer has come. */
async function uploadOver1(socket: net.Socket, upload: number): Promise<string> {
  let text = '';
  const heard = { over: false };
  const events = new EventEmitter();
  // What the client has got is not lost because it goes on sending.
  outliveWriteErrors(socket, () => events.emit('go on'));
  const end = () => {
    heard.over = true;
    events.emit('go on');
  };
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (text.includes('\n', text.indexOf('\r\n\r\n') + 4)) end();
  });
  socket.once('end', end);
  socket.once('close', end);
  socket.on('drain', () => events.emit('go on'));
  socket.write(`POST / HTTP/1.1\r\nhost: early\r\ncontent-length: ${UPLOAD}\r\n\r\n`);
  for (let sent = 0; sent < upload && !heard.over; sent += PIECE.length)
    if (!socket.write(PIECE)) await once(events, 'go on');
  await eventually('the end', () => heard.over);
  socket.destroy();
  return text;
}

/**
 * A target may answer before it has read the whole of a request, and close: 413, 401, 503. What it still has
 * to read makes its kernel send a reset behind the answer; whoever then writes hears of the reset before it
 * has read the answer, and said 502 (RFC 9112 sections 9.5 and 9.6).
 */
for (const runtime of RUNTIMES)
  describe(`An error on one half of a connection does not hide the other, on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-early-'));
    let target: net.Server;
    let echo: net.Server;
    let gateway: GatewayProcess;
    const egresses: EgressProcess[] = [];
    let mesh: MeshClient;

    before(async function () {
      target = net.createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => {
          socket.pause();
          socket.write(ANSWER, () => socket.resetAndDestroy());
        });
      });
      target.listen(0, '127.0.0.1');
      await once(target, 'listening');
      const ports = [(target.address() as net.AddressInfo).port];
      echo = net.createServer((socket) => void socket.on('error', () => undefined).pipe(socket));
      echo.listen(0, '127.0.0.1');
      await once(echo, 'listening');
      const issuer = await createIssuer(await createAnchor({}), {});
      gateway = await GatewayProcess.start({
        runtime,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: [
          { name: NAME, ports, protocol: 'http1' },
          { name: RAW, ports, protocol: 'opaque' },
          { name: ECHO, ports: [(echo.address() as net.AddressInfo).port], protocol: 'opaque' },
        ],
        flags: ['--grace', '0'],
      });
      mesh = new MeshClient({
        port: gateway.port,
        gatewayIdentity: 'gateway.west',
        identity: await issueLeaf(issuer, { identity: 'front.east' }),
      });
      for (const streams of [true, false])
        egresses.push(
          await EgressProcess.start({
            runtime,
            dir: path.join(dir, `egress-${streams}`),
            identity: await issueLeaf(issuer, { identity: 'egress.east' }),
            gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' },
            services: [{ name: NAME }, { name: RAW, protocol: 'opaque' }],
            streams,
          }),
        );
    });

    after(async () => {
      mesh.close();
      for (const egress of egresses) await egress.kill();
      await gateway.kill();
      target.close();
      echo.close();
      rmSync(dir, { recursive: true });
    });

    const plain = (at: number): PlainClient => {
      const egress = egresses[at];
      if (egress === undefined) throw new Error('there is no such egress');
      return egress.client;
    };

    /** What came, and how often, of `TRIES` tries. */
    async function tally(once: () => Promise<string>): Promise<Record<string, number>> {
      const counts: Record<string, number> = {};
      for (let at = 0; at < TRIES; at += AT_ONCE)
        for (const came of await Promise.all(Array.from({ length: AT_ONCE }, once)))
          counts[came] = (counts[came] ?? 0) + 1;
      return counts;
    }

    /** The start of an answer, and whether it is whole. */
    const startOf = (text: string) =>
      text.endsWith('too big\n') ? text.slice(0, 12) : `cut: ${text.slice(0, 12)} ${text.slice(-100)}`;

    for (const [way, connect] of [
      ['a mesh client of HTTP/1', () => mesh.connect(NAME, 80, 'http1')],
      ['a plain client, in stream mode', () => plain(0).connect(NAME)],
      ['a plain client, without streams', () => plain(1).connect(NAME)],
      ['a mesh client of raw bytes', () => mesh.connect(RAW, 80, 'opaque')],
      ['a plain client of raw bytes, in stream mode', () => plain(0).connect(RAW)],
      ['a plain client of raw bytes, without streams', () => plain(1).connect(RAW)],
    ] as const)
      it(`an early answer with a reset behind it reaches ${way}`, async () => {
        const counts = await tally(async () =>
          startOf(await uploadOver1(await connect(), way.includes('raw') ? RAW_UPLOAD : UPLOAD)),
        );
        expect(counts).to.deep.equal({ 'HTTP/1.1 413': TRIES });
      });

    // What waits for an answer that may still be there waited half a minute for peers that had only gone: on
    // Bun a gateway's cost of a handshake grew tenfold.
    it('peers that only go away leave nothing behind', async () => {
      const open = async () =>
        Number(
          /^tcp_open_connections\{direction="inbound",peer="src"[^}]*\} (\d+)/m.exec(
            await gateway.metrics(),
          )?.[1] ?? 0,
        );
      const before = await open();
      for (let at = 0; at < 100; at++) {
        const below = net.connect(gateway.port, '127.0.0.1');
        const socket = await mesh.connect(ECHO, 80, 'opaque', below);
        socket.write(PIECE);
        await once(socket, 'data');
        below.resetAndDestroy();
      }
      await eventually('they are gone', async () => (await open()) <= before, { timeoutMs: 25_000 });
    });

    it('an early answer with a reset behind it reaches a mesh client of HTTP/2', async () => {
      const counts = await tally(async () => {
        const client = new RawHttp2(await mesh.connect(NAME, 80, 'http2'));
        client.send(
          client.head(1, false, [
            [':method', 'POST'],
            [':scheme', 'http'],
            [':path', '/'],
            [':authority', 'x'],
          ]),
        );
        client.send(Buffer.concat(Array.from({ length: 3 }, () => dataFrame(1, 16_384))));
        await client.hears(/^HEADERS 1 /);
        client.socket.destroy();
        return client.heard.find((line) => line.startsWith('HEADERS 1')) ?? '';
      });
      expect(counts).to.deep.equal({ 'HEADERS 1 413': TRIES });
    });
  });

function dataFrame(stream: number, length: number): Buffer {
  const frame = Buffer.alloc(9 + length);
  frame.writeUIntBE(length, 0, 3);
  frame.writeUInt32BE(stream, 5);
  return frame;
}

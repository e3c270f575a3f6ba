import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type http2 from 'node:http2';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { grpcCall } from '../support/grpc.ts';
import type { Runtime } from '../support/runtime-process.ts';
import { grpcOrigin, http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import type { PlainClient } from '../support/plain-client.ts';
import type { ClientKind } from '../support/service-client.ts';

const service = (name: string) => `${name}.demo.svc.cluster.local`;

/**
 * Who runs on what, and whether the gateway speaks stream mode: one that does not stands for Linkerd's, and
 * for one of ours before it could.
 */
const PAIRS: readonly (readonly [egress: Runtime, gateway: Runtime, mode: 'streams' | 'header'])[] = [
  ['node', 'node', 'streams'],
  ['bun', 'bun', 'streams'],
  ['node', 'bun', 'header'],
  ['bun', 'node', 'header'],
];

const KINDS: readonly (readonly [ClientKind, string, string])[] = [
  ['http1', 'plain1', '1.1'],
  ['http1', 'only2', '2.0'],
  ['http2', 'plain2', '2.0'],
  ['http2', 'only1', '1.1'],
];

/** What an origin saw of each kind of request, by mode: both ways must look the same to it. */
const seen: Record<'streams' | 'header', Map<string, unknown>> = { streams: new Map(), header: new Map() };

/**
 * An application that works through one gateway and breaks through the next, because of how the egress
 * reached it, is the worst kind of surprise: nobody has changed anything. Every protocol, in both modes.
 */
for (const [egressRuntime, gatewayRuntime, mode] of PAIRS) {
  describe(`A plain client through an egress on ${egressRuntime} and a gateway on ${gatewayRuntime}, ${mode}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-streams-'));
    const origins: Record<string, Origin> = {};
    let gateway: GatewayProcess;
    let egress: EgressProcess;
    let client: PlainClient;

    before(async function () {
      const issuer = await createIssuer(await createAnchor({}), {});
      Object.assign(origins, {
        h1: await http1Origin('h1'),
        h2: await http2Origin('h2'),
        grpc: await grpcOrigin(),
        raw: await rawOrigin(),
        greeter: await rawOrigin('220 welcome\r\n'),
      });
      const ports = (name: string) => [origins[name]?.port ?? 0];
      gateway = await GatewayProcess.start({
        runtime: gatewayRuntime,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: [
          { name: service('plain1'), ports: ports('h1') },
          { name: service('plain2'), ports: ports('h2') },
          { name: service('only1'), ports: ports('h1'), protocol: 'http1' },
          { name: service('only2'), ports: ports('h2'), protocol: 'http2' },
          { name: service('grpc'), ports: ports('grpc') },
          { name: service('raw'), port: 7, ports: ports('raw') },
          { name: service('greeter'), port: 25, ports: ports('greeter') },
          { name: service('empty'), ports: [] },
        ],
        flags: mode === 'header' ? ['--streams', 'off'] : [],
      });
      egress = await EgressProcess.start({
        runtime: egressRuntime,
        dir: path.join(dir, 'egress'),
        identity: await issueLeaf(issuer, { identity: 'egress.east' }),
        gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' },
        services: [
          ...['plain1', 'plain2', 'only1', 'only2', 'grpc', 'empty', 'nowhere'].map((name) => ({
            name: service(name),
          })),
          { name: service('raw'), port: 7, protocol: 'opaque' },
          { name: service('nowhere'), port: 7, protocol: 'opaque' },
          { name: service('greeter'), port: 25, protocol: 'opaque' },
        ],
      });
      ({ client } = egress);
    });

    after(async () => {
      await egress.kill();
      await gateway.kill();
      for (const origin of Object.values(origins)) origin.close();
      rmSync(dir, { recursive: true });
    });

    for (const [kind, name, version] of KINDS) {
      describe(`${kind} to ${name}`, () => {
        const ask = (request: Parameters<PlainClient['request']>[2]) =>
          client.request(kind, service(name), request);

        it('the target sees the same whichever way it came: who asked, what was asked for, and nothing of the way', async () => {
          const { status, body } = await ask({
            path: '/facts/x?y=1',
            headers: {
              'l5d-client-id': 'somebody.else',
              'l5d-dst-canonical': 'elsewhere:1',
              forwarded: 'for=me',
              cookie: 'a=b',
            },
          });
          expect(status).to.equal(200);
          const facts = JSON.parse(String(body)) as {
            url: string;
            httpVersion: string;
            headers: Record<string, string>;
          };
          expect([facts.url, facts.httpVersion]).to.deep.equal(['/facts/x?y=1', version]);
          expect(facts.headers).to.include({
            'l5d-client-id': 'egress.east',
            'l5d-dst-canonical': `${service(name)}:80`,
            cookie: 'a=b',
          });
          expect(facts.headers['forwarded']).to.match(/^for=me, ?by=gateway\.west;for=egress\.east;host=/);
          // What names nothing but this connection may differ.
          const { connection: _, ...rest } = facts.headers;
          seen[mode].set(`${kind} ${name}`, { ...facts, headers: rest });
          const other = seen[mode === 'streams' ? 'header' : 'streams'].get(`${kind} ${name}`);
          if (other !== undefined) expect({ ...facts, headers: rest }).to.deep.equal(other);
        });

        it('bodies of megabytes, both ways, byte for byte', async () => {
          const sent = Buffer.alloc(2 << 20, 'the quick brown fox ');
          const pieces = [sent.subarray(0, 10), sent.subarray(10, 800_000), sent.subarray(800_000)];
          const { body } = await ask({ method: 'POST', path: '/echo', body: pieces });
          expect(body.equals(sent)).to.equal(true);
        });

        it('trailers both ways', async () => {
          const { trailers, body } = await ask({
            method: 'POST',
            path: '/echo',
            body: [Buffer.from('abc')],
            trailers: { 'x-sent': 'sum' },
          });
          expect([String(body), trailers['x-echoed']]).to.deep.equal(['abc', 'sum']);
        });

        it('HEAD, statuses without a body, early hints', async () => {
          const head = await ask({ method: 'HEAD', path: '/hello' });
          expect([head.status, head.headers['content-length'], head.body.length]).to.deep.equal([
            200,
            '5',
            0,
          ]);
          for (const status of [204, 304, 500])
            expect((await ask({ path: `/status/${status}` })).status).to.equal(status);
          expect((await ask({ path: '/hints' })).interim).to.deep.equal([103]);
        });

        it('a response that is cut is not taken for a whole one', async () => {
          const outcome = await ask({ path: '/cut' }).then(
            ({ body }) => `whole: ${body.length}`,
            () => 'cut',
          );
          expect(outcome).to.equal('cut');
        });
      });
    }

    for (const kind of ['http1', 'http2'] as const) {
      it(`${kind}: what is not exported is 404, what has no endpoints 504, and both say so`, async () => {
        const nowhere = await client.request(kind, service('nowhere'), { path: '/' });
        expect([nowhere.status, String(nowhere.body)]).to.satisfy(
          ([status, body]: [number, string]) => status === 404 && /nowhere.* is not exported/.test(body),
        );
        const empty = await client.request(kind, service('empty'), { path: '/' });
        expect([empty.status, String(empty.body)]).to.satisfy(
          ([status, body]: [number, string]) =>
            status === 504 && body.includes('no ready endpoints for empty'),
        );
      });
    }

    it('many requests on one HTTP/1 connection, pipelined; HTTP/1.0', async () => {
      const socket = await client.connect(service('plain1'));
      socket.write('GET /hello HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(20));
      await hears(socket, /(HTTP\/1\.1 200[^]*?hello){20}$/);
      socket.destroy();
      const old = await client.connect(service('plain1'));
      old.write('GET /hello HTTP/1.0\r\n\r\n');
      expect(await whole(old)).to.match(/^HTTP\/1\.1 200[^]*connection: close[^]*hello$/i);
    });

    it('Expect: 100-continue is answered by the target', async () => {
      const { interim, body } = await client.request('http1', service('plain1'), {
        method: 'POST',
        path: '/echo',
        headers: { expect: '100-continue' },
        body: [Buffer.from('waited')],
      });
      expect([interim, String(body)]).to.deep.equal([[100], 'waited']);
    });

    it('WebSocket and other upgrades', async () => {
      const socket = await client.connect(service('plain1'));
      socket.write('GET /chat HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nfirst');
      await hears(socket, /^HTTP\/1\.1 101 [^]*upgrade: echo[^]*\r\n\r\nfirst$/i);
      const sent = Buffer.alloc(1_000_000, 'frame ');
      const back = collected(socket, sent.length);
      socket.write(sent);
      expect((await back).equals(sent)).to.equal(true);
      socket.end();
      if (!socket.readableEnded) await once(socket, 'end');
    });

    it('an upgrade that the target does not want is answered like any request, and the next one too', async () => {
      const socket = await client.connect(service('only2'));
      for (let count = 0; count < 2; count++) {
        socket.write('GET /hello HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
        await hears(socket, /^HTTP\/1\.1 \d{3} /);
      }
      socket.destroy();
    });

    it('raw bytes both ways, and a half-close', async () => {
      const socket = await client.connect(service('raw'), 7);
      const sent = Buffer.alloc(2_000_000, 'opaque ');
      const back = collected(socket, sent.length);
      socket.end(sent);
      expect((await back).equals(sent)).to.equal(true);
      if (!socket.readableEnded) await once(socket, 'end');
    });

    // Without stream mode each is a handshake of its own, of which a busy machine cannot make 300 within the
    // time that a flow waits for its connection.
    const flows = mode === 'streams' ? 300 : 100;
    it(`${flows} raw flows at once, of which every third reads nothing: the others do not notice`, async () => {
      const sockets = await Promise.all(
        Array.from({ length: flows }, () => client.connect(service('raw'), 7)),
      );
      const piece = Buffer.alloc(20_000, 'piece ');
      const big = Buffer.alloc(2_000_000);
      const done = sockets.map(async (socket, index) => {
        if (index % 3 === 0) {
          socket.pause();
          socket.write(big);
          return;
        }
        const back = collected(socket, piece.length);
        socket.end(piece);
        expect((await back).equals(piece)).to.equal(true);
      });
      await Promise.all(done);
      for (const socket of sockets) socket.destroy();
    });

    it('a server that speaks first', async () => {
      const socket = await client.connect(service('greeter'), 25);
      await hears(socket, /^220 welcome\r\n$/);
      socket.write('HELO x\r\n');
      await hears(socket, /HELO x\r\n$/);
      socket.destroy();
    });

    it('a raw flow to what is not exported ends', async () => {
      // The end can come before the client has seen that it was connected: then that is what it sees.
      const socket = await client.connect(service('nowhere'), 7).catch((error: unknown) => {
        expect(error).to.have.property('code', 'ECONNRESET');
        return undefined;
      });
      socket?.write('anybody?');
      socket?.resume();
      await eventually('it ends', () => socket === undefined || socket.closed || socket.readableEnded);
      if (mode === 'streams')
        await eventually('the egress says why', async () =>
          egress.log.includes('is not exported by this cluster'),
        );
    });

    it('a client that breaks off is broken off at the target', async () => {
      const socket = await client.connect(service('raw'), 7);
      socket.write('x');
      await once(socket, 'data');
      socket.resetAndDestroy();
      await eventually('no raw flow is open', async () =>
        /tcp_open_connections\{[^}]*peer="dst"[^}]*\} (\d+)/.test(await gateway.metrics()),
      );
    });

    describe('gRPC', () => {
      const call = async (name: string, at: string) => grpcCall(await client.session(service(name)), at);

      it('messages both ways, one after the other, and trailers', async () => {
        const stream = await call('grpc', '/echo');
        const trailers = once(stream, 'trailers');
        for (let count = 0; count < 10; count++) {
          stream.write(`message ${count}`);
          const [chunk] = (await once(stream, 'data')) as [Buffer];
          expect(String(chunk)).to.equal(`message ${count}`);
        }
        stream.end();
        expect((await trailers)[0]).to.include({ 'grpc-status': '0', 'x-last': 'yes' });
      });

      it("failures without messages, the gateway's own included", async () => {
        for (const [name, at, status] of [
          ['grpc', '/fail/13', '13'],
          ['nowhere', '/echo', '5'],
          ['empty', '/echo', '4'],
        ] as const) {
          const stream = await call(name, at);
          stream.end();
          const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
          expect(headers).to.include({ ':status': 200, 'grpc-status': status });
          stream.close();
        }
      });
    });

    it('what travelled how shows in the metrics of both', async () => {
      const [out, into] = await Promise.all([egress.metrics(), gateway.metrics()]);
      const value = (text: string, name: string) =>
        Number(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
      for (const [text, direction] of [
        [out, 'outbound'],
        [into, 'inbound'],
      ] as const) {
        const connections = value(text, `linkspan_stream_connections{direction="${direction}"}`);
        const tunnels = value(text, `linkspan_streams_total{direction="${direction}",kind="tunnel"}`);
        const requests = value(text, `linkspan_streams_total{direction="${direction}",kind="request"}`);
        if (mode === 'header') expect([connections, tunnels, requests]).to.deep.equal([0, 0, 0]);
        else {
          expect(connections).to.be.within(1, 4);
          expect(tunnels).to.be.greaterThan(5);
          expect(requests).to.be.greaterThan(20);
        }
      }
    });
  });
}

/** Waits until what has come since matches. */
async function hears(socket: Socket, pattern: RegExp): Promise<void> {
  let text = '';
  const listen = (chunk: Buffer) => (text += chunk.toString('latin1'));
  socket.on('data', listen);
  await eventually(`${pattern} in ${text}`, () => pattern.test(text), { everyMs: 2 });
  socket.off('data', listen);
}

async function whole(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  await once(socket, 'end');
  socket.destroy();
  return text;
}

function collected(socket: Socket, bytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const listen = (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length < bytes) return;
      socket.off('data', listen);
      resolve(Buffer.concat(chunks));
    };
    socket.on('data', listen);
    socket.once('close', () => reject(new Error(`closed after ${length} of ${bytes} bytes`)));
  });
}

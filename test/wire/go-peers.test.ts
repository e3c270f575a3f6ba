import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '../support/eventually.ts';
import { goClient, GoServer, openWays, type Outcome, WAYS, type Ways } from '../support/go-peers.ts';
import type { Origin } from '../support/origins.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

const KB = 1024;
const MB = 1_000_000;

/**
 * Bytes per read, bytes per answer, answers, and how many at a time. Those with small reads were cut off as a
 * flood after some megabytes.
 */
const DOWNLOADS: readonly (readonly [buffer: number, bytes: number, count: number, atOnce: number])[] = [
  [4 * KB, 15 * MB, 1, 1],
  [8 * KB, 30 * MB, 1, 1],
  [16 * KB, 60 * MB, 1, 1],
  [64 * KB, 3 * MB, 16, 16],
  [4 * KB, 64_000, 500, 16],
];

/**
 * Go's `net/http` is what many clients, servers and ingresses are made of. It credits each read of 4 KiB and
 * more on its own, ends what it answers early, and refuses streams beyond what it has said.
 */
for (const runtime of RUNTIMES) {
  describe(`Go's HTTP/2 on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-go-'));
    const servers: { close(): unknown }[] = [];
    let early: EarlyServer;
    let ways: Ways;

    before(async function () {
      const [plain, one, five] = await Promise.all([
        GoServer.start('http-server'),
        GoServer.start('http-server', '-streams', '1'),
        GoServer.start('http-server', '-streams', '5'),
      ]);
      early = await earlyServer();
      servers.push(plain, one, five, early);
      ways = await openWays(runtime, dir, {
        plain: [plain.port],
        one: [one.port],
        five: [five.port],
        early: [early.port],
      });
    });

    after(async () => {
      await ways.close();
      for (const server of servers) await server.close();
      rmSync(dir, { recursive: true, force: true });
    });

    for (const way of WAYS)
      describe(`through the ${way}`, () => {
        const ask = (service: string, at: string, ...flags: (string | number)[]) =>
          goClient<Outcome>(
            'http-client',
            '-url',
            `${way === 'egress' ? 'http' : 'https'}://${ways.address(way, service)}${at}`,
            ...ways.flags(way),
            ...flags,
          );

        for (const [buffer, bytes, count, atOnce] of DOWNLOADS)
          it(`${count} × ${bytes / MB} MB, ${atOnce} at once, read ${buffer / KB} KiB at a time`, async () => {
            const flags = ['-buffer', buffer, '-count', count, '-at-once', atOnce] as const;
            const { results, bytes: read } = await ask('plain', `/bytes/${bytes}`, ...flags);
            expect(results).to.deep.equal({ 200: count });
            expect(read).to.equal(bytes * count);
          });

        it('uploads to a server that reads 4 KiB at a time, and the downloads of others at the same server', async () => {
          const neighbour = ask('plain', `/bytes/${30 * MB}`, '-buffer', 32 * KB);
          const uploads = await ask('plain', `/sink?buffer=${4 * KB}`, '-upload', 15 * MB);
          expect(uploads.results).to.deep.equal({ 200: 1 });
          const { results, bytes } = await neighbour;
          expect(results).to.deep.equal({ 200: 1 });
          expect(bytes).to.equal(30 * MB);
        });

        for (const service of ['one', 'five'])
          it(`2,000 requests, 80 at a time, to a server that takes ${service} at a time on a connection`, async () => {
            const { results, bytes } = await ask(service, '/hello', '-count', 2000, '-at-once', 80);
            expect(results).to.deep.equal({ 200: 2000 });
            expect(bytes).to.equal(2000 * 'hello'.length);
          });

        it('uploads that Go answers early', async () => {
          const flags = ['-upload', 2 * MB, '-count', 100, '-at-once', 20] as const;
          expect((await ask('plain', '/early', ...flags)).results).to.deep.equal({ 413: 100 });
        });

        it('uploads that a server answers early, which resets nothing, leave no stream there', async () => {
          const before = early.count();
          const flags = ['-upload', 2 * MB, '-count', 100, '-at-once', 20] as const;
          expect((await ask('early', '/', ...flags)).results).to.deep.equal({ 413: 100 });
          expect(early.count() - before).to.equal(100);
          await eventually('no stream is open', () => early.open() === 0);
        });
      });
  });
}

interface EarlyServer extends Origin {
  /** Streams that are open. */
  readonly open: () => number;
}

/**
 * Node's own server: reads the first bytes of an upload, answers, and leaves the rest of it to the client
 * (RFC 9113 section 8.1).
 */
async function earlyServer(): Promise<EarlyServer> {
  let count = 0;
  const streams = new Set<http2.ServerHttp2Stream>();
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer({ settings: { maxConcurrentStreams: 100 } });
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
  });
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    count++;
    streams.add(stream);
    stream.once('close', () => streams.delete(stream));
    stream.on('error', () => undefined);
    stream.once('data', () => {
      stream.pause();
      stream.respond({ ':status': 413 });
      stream.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' ? (address?.port ?? 0) : 0,
    count: () => count,
    open: () => streams.size,
    close: () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

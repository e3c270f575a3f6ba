import { expect } from 'chai';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { closedIn } from '../support/closed-in.ts';
import { openWays, type Ways } from '../support/go-peers.ts';
import { h2load, nghttpd } from '../support/nghttp2.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

/** What a server takes of streams on a connection, by service. */
const SERVERS = { one: 1, five: 5, hundred: 100 } as const;
const UPLOAD = 1_000_000;

/** Requests, connections and streams on each, as h2load is told. */
const loads: readonly (readonly [
  what: string,
  service: keyof typeof SERVERS,
  at: string,
  count: number,
  flags: string,
])[] = [
  ['requests to a server that takes one stream', 'one', '/hello', 2000, '-c 20 -m 50'],
  ['requests to a server that takes five', 'five', '/hello', 2000, '-c 20 -m 50'],
  ['answers of 64 kB', 'hundred', '/bytes', 1000, '-c 10 -m 16'],
  ['answers of 64 kB in windows of 16 KiB', 'hundred', '/bytes', 200, '-c 4 -m 10 -w 14 -W 16'],
  ['uploads of 1 MB to a server that takes five', 'five', '/hello', 60, '-c 4 -m 20 -d up'],
  ['requests of an HTTP/1 client', 'five', '/hello', 1000, '-c 20 --h1'],
];

/**
 * A burst of nghttp2's load generator comes before the server's SETTINGS, and its server refuses what is
 * beyond them: 120 of 200 requests were 502. It has no client certificates, so this is the way through egress
 * and gateway.
 */
for (const runtime of RUNTIMES)
  describe(`nghttp2 on ${runtime}: h2load through egress and gateway to nghttpd`, () => {
    const closed = closedIn(after);
    let dir: string;
    let ways: Ways;

    before(async function () {
      dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-nghttp2-')), (made) =>
        rmSync(made, { recursive: true, force: true }),
      );
      const served = path.join(dir, 'served');
      mkdirSync(served);
      writeFileSync(path.join(served, 'hello'), 'hello');
      writeFileSync(path.join(served, 'bytes'), Buffer.alloc(64_000, 'b'));
      writeFileSync(path.join(dir, 'up'), Buffer.alloc(UPLOAD, 'u'));
      const services: Record<string, number[]> = {};
      for (const [service, streams] of Object.entries(SERVERS)) {
        const server = closed(await nghttpd(streams, served), (started) => started.close());
        services[service] = [server.port];
      }
      ways = closed(await openWays(runtime, dir, services), (opened) => opened.close());
    });

    for (const [what, service, at, count, flags] of loads)
      it(`${count} × ${what}: ${flags}`, async () => {
        const url = `http://${ways.address('egress', service)}${at}`;
        const report = await h2load(['-n', String(count), ...flags.split(' '), url], dir);
        expect(report).to.include(` ${count} succeeded, 0 failed, 0 errored, 0 timeout`);
        expect(report).to.include(`status codes: ${count} 2xx, 0 3xx, 0 4xx, 0 5xx`);
        if (at === '/bytes') expect(report).to.match(new RegExp(`\\(${count * 64_000}\\) data`));
      });
  });

import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { closedIn } from '../support/closed-in.ts';
import { openWays, WAYS, type Ways } from '../support/go-peers.ts';
import { grpcio, grpcioServer } from '../support/grpcio.ts';
import type { Peer } from '../support/peer.ts';
import { watchForAnHour } from '../support/quiet-watch.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

/** What a client is to do, and what its calls come to. Bytes where they carry any. */
const jobs = [
  ['unary calls', 'plain', { mode: 'echo', count: 250, atOnce: 50, size: 100 }, { OK: 250 }],
  ['large unary calls', 'plain', { mode: 'echo', count: 4, atOnce: 4, size: 3_000_000 }, { OK: 4 }],
  // C-core's server counts a stream for a moment after its end, and refuses those who keep to its limit.
  ['calls to a busy server', 'few', { mode: 'echo', count: 500, atOnce: 80, size: 100 }, { OK: 500 }],
  [
    'streams of 6 MB from the server',
    'plain',
    { mode: 'download', count: 3, atOnce: 3, messages: 200, size: 30_000 },
    { 6000000: 3 },
  ],
  [
    'streams of small messages from the server',
    'plain',
    { mode: 'download', count: 2, atOnce: 2, messages: 1000, size: 10 },
    { 10000: 2 },
  ],
  [
    'streams of 6 MB to the server',
    'plain',
    { mode: 'upload', count: 3, atOnce: 3, messages: 200, size: 30_000 },
    { 6000000: 3 },
  ],
  [
    'streams both ways',
    'plain',
    { mode: 'chat', count: 3, atOnce: 3, messages: 300, size: 3000 },
    { 900000: 3 },
  ],
  [
    'calls that the server ends while the client sends',
    'plain',
    { mode: 'refuse', count: 100, atOnce: 10, messages: 100, size: 1000 },
    { 'INVALID_ARGUMENT: not this: ä': 100 },
  ],
  [
    'deadlines of 0.2 s',
    'plain',
    { mode: 'late', count: 150, atOnce: 75, deadline: 0.2 },
    { 'DEADLINE_EXCEEDED: Deadline Exceeded': 150 },
  ],
  [
    'deadlines of 5 ms',
    'plain',
    { mode: 'late', count: 300, atOnce: 10, deadline: 0.005 },
    { 'DEADLINE_EXCEEDED: Deadline Exceeded': 300 },
  ],
] as const;

/**
 * C-core is what gRPC is in Python, Ruby, C++ and PHP: its servers end connections for PINGs and refuse
 * streams, its clients give up at deadlines.
 */
for (const runtime of RUNTIMES)
  describe(`grpcio on ${runtime}`, () => {
    const closed = closedIn(after);
    let ways: Ways;

    before(async function () {
      const dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-grpcio-')), (made) =>
        rmSync(made, { recursive: true, force: true }),
      );
      const close = (one: Peer) => closed(one, () => one.close());
      const [plain, few] = await Promise.all([grpcioServer(close), grpcioServer(close, 5)]);
      ways = closed(await openWays(runtime, dir, { plain: [plain], few: [few] }), (opened) => opened.close());
    });

    for (const way of WAYS)
      describe(`through the ${way}`, () => {
        const clients = new Map<string, Peer>();

        before(() => {
          const [, folder, , name] = ways.flags(way);
          const secured = folder === undefined || name === undefined ? [] : [folder, name];
          for (const service of ['plain', 'few'])
            clients.set(
              service,
              closed(grpcio('client', ways.address(way, service), ...secured), (one) => one.close()),
            );
        });

        for (const [what, service, job, results] of jobs)
          it(`${job.count} ${what}, ${job.atOnce} at a time`, async () => {
            expect(await clients.get(service)?.ask(job)).to.deep.equal({ results });
          });
      });
  });

describe('a quiet stream of grpcio', () => {
  const closed = closedIn(after);

  it('lives for an hour', async () => {
    await watchForAnHour(await grpcioServer((one) => closed(one, () => one.close())));
  });
});

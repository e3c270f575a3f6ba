import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { closedIn } from '../support/closed-in.ts';
import { goClient, GoServer, openWays, type Outcome, WAYS, type Ways } from '../support/go-peers.ts';
import { watchForAnHour } from '../support/quiet-watch.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

/**
 * What becomes of a gRPC client's calls: those that are to be answered, and those that run into their
 * deadline.
 */
interface Calls {
  readonly good: Outcome;
  readonly late: Outcome;
}

/**
 * grpc-go at both ends: its calls give up at deadlines, its servers take few streams where they are told to,
 * and end what they refuse while the client still sends.
 */
for (const runtime of RUNTIMES) {
  describe(`grpc-go on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-grpc-'));
    const servers: GoServer[] = [];
    let ways: Ways;

    before(async function () {
      const plain = await GoServer.start('grpc-server');
      const few = await GoServer.start('grpc-server', '-streams', '5');
      servers.push(plain, few);
      ways = await openWays(runtime, dir, { plain: [plain.port], few: [few.port] });
    });

    after(async () => {
      await ways.close();
      for (const server of servers) await server.close();
      rmSync(dir, { recursive: true, force: true });
    });

    for (const way of WAYS)
      describe(`through the ${way}`, () => {
        const call = (service: string, ...flags: (string | number)[]) =>
          goClient<Calls>('grpc-client', '-target', ways.address(way, service), ...ways.flags(way), ...flags);

        for (const service of ['plain', 'few'])
          it(`2,000 unary calls, 80 at a time, server ${service}`, async () => {
            const { good } = await call(service, '-count', 2000, '-at-once', 80);
            expect(good.results).to.deep.equal({ OK: 2000 });
            expect(good.bytes).to.equal(2000 * 100);
          });

        it('3 MB each way in messages of a stream, one after the other', async () => {
          const { good } = await call('plain', '-mode', 'chat', '-count', 100, '-size', 30_000);
          expect(good.results).to.deep.equal({ OK: 1 });
          expect(good.bytes).to.equal(3_000_000);
        });

        it('calls that the server ends while the client has not ended its side', async () => {
          const { good } = await call('plain', '-mode', 'refused', '-count', 500, '-at-once', 20);
          expect(good.results).to.deep.equal({ 'InvalidArgument: not this': 500 });
        });

        it('server streams that run into their deadline', async () => {
          const flags = ['-mode', 'late-watch', '-count', 300, '-at-once', 90] as const;
          const { good } = await call('plain', ...flags);
          expect(good.results).to.deep.equal({ DeadlineExceeded: 300 });
        });

        it('2,000 deadlines of 0.2 s that run out are no attack: the calls beside them are answered', async () => {
          const late = ['-late', 2000, '-late-at-once', 90, '-deadline', '200ms'] as const;
          const { good, late: given } = await call('plain', '-count', 1000, '-at-once', 1, ...late);
          expect(good.results).to.deep.equal({ OK: 1000 });
          expect(given.results).to.deep.equal({ DeadlineExceeded: 2000 });
        });

        it('nor are 2,000 of 5 ms, 10 at a time: the call beside them is answered, and the connection stays', async () => {
          const late = ['-late', 2000, '-late-at-once', 10, '-deadline', '5ms'] as const;
          const { good, late: given } = await call('plain', '-count', 1, ...late);
          expect(good.results).to.deep.equal({ OK: 1 });
          expect(given.results).to.deep.equal({ DeadlineExceeded: 2000 });
        });
      });
  });
}

describe('a quiet stream of grpc-go', () => {
  const closed = closedIn(afterEach);

  it('lives for an hour, and the server is not asked once whether it is there', async () => {
    const server = closed(await GoServer.start('grpc-server'), (one) => one.close());
    await watchForAnHour(server.port);
    const { pings, opened } = await server.stats();
    expect({ pings, opened }).to.deep.equal({ pings: 0, opened: 1 });
  });
});

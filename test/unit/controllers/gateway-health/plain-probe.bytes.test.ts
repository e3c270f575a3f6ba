import { expect } from 'chai';
import fc from 'fast-check';
import { once } from 'node:events';
import net from 'node:net';
import { dialTcp } from '../../../../src/controllers/gateway-health/probe-attempt.ts';
import { tryPlain } from '../../../../src/controllers/gateway-health/plain-probe.ts';
import { useSurfaced } from '../../../support/surfaced.ts';
import { WORST_TEXTS } from '../../../support/worst-text.ts';

/** As many as a run in CI bears; `LINKSPAN_FUZZ=20` runs twenty times as many. */
const RUNS = 150 * Number(process.env['LINKSPAN_FUZZ'] ?? '1');
const LONG = 64 * 1024;

// The address of a gateway is whatever another cluster says; who is there answers a probe with what it likes.
describe('the answer to a probe', () => {
  useSurfaced();
  let server: net.Server;
  let answer = Buffer.alloc(0);

  before(async () => {
    server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(answer));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => server.close());

  /** Asks; it is answered, or is told why not, and nothing is thrown. */
  async function probed(text: string): Promise<void> {
    answer = Buffer.from(text, 'latin1');
    const { port } = server.address() as net.AddressInfo;
    const came = await tryPlain(
      { host: '127.0.0.1', port, path: '/ready' },
      dialTcp,
      AbortSignal.timeout(30_000),
    );
    if ('status' in came) expect(came.status, text.slice(0, 80)).to.be.within(100, 999);
    else {
      expect(came.reason, text.slice(0, 80)).to.equal('ProbeBroken');
      // What stands in a condition of the Link is ours, not what was sent.
      expect(came.message.length).to.be.below(200);
    }
  }

  it('is a status or a failure, whatever it is', () => {
    const unit = fc.oneof(
      fc.constantFrom(
        'HTTP/1.1 200 OK\r\n',
        'HTTP/1.1 100 Continue\r\n\r\n',
        'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
        'HTTP/1.0 999 x\r\n',
        'HTTP/1.1 200',
        'HTTP/2 200\r\n',
        'content-length: 3\r\n',
        'content-length: -1\r\n',
        'transfer-encoding: chunked\r\n',
        ' folded\r\n',
        '\r\n',
        '\n',
        '\u0015\u0003\u0003\u0000\u0002\u0002\u0028',
        'zz\r\n',
      ),
      fc.string({
        unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
        maxLength: 4,
      }),
    );
    return fc.assert(
      fc.asyncProperty(fc.array(unit, { maxLength: 10 }), async (units) => probed(units.join(''))),
      { numRuns: RUNS },
    );
  });

  it('of the worst text, wherever it stands, is a status or a failure', async () => {
    for (const make of WORST_TEXTS)
      for (const text of [
        make(LONG),
        `HTTP/1.1 200 ${make(LONG)}\r\n\r\n`,
        `HTTP/1.1 200 OK\r\nx-a: ${make(LONG)}\r\n\r\n`,
        `HTTP/1.1 200 OK\r\n${make(LONG)}`,
      ])
        await probed(text);
  });
});

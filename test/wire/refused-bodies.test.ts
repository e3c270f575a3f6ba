import { expect } from 'chai';
import type { RequestRules } from '../../src/policy/requests/request-rules.ts';
import { MAX_UNSEEN, PROCESS_ROOM } from '../../src/proxy/upstream/retry/replay-body.ts';
import { closedIn } from '../support/closed-in.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { raw, RawHttp2 } from '../support/raw-http2.ts';
import { rawHttp2Target, type RawRequest } from '../support/raw-http2-target.ts';
import { WireClient } from '../support/wire-client.ts';

const NAME = 'calls.demo.svc.cluster.local';
const REFUSED_STREAM = 7;
const POST = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'x'],
] as const;

/** GOAWAY that names no stream: none has been looked at. */
const goAway = () => raw.frame(7, 0, 0, Buffer.alloc(8));
const REFUSALS = {
  REFUSED_STREAM: ({ streamId }: RawRequest) => raw.reset(streamId, REFUSED_STREAM),
  GOAWAY: goAway,
} as const;
/** Rules that make the tries of a request somebody's business. */
const RULES: Readonly<Record<string, RequestRules | undefined>> = {
  'no rules': undefined,
  'a timeout': { timeouts: { requestMs: 60_000 } },
};

/**
 * Servers of C-core (grpcio) count a stream for a moment after its end, and refuse the next that a busy
 * client begins: with 5 streams and 80 callers 1 to 3 of 100 calls were UNAVAILABLE, because only requests
 * without a body were sent again, and each call has one.
 */
describe('A request that its endpoint has read and refuses unseen', () => {
  const closed = closedIn(afterEach);
  /** What the endpoint has read of each try. */
  let read: string[];

  /** A gateway before an endpoint that refuses the first tries. */
  async function gateway(
    refuse: (request: RawRequest) => Buffer,
    refusals: number,
    requests?: RequestRules,
  ): Promise<LocalGateway> {
    read = [];
    const target = closed(
      await rawHttp2Target((request) => {
        read.push(`${request.body.length} ${request.trailers.join()}`);
        if (read.length <= refusals) return [refuse(request)];
        const { head, streamId } = request;
        return [head(false, [':status', '200']), raw.data(streamId, request.body.slice(0, 20), true)];
      }, true),
      (one) => one.close(),
    );
    const endpoints = [{ host: '127.0.0.1', port: target.port, ready: true }];
    const spec = { name: NAME, port: 80, protocol: 'http2' as const, endpoints };
    return closed(await localGateway([requests === undefined ? spec : { ...spec, requests }]), (one) =>
      one.close(),
    );
  }

  afterEach(() => expect(PROCESS_ROOM.taken, 'what was kept is given back').to.equal(0));

  for (const [rules, requests] of Object.entries(RULES))
    for (const [how, refuse] of Object.entries(REFUSALS)) {
      it(`by ${how} is sent again with its body and trailers, for an HTTP/2 client, ${rules}`, async () => {
        const local = await gateway(refuse, 3, requests);
        const client = new RawHttp2(await local.client.connect(NAME, 80, 'http2'));
        client.send(client.head(1, false, POST), raw.data(1, 'hello '), raw.data(1, 'there'));
        client.send(client.head(1, true, [['x-sum', '7']]));
        await client.hears(/^DATA 1 11 end/);
        client.socket.destroy();
        expect(client.heard).to.include('HEADERS 1 200');
        expect(read).to.deep.equal(Array(4).fill('11 x-sum: 7'));
      });

      it(`by ${how} is sent again with its body and trailers, for an HTTP/1 client, ${rules}`, async () => {
        const local = await gateway(refuse, 3, requests);
        const client = new WireClient(await local.client.connect(NAME, 80, 'http1'));
        client.send('POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n');
        client.send('6\r\nhello \r\n5\r\nthere\r\n0\r\nx-sum: 7\r\n\r\n');
        await client.hears(/\r\n0\r\n\r\n$/);
        // HTTP/2 has no reason phrase; h2load, for one, counts an HTTP/1 answer without one as failed.
        expect(client.text)
          .to.match(/^HTTP\/1\.1 200 OK\r\n/)
          .and.to.include('hello there');
        client.send('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
        await client.hears(/200 OK[^]*200 OK[^]*ok/);
        client.socket.destroy();
        expect(read).to.deep.equal([...Array(4).fill('11 x-sum: 7'), '2 ']);
      });
    }

  it('is not kept for that when it is large', async () => {
    const local = await gateway(REFUSALS.REFUSED_STREAM, 1);
    const client = new RawHttp2(await local.client.connect(NAME, 80, 'http2'));
    client.send(client.head(1, false, POST));
    client.send(raw.data(1, 'x'.repeat(MAX_UNSEEN)), raw.data(1, 'x', true));
    await client.hears(/^HEADERS 1 502/);
    client.socket.destroy();
    expect(read).to.deep.equal([`${MAX_UNSEEN + 1} `]);
  });
});

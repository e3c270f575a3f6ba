import { expect } from 'chai';
import type { AccessEntry } from '../../src/proxy/downstream/access-log.ts';
import { closedIn } from '../support/closed-in.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { raw, RawHttp2 } from '../support/raw-http2.ts';
import { rawHttp2Target } from '../support/raw-http2-target.ts';

const CALLS = 'calls.demo.svc.cluster.local';
const GRPC = [['content-type', 'application/grpc']] as const;

/**
 * grpc-go's server cancels a call whose deadline is over (RST_STREAM, CANCEL); its client takes that for the
 * deadline. It was told UNAVAILABLE before the first message, which clients try again, and INTERNAL after it.
 */
describe('A call that its server cancels', () => {
  const closed = closedIn(afterEach);
  const entries: AccessEntry[] = [];
  let local: LocalGateway;

  beforeEach(async () => {
    entries.length = 0;
    const target = closed(
      await rawHttp2Target(({ streamId, path, head, socket }) => {
        const late = path.endsWith('late')
          ? [head(false, [':status', '200']), raw.data(streamId, 'half')]
          : [];
        if (!path.startsWith('/lost')) return [...late, raw.reset(streamId)];
        socket.write(Buffer.concat(late), () => socket.destroy());
        return [];
      }),
      (one) => one.close(),
    );
    const endpoints = [{ host: '127.0.0.1', port: target.port, ready: true }];
    const accessLog = { wants: () => true, record: (entry: AccessEntry) => void entries.push(entry) };
    local = closed(
      await localGateway([{ name: CALLS, port: 80, protocol: 'http2', endpoints }], { accessLog }),
      (one) => one.close(),
    );
  });

  async function ask(path: string, fields: readonly (readonly [string, string])[]): Promise<RawHttp2> {
    const client = closed(new RawHttp2(await local.client.connect(CALLS, 80, 'http2')), ({ socket }) =>
      socket.destroy(),
    );
    const request = RawHttp2.get(fields).map(
      ([name, value]) => [name, name === ':path' ? path : value] as const,
    );
    client.send(client.head(1, true, request));
    return client;
  }

  for (const path of ['/early', '/late'])
    it(`${path}: is cancelled for a gRPC client`, async () => {
      await (await ask(path, GRPC)).hears(/^RST 1 CANCEL/);
    });

  it('is 502 for others as long as nothing has been answered', async () => {
    await (await ask('/early', [])).hears(/^HEADERS 1 502/);
  });

  it('counts as a failure', async () => {
    await (await ask('/early', GRPC)).hears(/^RST 1 CANCEL/);
    expect([...local.gateway.counters.failures.values()]).to.deep.equal([1]);
  });

  /**
   * A server that dies loses its connection. Its calls were said to have been cancelled by it, and their
   * clients were told CANCELLED, which none of them tries again.
   */
  describe('and one whose connection is lost', () => {
    it('is UNAVAILABLE for a gRPC client as long as nothing has been answered', async () => {
      await (await ask('/lost', GRPC)).hears(/^HEADERS 1 200 end/);
      const [{ grpcStatus, reason } = { grpcStatus: 0, reason: '' }] = entries;
      expect([grpcStatus, reason]).to.deep.equal([
        14,
        `${CALLS}:80: the connection to the endpoint was lost before it answered`,
      ]);
    });

    it('is broken off in the middle of an answer, and not cancelled', async () => {
      await (await ask('/lost-late', GRPC)).hears(/^RST 1 INTERNAL_ERROR/);
      expect(entries[0]?.reason).to.equal(
        `${CALLS}:80: the connection to the endpoint was lost in the middle of its answer`,
      );
    });

    it('is 502 for others, by the name of what happened', async () => {
      await (await ask('/lost', [])).hears(/^HEADERS 1 502/);
      expect(entries[0]?.reason).to.equal(
        `${CALLS}:80: the connection to the endpoint was lost before it answered`,
      );
    });
  });
});

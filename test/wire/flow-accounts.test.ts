import { expect } from 'chai';
import { Http2ErrorCode } from '../../src/proxy/http2/errors.ts';
import { latencyCount } from '../../src/proxy/metrics/latency-histogram.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { raw, RawHttp2 } from '../support/raw-http2.ts';
import { rawHttp2Target } from '../support/raw-http2-target.ts';
import { WireClient } from '../support/wire-client.ts';
import { type Heard, WireTarget } from '../support/wire-target.ts';

const ONE = 'one.demo.svc.cluster.local';
const TWO = 'two.demo.svc.cluster.local';
const RAW = 'raw.demo.svc.cluster.local';
const GONE = 'gone.demo.svc.cluster.local';
const GET = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';
const HALF = 'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf';
const UPGRADE = 'GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n';
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n';

/** A flow whose answer has begun, and how it goes on. */
interface Begun {
  /** The endpoint sends the rest of it. */
  finish(): void;
  /** The endpoint's connection breaks in the middle. */
  lose(): void;
  /** Its client goes away. */
  leave(): void;
}

/**
 * A stream of an hour was in no series for an hour over HTTP/2, and over HTTP/1 it was counted as done when
 * it began. Flows are counted when they begin, when they are answered and when they end, whatever they are.
 */
describe('A flow is counted', () => {
  const closed = closedIn(afterEach);
  let http1: WireTarget;
  let local: LocalGateway;
  let rest: () => void;
  let lost: () => void;

  const last = () => http1.connections.at(-1) as Heard;

  beforeEach(async () => {
    http1 = closed(
      await WireTarget.start((heard, text) => {
        if (text.startsWith('GET / HTTP/1.1\r\n')) heard.say(text.includes('upgrade') ? SWITCHED : HALF);
        if (text === 'raw') heard.say('half');
        heard.socket.once('end', () => heard.socket.end());
      }),
      (one) => one.close(),
    );
    const http2 = closed(
      await rawHttp2Target(({ streamId, head, socket }) => {
        rest = () => void socket.write(raw.data(streamId, 'done', true));
        lost = () => void socket.destroy();
        return [head(false, [':status', '200']), raw.data(streamId, 'half')];
      }),
      (one) => one.close(),
    );
    const at = (port: number) => [{ host: '127.0.0.1', port, ready: true }];
    local = closed(
      await localGateway([
        { name: ONE, port: 80, protocol: 'http1', endpoints: at(http1.port) },
        { name: TWO, port: 80, protocol: 'http2', endpoints: at(http2.port) },
        { name: RAW, port: 80, protocol: 'opaque', endpoints: at(http1.port) },
        { name: GONE, port: 80, protocol: 'http1', endpoints: at(1) },
      ]),
      (one) => one.close(),
    );
  });

  const connect = async (name: string, protocol: 'http1' | 'opaque') =>
    closed(new WireClient(await local.client.connect(name, 80, protocol)), ({ socket }) => socket.destroy());

  const byBytes = async (name: string, protocol: 'http1' | 'opaque', ask: string, hears: string) => {
    const client = await connect(name, protocol);
    client.send(ask);
    await client.hears(new RegExp(hears));
    return client;
  };

  const toHttp1 = ({ socket }: WireClient): Begun => ({
    finish: () => last().say('done'),
    lose: () => last().socket.resetAndDestroy(),
    leave: () => socket.destroy(),
  });

  const kinds: Readonly<Record<string, { readonly name: string; readonly begin: () => Promise<Begun> }>> = {
    'over HTTP/1': {
      name: ONE,
      begin: async () => toHttp1(await byBytes(ONE, 'http1', GET, 'half')),
    },
    'over HTTP/1 to an endpoint that speaks HTTP/2': {
      name: TWO,
      begin: async () => {
        const { socket } = await byBytes(TWO, 'http1', GET, 'half');
        return { finish: () => rest(), lose: () => lost(), leave: () => socket.destroy() };
      },
    },
    'over HTTP/2': {
      name: TWO,
      begin: async () => {
        const client = closed(new RawHttp2(await local.client.connect(TWO, 80, 'http2')), ({ socket }) =>
          socket.destroy(),
        );
        client.send(client.head(1));
        await client.hears(/^DATA 1 4/);
        const leave = () => client.send(raw.reset(1, Http2ErrorCode.CANCEL));
        return { finish: () => rest(), lose: () => lost(), leave };
      },
    },
  };

  /** What is counted of the client is what is counted of the service, where there is one client. */
  const pairOf = (name: string) => {
    const pair = local.gateway.counters.pairs.numbers().find(({ target }) => target === `${name}:80`);
    expect(pair?.peer).to.match(/^client\./);
    return pair;
  };

  const counted = (name: string) => {
    const target = local.gateway.counters.snapshot().targets[`${name}:80`];
    if (target === undefined) return undefined;
    const { requests, inFlight, responses, failures, latency } = target;
    const answers = Object.values(responses).map(({ count }) => count);
    expect(pairOf(name)).to.include({ requests, inFlight }).and.to.deep.include({ errors: failures });
    return { requests, inFlight, answers, failures, timed: latencyCount(latency) };
  };
  const becomes = (name: string, expected: ReturnType<typeof counted>) =>
    eventually('it is counted so', () => {
      expect(counted(name)).to.deep.equal(expected);
      return true;
    });
  const underWay = { requests: 1, inFlight: 1, answers: [], failures: {}, timed: 1 };
  const over = { requests: 1, inFlight: 0, answers: [1], failures: {}, timed: 1 };

  for (const [kind, { name, begin }] of Object.entries(kinds))
    describe(kind, () => {
      it('as under way and timed once it is answered, and as answered when that is over', async () => {
        const flow = await begin();
        expect(counted(name)).to.deep.equal(underWay);
        flow.finish();
        await becomes(name, over);
        expect(pairOf(name)).to.include({ bytesOut: 8, failures: 0 });
        const protocols = [kind === 'over HTTP/2' ? 'http2' : 'http1'];
        expect(pairOf(name)).to.deep.include({ protocols });
      });

      it('as one that had to wait where a connection to its endpoint had to be opened', async () => {
        const flow = await begin();
        const { waits, waitedMs = 0, latency } = local.gateway.counters.targets.get(`${name}:80`) ?? {};
        expect(waits).to.equal(1);
        expect(waitedMs)
          .to.be.above(0)
          .and.below(latency?.numbers.sum ?? 0);
        flow.leave();
      });

      it('as over when its client leaves', async () => {
        const flow = await begin();
        flow.leave();
        await becomes(name, over);
      });

      it('as over and as a failure of its target when its endpoint is lost in the middle', async () => {
        const flow = await begin();
        flow.lose();
        await eventually('it is over', () => counted(name)?.inFlight === 0);
        const { failures, ...rests } = counted(name) ?? { failures: {} };
        expect(rests).to.deep.equal({ requests: 1, inFlight: 0, answers: [1], timed: 1 });
        expect(Object.values(failures)).to.deep.equal([1]);
      });
    });

  it('as a raw connection: it has no answers, and is under way until both sides have ended', async () => {
    const client = await byBytes(RAW, 'opaque', 'raw', 'half');
    expect(counted(RAW)).to.deep.equal({ ...underWay, timed: 0 });
    expect(pairOf(RAW)).to.deep.include({ protocols: ['opaque'] });
    client.socket.destroy();
    await becomes(RAW, { ...over, answers: [], timed: 0 });
  });

  it('as an upgrade, which is answered when it is over', async () => {
    const client = await byBytes(ONE, 'http1', UPGRADE, '101 ');
    expect(counted(ONE)).to.deep.equal(underWay);
    client.socket.destroy();
    await becomes(ONE, over);
  });

  it('with the kind of its failure where nobody answers', async () => {
    await byBytes(GONE, 'http1', GET, '502');
    const failed = { ...over, failures: { 'connection failed': 1 } };
    await becomes(GONE, failed);
  });
});

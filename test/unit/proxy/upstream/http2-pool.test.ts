import { expect } from 'chai';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { sleep as clockSleep } from '../../../../src/base/clock.ts';
import type { DialAddress } from '../../../../src/proxy/io/dial-address.ts';
import { EndpointState } from '../../../../src/proxy/upstream/balancer/endpoint.ts';
import { DEFAULT_ACCRUAL, DEFAULT_EWMA } from '../../../../src/proxy/upstream/balancer/endpoint.ts';
import { SocketConnection } from '../../../../src/proxy/io/socket-connection.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import type { Http2Connection } from '../../../../src/proxy/http2/http2-connection.ts';
import { Http2ErrorCode } from '../../../../src/proxy/http2/errors.ts';
import { FrameReader, type FrameSink, FrameType, settingsFrame } from '../../../../src/proxy/http2/frames.ts';
import { Http2Pool } from '../../../../src/proxy/upstream/http2-pool.ts';
import type { StreamHandler } from '../../../../src/proxy/http2/stream.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { eventually } from '../../../support/eventually.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const HEAD = [':method GET', ':scheme http', ':path /', ':authority x'].map((line) => {
  const [name = '', value = ''] = line.split(' ');
  return makeField(name, value);
});
const HOUR_MS = 3_600_000;

/**
 * A burst of requests met servers that take few streams: what came before their SETTINGS was refused, and
 * clients saw 502.
 */
describe('HTTP/2 connections to endpoints', () => {
  const closed = closedIn(afterEach);
  let clock: VirtualClock;
  let sockets: net.Socket[];

  beforeEach(() => {
    clock = new VirtualClock();
    sockets = [];
  });

  function poolTo(port: number, pings = false): { pool: Http2Pool; endpoint: EndpointState } {
    const place: DialAddress = { host: '127.0.0.1', port };
    const endpoint = new EndpointState(place, {
      clock,
      random: () => 0,
      ewma: DEFAULT_EWMA,
      accrual: DEFAULT_ACCRUAL,
      onBreaker: () => undefined,
      pending: 0,
    });
    const pool = new Http2Pool({
      clock,
      pings: () => pings,
      idleMs: 2 * HOUR_MS,
      dial: async ({ host, port: to }) => {
        const socket = net.connect(to, host);
        sockets.push(closed(socket, () => socket.destroy()));
        await once(socket, 'connect');
        return new SocketConnection(socket);
      },
    });
    return { pool, endpoint };
  }

  /** A server that takes `most` streams on a connection, refuses others, and answers after a while. */
  async function strictServer(most: number): Promise<number> {
    const server = http2.createServer({ settings: { maxConcurrentStreams: most } });
    server.on('stream', (stream: http2.ServerHttp2Stream) => {
      stream.on('error', () => undefined);
      setImmediate(() => {
        if (stream.destroyed) return;
        stream.respond({ ':status': 200 });
        stream.end('ok');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closed(server, () => server.close());
    return (server.address() as net.AddressInfo).port;
  }

  /** Asks as a target does: waits for room, then opens at once. */
  async function ask(pool: Http2Pool, endpoint: EndpointState): Promise<string> {
    const connection = await pool.connection(endpoint);
    return outcomeOn(connection);
  }

  function outcomeOn(connection: Http2Connection): Promise<string> {
    return new Promise((resolve) => {
      let status = '';
      const handler: StreamHandler = {
        onInterim: () => undefined,
        onHead: (_, fields) => (status = fields[0]?.value ?? ''),
        onData: (stream, chunk) => stream.consumed(chunk.length),
        onEnd: () => resolve(status),
        onSent: () => undefined,
        onReset: (_, code) => resolve(`reset ${code}`),
      };
      connection.open(HEAD, true, handler);
    });
  }

  for (const most of [1, 5])
    it(`send no stream that a server of ${most} would refuse, and lose none of 200 that come at once`, async () => {
      const { pool, endpoint } = poolTo(await strictServer(most));
      for (let burst = 0; burst < 2; burst++) {
        const outcomes = await Promise.all(Array.from({ length: 100 }, () => ask(pool, endpoint)));
        expect(new Set(outcomes)).to.deep.equal(new Set(['200']));
      }
      expect(sockets.length).to.be.at.most(100 / most + 8);
    });

  // What clients give up at once was reset at once, which others who share the connection were ended for,
  // with the client that did it.
  it('give up no stream while it is so young that this looks like an attack, and keep its room until then', async () => {
    const server = http2.createServer({ settings: { maxConcurrentStreams: 2 } });
    const came: http2.ServerHttp2Stream[] = [];
    const over: number[] = [];
    server.on('stream', (stream: http2.ServerHttp2Stream) => {
      came.push(stream.on('error', () => undefined));
      stream.on('close', () => over.push(stream.rstCode));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closed(server, () => server.close());
    const { pool, endpoint } = poolTo((server.address() as net.AddressInfo).port);
    const connection = await pool.connection(endpoint);
    const told: string[] = [];
    const handler: StreamHandler = {
      onInterim: () => told.push('interim'),
      onHead: () => told.push('head'),
      onData: () => told.push('data'),
      onEnd: () => told.push('end'),
      onSent: () => told.push('sent'),
      onReset: () => told.push('reset'),
    };
    const stream = connection.open(HEAD, false, handler);
    await eventually('it has come', () => came.length === 1);
    stream.reset(Http2ErrorCode.CANCEL);
    stream.reset(Http2ErrorCode.CANCEL);
    expect(stream.write(Buffer.from('more'))).to.equal(4);
    await clock.advance(24);
    expect([over, connection.active]).to.deep.equal([[], 1]);
    // A little more where the turns of this process are long (`http2-connection.test.ts`).
    await clock.advance(1000);
    await eventually('it is reset', () => over.length === 1);
    expect([over, connection.active]).to.deep.equal([[Http2ErrorCode.CANCEL], 0]);
    // One that was answered is nobody's sign of an attack, and one that is answered meanwhile is over.
    const second = connection.open(HEAD, true, {
      ...handler,
      onHead: () => second.reset(Http2ErrorCode.CANCEL),
    });
    await eventually('it has come', () => came.length === 2);
    came[1]?.respond({ ':status': 200 });
    await eventually('it is reset', () => over.length === 2);
    connection.open(HEAD, true, handler).reset(Http2ErrorCode.CANCEL);
    await eventually('it has come', () => came.length === 3);
    came[2]?.respond({ ':status': 200 }, { endStream: true });
    await eventually('it is over', () => connection.active === 0);
    await clock.advance(25);
    expect([over[1], told]).to.deep.equal([Http2ErrorCode.CANCEL, []]);
  });

  it('keep the room of somebody who has been given it and has not used it yet', async () => {
    const { pool, endpoint } = poolTo(await strictServer(2));
    expect(await ask(pool, endpoint)).to.equal('200');
    const kept = await pool.connection(endpoint);
    const first = pool.take(endpoint);
    if (first === undefined) throw new Error('there is room for a second one');
    const outcomes = [outcomeOn(first)];
    // The place that is left is spoken for.
    expect(pool.take(endpoint)).to.equal(undefined);
    outcomes.push(outcomeOn(kept));
    expect(await Promise.all(outcomes)).to.deep.equal(['200', '200']);
  });

  it('serve those who wait for room in the order in which they came', async () => {
    const { pool, endpoint } = poolTo(await strictServer(1));
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 30 }, async (_, nth) => {
        const connection = await pool.connection(endpoint);
        order.push(nth);
        return outcomeOn(connection);
      }),
    );
    expect(order).to.deep.equal([...order].sort((a, b) => a - b));
  });

  it('send one stream to a server that says nothing, and the others when a second has passed', async () => {
    const server = net.createServer((socket) => void socket.on('error', () => undefined));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closed(server, () => server.close());
    const { pool, endpoint } = poolTo((server.address() as net.AddressInfo).port);
    const got: Http2Connection[] = [];
    for (let count = 0; count < 10; count++) void pool.connection(endpoint).then((one) => got.push(one));
    await eventually('the first', () => got.length === 1);
    expect(sockets).to.have.length(1);
    await clock.advance(1000);
    await eventually('all of them', () => got.length === 10);
    expect(sockets).to.have.length(1);
  });

  it('dial no more than a few times to an endpoint that takes no streams, and tell those who wait', async () => {
    const { pool, endpoint } = poolTo(await strictServer(0));
    let told = 0;
    const asked = Array.from({ length: 20 }, () => ask(pool, endpoint).finally(() => told++));
    const outcome = Promise.allSettled(asked);
    await eventually('all are told', () => told === 20);
    expect(sockets.length).to.be.at.most(8);
    expect(await outcome).to.have.length(20);
  });

  it('tell all who wait that the endpoint cannot be connected to', async () => {
    const { pool, endpoint } = poolTo(1);
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => pool.connection(endpoint)));
    expect(outcomes.map(({ status }) => status)).to.deep.equal(Array.from({ length: 5 }, () => 'rejected'));
  });

  it('let nobody wait for ever at an endpoint that does not answer, while others keep coming', async () => {
    const pool = new Http2Pool({
      clock,
      pings: () => false,
      dial: async () => {
        await clockSleep(clock, 1000);
        throw new Error('no answer');
      },
    });
    const { endpoint } = poolTo(1);
    let [asked, told] = [0, 0];
    for (let tenth = 0; tenth < 100; tenth++) {
      for (let count = 0; count < 40; count++, asked++) pool.connection(endpoint).catch(() => told++);
      await clock.advance(100);
    }
    // 400 a second for ten seconds: whoever waits has come within the last few.
    expect(asked - told).to.be.at.most(2000);
  });

  /**
   * gRPC's servers (grpc-go, grpc-java, C-core) end the connection of a client that sends a PING more often
   * than every five minutes without data, at the third; the quiet streams of all clients went with it after
   * 80 s.
   */
  describe('are asked whether they are still there', () => {
    async function pingsInAnHour(pings: boolean): Promise<number> {
      let count = 0;
      const sink: FrameSink = {
        onFrame: (type) => void (type === FrameType.PING && count++),
        onDataStart: () => undefined,
        onDataBytes: () => undefined,
        onDataEnd: () => undefined,
      };
      const server = net.createServer((socket) => {
        const reader = new FrameReader(sink);
        let preface = 24;
        socket.on('error', () => undefined);
        socket.on('data', (chunk: Buffer) => {
          const skip = Math.min(preface, chunk.length);
          preface -= skip;
          reader.push(chunk.subarray(skip));
        });
        socket.write(settingsFrame([]));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      closed(server, () => server.close());
      const { pool, endpoint } = poolTo((server.address() as net.AddressInfo).port, pings);
      const connection = await pool.connection(endpoint);
      void outcomeOn(connection);
      await eventually('SETTINGS', () => connection.settled);
      for (let minute = 0; minute < 60 && !connection.closed; minute++) {
        await clock.advance(HOUR_MS / 60);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (!pings) expect(connection.closed, 'the quiet stream lives').to.equal(false);
      else await eventually('a PING', () => count > 0);
      return count;
    }

    it('never, where they are applications', async () => {
      expect(await pingsInAnHour(false)).to.equal(0);
    });

    it('by PING, where they are proxies', async () => {
      expect(await pingsInAnHour(true)).to.be.greaterThan(0);
    });
  });
});

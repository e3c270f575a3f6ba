import { expect } from 'chai';
import type { Socket } from 'node:net';
import { STREAMS_ALPN } from '../../../../src/api/names.ts';
import { NO_BOUNDARY } from '../../../../src/proxy/http/failure-boundary.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { Http2ErrorCode } from '../../../../src/proxy/http2/errors.ts';
import { Http2Connection } from '../../../../src/proxy/http2/http2-connection.ts';
import { statusField } from '../../../../src/proxy/http2/message.ts';
import type { Http2Stream } from '../../../../src/proxy/http2/stream.ts';
import { tlsConnect } from '../../../../src/proxy/io/dial.ts';
import { DialledTunnel } from '../../../../src/proxy/streams/dialled-tunnel.ts';
import { MAX_STREAMS, STREAM_WINDOWS, tunnelHead } from '../../../../src/proxy/streams/stream-head.ts';
import { eventually } from '../../../support/eventually.ts';
import { ECHO, GatewayPoolBed } from '../../../support/gateway-pool-bed.ts';
import { answer, Ear, NEVER, NOBODY, type ScriptedGateway } from '../../../support/scripted-gateway.ts';

const MINUTE = 60_000;

// Everything that leaves a cluster goes over a handful of connections. When they are replaced, by age, by a
// new certificate, or because a gateway goes, is when flows get lost.
describe('The connections of an egress to a gateway', () => {
  let bed: GatewayPoolBed;

  beforeEach(async () => {
    bed = await GatewayPoolBed.create();
  });
  afterEach(() => bed.close());

  it('carry a flow as soon as they stand, and the next one without any handshake', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    for (let count = 0; count < 20; count++) await bed.opened(pool);
    expect([gateway.sockets.length, gateway.streams]).to.deep.equal([1, 20]);
    expect(bed.counters.streams).to.deep.equal({ connections: 1, requests: 0, tunnels: 20 });
  });

  it('half-close, and close when both ends have', async () => {
    const pool = bed.poolTo(await bed.ours());
    const ear = await bed.opened(pool);
    ear.connection.end();
    await eventually('it is closed', () => ear.closed);
    expect([ear.ended, ear.error]).to.deep.equal([true, undefined]);
  });

  it('fall back on the connection that was just opened when the gateway knows only transport headers', async () => {
    const gateway = await bed.linkerds();
    const pool = bed.poolTo(gateway);
    for (let count = 1; count <= 3; count++) {
      await bed.open(pool);
      await eventually('the header has come', () => gateway.headers.length === count);
      expect(gateway.sockets.length).to.equal(count);
    }
    expect(gateway.headers.every((text) => text.startsWith('transport.l5d.io/v1\r\n\r\n'))).to.equal(true);
    expect(pool.takesStreams).to.equal(false);
    expect(await pool.prepare()).to.equal(false);
  });

  it('at the same moment, to a gateway that nobody knows, do not wait for each other', async () => {
    const gateway = await bed.linkerds();
    const pool = bed.poolTo(gateway);
    await Promise.all(Array.from({ length: 5 }, () => bed.open(pool)));
    await eventually('each has its own', () => gateway.headers.length === 5);
    expect(gateway.sockets.length).to.equal(5);
  });

  // h2load's first burst, 1,000 requests, made as many handshakes: on a busy machine all of them ran out of
  // time, again and again.
  for (const [whose, make] of [
    ['a gateway of ours', 'ours'],
    ["one of Linkerd's", 'linkerds'],
  ] as const)
    it(`of a burst to a gateway that nobody knows, ${whose}, are a few, and serve all`, async () => {
      const gateway = await bed[make]();
      const pool = bed.poolTo(gateway);
      const prepared = await Promise.all(Array.from({ length: 200 }, () => pool.prepare()));
      expect(new Set(prepared).size).to.equal(1);
      expect(gateway.sockets.length).to.be.lessThan(6);
    });

  // One address may be several gateways, and one that is going refuses sooner than the others take: all 200
  // failed with it.
  it('of a burst of which some are refused at once serve all the others', async () => {
    const gateway = await bed.ours();
    let met = 0;
    const pool = bed.poolTo(gateway);
    gateway.server.prependListener('connection', (socket: Socket) => {
      if (met++ < 2) socket.destroy();
    });
    const tried = await Promise.allSettled(Array.from({ length: 200 }, () => pool.prepare()));
    expect(tried.filter(({ status }) => status === 'rejected').length).to.be.at.most(2);
  });

  it('of a burst to a gateway that cannot be reached fail all together, and the next finds it', async () => {
    const gone = await bed.ours();
    gone.close();
    const pool = bed.poolTo(gone);
    const tried = await Promise.allSettled(Array.from({ length: 200 }, () => pool.prepare()));
    expect(new Set(tried.map(({ status }) => status))).to.deep.equal(new Set(['rejected']));
    await bed.ours(gone.port);
    expect(await pool.prepare()).to.equal(true);
  });

  it('without anybody who takes them are not left open', async () => {
    const gateway = await bed.linkerds();
    const pool = bed.poolTo(gateway);
    await pool.prepare();
    await eventually('it is open', () => gateway.sockets.length === 1);
    await bed.clock.advance(4000);
    await eventually(
      'it is closed',
      () => gateway.sockets[0]?.destroyed === true || gateway.sockets[0]?.readableEnded === true,
    );
  });

  it('are not offered as shared ones when that is turned off', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway, false);
    expect(pool.takesStreams).to.equal(false);
    await bed.open(pool);
    await eventually('the header has come', () => gateway.headers.length === 1);
    expect(gateway.connections.length).to.equal(0);
  });

  it("turn to what the gateway speaks now when it is replaced, by ours or by one of Linkerd's", async () => {
    const first = await bed.ours();
    const pool = bed.poolTo(first);
    await bed.opened(pool);
    first.close();
    const second = await bed.linkerds(first.port);
    await eventually('the old connection is gone', () => pool.connections.open === 0);
    await bed.open(pool);
    await eventually('the header has come', () => second.headers.length === 1);
    second.close();
    await bed.ours(first.port);
    await bed.opened(pool);
    expect(pool.takesStreams).to.equal(true);
  });

  it('are as many as it takes when all are full', async () => {
    const gateway = await bed.ours();
    gateway.maxStreams = 10;
    const pool = bed.poolTo(gateway);
    const flows: Ear[] = [];
    for (let count = 0; count < 65; count++) flows.push(await bed.opened(pool));
    expect(pool.connections.pooled).to.equal(7);
    expect(flows.every(({ closed }) => !closed)).to.equal(true);
  });

  // A dead gateway was dialled by a request of each protocol of each route, which waited for it for a second.
  it('are known to be lost from when the last one is, or none could be opened, until there is one again', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    expect(pool.state).to.equal('good');
    await bed.opened(pool);
    expect(pool.state).to.equal('good');
    gateway.close();
    await eventually('it is gone', () => pool.connections.open === 0);
    expect(pool.state).to.equal('lost');
    const never = bed.poolTo(gateway);
    expect(await never.prove().catch(String)).to.match(/cannot be connected to/);
    expect(never.state).to.equal('lost');
    expect(await never.prove().catch(String)).to.match(/cannot be connected to/);
    await bed.ours(gateway.port);
    expect(await never.prove().catch(String), 'not so soon').to.match(/cannot be connected to/);
    await bed.clock.advance(250);
    expect(await never.prove()).to.equal(true);
    expect(never.state).to.equal('good');
    expect(await pool.prepare()).to.equal(true);
    expect(pool.state).to.equal('good');
  });

  // The first failover of an egress took 110 ms on one machine, and would several round trips more elsewhere:
  // all requests waited for the first handshake with the gateway that nobody had needed before.
  describe('that are kept open for when another gateway is lost', () => {
    it('stand before any flow, one however often that is asked for', async () => {
      const gateway = await bed.ours();
      const pool = bed.poolTo(gateway);
      for (let nth = 0; nth < 3; nth++) pool.keepOpen();
      await eventually('it stands', () => pool.connections.pooled === 1);
      expect(pool.state).to.equal('good');
      await bed.opened(pool);
      expect(gateway.sockets.length).to.equal(1);
    });

    it('are tried until there is one, and again when it is lost', async () => {
      const gateway = await bed.ours();
      gateway.close();
      const pool = bed.poolTo(gateway);
      pool.keepOpen();
      await eventually('it is known that there is none', () => pool.state === 'lost');
      const { port } = gateway;
      const next = await bed.ours(port);
      await bed.clock.advance(2500);
      await eventually('it stands', () => pool.connections.pooled === 1 && next.sockets.length === 1);
      next.close();
      await eventually('it is lost', () => pool.state === 'lost');
      await bed.ours(port);
      await bed.clock.advance(2500);
      await eventually('it stands again', () => pool.connections.pooled === 1);
    });

    it('wait for a certificate to be shown', async () => {
      const gateway = await bed.ours();
      const pool = bed.poolTo(gateway);
      const { identity } = bed;
      bed.identity = undefined;
      pool.keepOpen();
      await eventually('it cannot be opened', () => pool.state === 'lost');
      bed.identity = identity;
      bed.renewed();
      await eventually('it stands', () => pool.connections.pooled === 1);
    });

    it('are let go with the pool', async () => {
      const gateway = await bed.ours();
      gateway.close();
      const pool = bed.poolTo(gateway);
      pool.keepOpen();
      await eventually('it is known that there is none', () => pool.state === 'lost');
      pool.close();
      const next = await bed.ours(gateway.port);
      bed.renewed();
      await bed.clock.advance(MINUTE);
      expect(next.sockets.length).to.equal(0);
    });

    it('are let go with the pool, also those that are being opened', async () => {
      for (const end of ['close', 'destroy'] as const) {
        const gateway = await bed.ours();
        const pool = bed.poolTo(gateway);
        pool.keepOpen();
        pool[end]();
        await eventually('it has come', () => gateway.below.length > 0);
        await eventually('it is gone', async () => {
          await bed.clock.advance(10);
          return pool.connections.open === 0 && gateway.below.every(({ destroyed }) => destroyed);
        });
      }
    });

    it("cost a gateway of Linkerd's one handshake", async () => {
      const gateway = await bed.linkerds();
      const pool = bed.poolTo(gateway);
      pool.keepOpen();
      await eventually('its mode is known', () => !pool.takesStreams);
      await bed.clock.advance(MINUTE);
      pool.keepOpen();
      await eventually('nothing stays open', () => gateway.sockets.every(({ destroyed }) => destroyed));
      expect(gateway.sockets.length).to.equal(1);
    });
  });

  it('that refuse a stream unseen (REFUSED_STREAM) are no error: another takes it, with all that was sent', async () => {
    const gateway = await bed.ours();
    const pool = bed.poolTo(gateway);
    const first = await bed.opened(pool);
    let refused = 0;
    gateway.onStream = (stream, connection) => {
      if (connection !== gateway.connections[0]) return answer(stream);
      refused++;
      stream.reset(Http2ErrorCode.REFUSED_STREAM);
    };
    const ear = (await bed.open(pool)).say('sent ').say('before');
    ear.connection.end();
    await ear.hears('sent before');
    await eventually('the end has travelled, too', () => ear.closed);
    expect([ear.ended, ear.error, refused]).to.deep.equal([true, undefined, 1]);
    await first.say('y').hears('xy');
    expect([...bed.counters.failures]).to.deep.equal([]);
  });

  describe('whose gateway does not take a flow', () => {
    let west: ScriptedGateway;
    let north: ScriptedGateway;
    let told: string[];
    /** A flow that may go on by the other gateway. */
    const flow = async () => {
      const other = bed.poolTo(north);
      const connection = await bed.poolTo(west).open(ECHO, 'opaque');
      connection.owner = {
        onTaken: () => told.push('taken'),
        onRefused: ({ kind, message }) => {
          told.push(`${kind}: ${message}`);
          return other.open(ECHO, 'opaque');
        },
      };
      return new Ear(connection);
    };
    const refusing = (status: number) => (stream: Http2Stream) => {
      stream.head([statusField(status), makeField('l5d-proxy-error', 'no ready endpoints')], true);
      stream.reset(Http2ErrorCode.NO_ERROR);
    };
    beforeEach(async () => {
      told = [];
      west = await bed.ours();
      north = await bed.ours();
    });

    // A raw flow to a gateway whose Service had lost its endpoints was reset, although another cluster would
    // have served it and nothing of it had reached anybody.
    it('it goes on by what its owner gives, with all that was sent, and the end of it', async () => {
      west.onStream = refusing(504);
      const ear = await flow();
      const early = 'early '.repeat(20_000);
      ear.say(early);
      await ear.hears(early);
      ear.say('late').connection.end();
      await ear.hears(`${early}late`);
      await eventually('it has ended', () => ear.closed);
      expect([ear.ended, ear.error]).to.deep.equal([true, undefined]);
      expect(told).to.deep.equal(['failfast: no ready endpoints']);
      expect([...bed.counters.failures]).to.deep.equal([]);
    });

    it('it ends, and that is counted, where its owner throws', async () => {
      west.onStream = refusing(504);
      const ear = await flow();
      if ('owner' in ear.connection)
        ear.connection.owner = {
          onTaken: () => undefined,
          onRefused: () => Promise.reject(new TypeError('a mistake nobody foresaw')),
        };
      ear.say('x');
      await eventually('it is over', () => ear.closed);
      expect(bed.counters.internalErrors).to.equal(1);
    });

    it('it is reset where it is reset there', async () => {
      west.onStream = refusing(504);
      const ear = await flow();
      await ear.say('x').hears('x');
      north.close();
      await eventually('it is closed', () => ear.closed);
      expect(ear.error).to.be.instanceOf(Error);
    });

    it('it stays where load is shed, or nobody may take it', async () => {
      for (const status of [503, 403, 404]) {
        west.onStream = refusing(status);
        const ear = await flow();
        await eventually('it is refused', () => ear.closed);
      }
      expect(told).to.deep.equal([]);
    });

    it('it is lost with its gateway where something was sent, and goes on elsewhere where nothing was', async () => {
      west.onStream = () => undefined;
      const [silent, spoke] = [await flow(), await flow()];
      spoke.say('x');
      await eventually('both have come', () => west.streams === 2);
      west.close();
      await eventually('one is lost', () => spoke.closed);
      await silent.say('y').hears('y');
      expect(told).to.deep.equal([
        'connection failed: the connection to the gateway was lost before it took the flow',
      ]);
    });

    it('it says to how many others it could go, once it is known that the gateway reads that', async () => {
      const pool = bed.poolTo(west);
      await bed.opened(pool);
      for (const alternatives of [2, 0]) await pool.open({ ...ECHO, alternatives }, 'opaque');
      await eventually('they have come', () => west.streams === 3);
      expect(west.heads.map((head) => head[':alternatives'])).to.deep.equal([undefined, '2', undefined]);
    });

    it('its owner hears when it is taken', async () => {
      await (await flow()).say('x').hears('x');
      expect(told).to.deep.equal(['taken']);
    });
  });

  it('keep no more of what is sent early than can be sent again, and make its sender wait', async () => {
    const gateway = await bed.ours();
    const streams: Http2Stream[] = [];
    const held: Buffer[] = [];
    gateway.onStream = (stream) => {
      streams.push(stream);
      answer(stream, false);
      stream.handler.onData = (_, chunk) => held.push(chunk);
    };
    const pool = bed.poolTo(gateway);
    const ear = await bed.open(pool);
    const piece = Buffer.alloc(16 * 1024, 'p');
    let sent = 1;
    while (ear.connection.send(piece)) sent++;
    expect(sent * piece.length).to.be.within(64 * 1024, 192 * 1024);
    let drained = false;
    ear.connection.handler.onDrain = () => (drained = true);
    await eventually('the stream has come', () => streams.length === 1);
    const [stream] = streams;
    if (stream === undefined) throw new Error('there is no stream');
    answer(stream);
    for (const chunk of held) stream.handler.onData(stream, chunk);
    await eventually('it may send on', () => drained);
    await eventually('all of it comes back', () => ear.text.length === sent * piece.length);
  });

  it('serve a flow though nobody reads any of the others: all the windows of a full connection', async () => {
    const gateway = await bed.ours();
    const { streamWindow } = STREAM_WINDOWS;
    const unread: Http2Stream[] = [];
    gateway.onStream = (stream) => {
      answer(stream);
      if (gateway.streams === MAX_STREAMS) return;
      unread.push(stream);
      stream.write(Buffer.alloc(streamWindow + 1000));
    };
    const { connection: bytes } = await tlsConnect(
      {
        label: 'gateway',
        counters: () => bed.counters.shared,
        boundary: bed.counters,
        clock: bed.clock,
        identity: () => bed.identity,
        serverName: 'gateway.west',
        alpn: [STREAMS_ALPN],
        refuses: () => undefined,
      },
      { host: '127.0.0.1', port: gateway.port },
    );
    const shared = new Http2Connection(bytes, {
      role: 'client',
      clock: bed.clock,
      user: NOBODY,
      maxOpened: MAX_STREAMS,
      keepAliveMs: NEVER,
      ...STREAM_WINDOWS,
    });
    shared.start(Buffer.alloc(0));
    const begin = () => {
      const tunnel = new DialledTunnel({
        boundary: NO_BOUNDARY,
        head: tunnelHead(ECHO.field, 'opaque'),
        remoteAddress: '',
        told: {},
        withRoom: () => Promise.reject(new Error('there is no other')),
        onRefused: () => undefined,
      });
      tunnel.pause();
      tunnel.begin(shared);
      return tunnel;
    };
    while (shared.active < MAX_STREAMS - 1) begin();
    await eventually(
      'each has all that its window allows',
      () => unread.length === MAX_STREAMS - 1 && unread.every(({ queued }) => queued === 1000),
    );
    await new Ear(begin()).say('still served').hears('still served');
    shared.destroy();
  });

  it('say why there is no tunnel', async () => {
    const gateway = await bed.ours();
    gateway.onStream = (stream) =>
      stream.head([statusField(403), makeField('l5d-proxy-error', 'not you')], true);
    const pool = bed.poolTo(gateway);
    const ear = (await bed.open(pool)).say('x');
    await eventually('it is over', () => ear.closed);
    expect(ear.error).to.include({ kind: 'unauthorized', message: 'not you' });
    expect([...bed.counters.failures]).to.deep.equal([['tcp\tunauthorized', 1]]);
  });
});

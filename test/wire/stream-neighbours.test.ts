import { expect } from 'chai';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { Http2ErrorCode } from '../../src/proxy/http2/errors.ts';
import { eventually } from '../support/eventually.ts';
import { localGateway, type LocalGateway } from '../support/local-gateway.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { raw as frames, RawHttp2 } from '../support/raw-http2.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { WireTarget } from '../support/wire-target.ts';

const web = 'web.demo.svc.cluster.local';
const web2 = 'web2.demo.svc.cluster.local';
const raw = 'raw.demo.svc.cluster.local';
const flood = 'flood.demo.svc.cluster.local';
const sink = 'sink.demo.svc.cluster.local';

const at = (
  name: string,
  port: number,
  origin: { readonly port: number },
  protocol: 'http1' | 'http2' | 'opaque' = 'opaque',
): TargetSpec => ({
  name,
  port,
  protocol,
  endpoints: [{ host: '127.0.0.1', port: origin.port, ready: true }],
});

/**
 * All flows of an egress are on a few connections. What one of them does (read nothing, send without end,
 * break off, by the thousand) must not be felt by any other; that would be an outage of everything because of
 * one client.
 */
describe('Flows that share a connection between egress and gateway', () => {
  // Hundreds of flows, each with handshakes of its own clients: on a busy machine they take their time.

  let relay: Relay;
  let origins: Origin[];
  /** Sends as much as it can. */
  let fountain: WireTarget;
  /** Reads nothing. */
  let stubborn: WireTarget;
  const sockets: Socket[] = [];

  const open = async (name: string, port = 7) => {
    const socket = await relay.client.connect(name, port);
    sockets.push(socket);
    return socket;
  };
  const ask = async (kind: 'http1' | 'http2', name = web) =>
    String((await relay.client.request(kind, name, { path: '/hello' })).body);
  const streams = () => relay.egress.counters.streams;
  const specs = () => [
    at(web, 80, origins[0] ?? { port: 0 }, 'http1'),
    at(web2, 80, origins[1] ?? { port: 0 }, 'http2'),
    at(raw, 7, origins[2] ?? { port: 0 }),
    at(flood, 7, fountain),
    at(sink, 7, stubborn),
  ];

  beforeEach(async () => {
    origins = [await http1Origin(), await http2Origin(), await rawOrigin()];
    fountain = await WireTarget.start(undefined, ({ socket }) => {
      const pour = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 'w')));
      };
      socket.on('drain', pour);
      pour();
    });
    stubborn = await WireTarget.start(undefined, ({ socket }) => socket.pause());
    relay = await startRelay({
      specs: specs(),
      services: [
        { name: web },
        { name: web2 },
        ...[raw, flood, sink].map((name) => ({ name, port: 7, protocol: 'opaque' as const })),
      ],
    });
  });

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await relay.close();
    for (const origin of origins) origin.close();
    await fountain.close();
    await stubborn.close();
  });

  it('share it, whatever they speak and whichever service they are for', async () => {
    expect(
      await Promise.all([ask('http1'), ask('http2'), ask('http1', web2), ask('http2', web2)]),
    ).to.deep.equal(Array.from({ length: 4 }, () => 'hello'));
    const { connections, tunnels } = streams();
    for (let count = 0; count < 30; count++) {
      const socket = await open(raw);
      socket.write('x');
      await once(socket, 'data');
    }
    expect(await ask('http1')).to.equal('hello');
    // While nobody knew who is there, each that came at the same moment connected for itself.
    expect(streams().connections).to.equal(connections).and.to.be.within(1, 4);
    expect(streams().tunnels - tunnels).to.equal(30);
  });

  it('are not stalled by readers that read nothing', async () => {
    for (let count = 0; count < 60; count++) (await open(flood)).pause();
    const stuck = () => fountain.connections.filter(({ closed }) => !closed);
    await eventually(
      'the target can send no more on any',
      () => stuck().length === 60 && stuck().every(({ socket }) => socket.writableNeedDrain),
    );
    // Whoever reads none of its download holds a window of it, and no more, on each side.
    for (let count = 0; count < 20; count++) {
      const socket = await open(raw);
      const sent = Buffer.alloc(300_000, 'quick ');
      socket.end(sent);
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
      await once(socket, 'end');
      expect(bytes).to.equal(sent.length);
    }
    expect(await Promise.all([ask('http1'), ask('http2', web2)])).to.deep.equal(['hello', 'hello']);
    expect(streams().connections).to.be.within(1, 4);
  });

  it('are not stalled by targets that read nothing, whose clients are made to wait', async () => {
    const senders = await Promise.all(Array.from({ length: 40 }, () => open(sink)));
    const piece = Buffer.alloc(65_536);
    for (const socket of senders) while (socket.write(piece));
    const fill = (socket: Socket) =>
      socket.on('drain', () => {
        while (socket.write(piece));
      });
    for (const socket of senders) fill(socket);
    const sent = () => senders.reduce((sum, socket) => sum + socket.bytesWritten, 0);
    let last = -1;
    await eventually(
      'nothing moves any more',
      () => {
        const now = sent();
        const still = now === last;
        last = now;
        return still;
      },
      { everyMs: 200 },
    );
    // Kernel buffers of two hops (some 6 MB each on loopback) beside ours.
    expect(sent() / senders.length).to.be.lessThan(16 << 20);
    expect(await Promise.all([ask('http1'), ask('http2', web2)])).to.deep.equal(['hello', 'hello']);
  });

  it('go on when others break off, hundreds a moment', async () => {
    const steady = await open(raw);
    steady.write('before ');
    await once(steady, 'data');
    const connections = streams().connections;
    for (let round = 0; round < 15; round++) {
      const batch = await Promise.all(Array.from({ length: 100 }, () => open(raw)));
      for (const socket of batch) {
        socket.write('x');
        socket.resetAndDestroy();
      }
      sockets.splice(sockets.indexOf(steady) + 1);
    }
    steady.write('after');
    const [chunk] = (await once(steady, 'data')) as [Buffer];
    expect(String(chunk)).to.equal('after');
    expect(streams().connections).to.be.within(connections, 4);
    await eventually(
      'the gateway has let go of all but one',
      () => relay.local.gateway.counters.client.numbers.open <= 4,
    );
  });

  // One client that reset each request in the packet of its head, which it may 1,000 times on each of its
  // connections, was passed on as it came: the gateway took the egress for an attacker, and ended the
  // connection with all that was on it.
  it('go on when one gives up thousands of requests as it makes them', async () => {
    const neighbour = await open(raw);
    neighbour.on('error', () => undefined);
    neighbour.write('x');
    await once(neighbour, 'data');
    for (let count = 0; count < 24; count++) {
      const client = new RawHttp2(await open(web, 80));
      await client.hears(/^SETTINGS/);
      for (let id = 1; id < 1900; id += 2) {
        client.send(client.head(id), frames.reset(id, Http2ErrorCode.CANCEL));
        if (id % 400 === 1) await new Promise((resolve) => setImmediate(resolve));
      }
      client.send(client.head(1901));
      await client.hears(/^HEADERS 1901 200/);
      client.socket.destroy();
    }
    neighbour.write('y');
    await eventually('the neighbour is answered', () => neighbour.bytesRead === 2 || neighbour.closed);
    expect(neighbour.bytesRead).to.equal(2);
  });

  it('take more connections when they are many, and none is refused', async () => {
    const count = 600;
    const many = await Promise.all(Array.from({ length: count }, () => open(raw)));
    await Promise.all(
      many.map(async (socket) => {
        socket.write('x');
        await once(socket, 'data');
      }),
    );
    expect(streams().connections).to.be.within(3, 8);
    expect([...relay.egress.counters.failures]).to.deep.equal([]);
  });

  it('end when their service is no longer exported; requests are refused, others go on', async () => {
    const [mine, other] = [await open(raw), await open(flood)];
    other.pause();
    mine.write('x');
    await once(mine, 'data');
    mine.on('error', () => undefined);
    expect(await ask('http1')).to.equal('hello');
    relay.local.serve(specs().filter(({ name }) => name !== raw && name !== web));
    await eventually('it ends', () => mine.closed);
    const { status, body } = await relay.client.request('http1', web, { path: '/hello' });
    expect([status, String(body)]).to.satisfy(
      ([code, text]: [number, string]) => code === 404 && text.includes('is not exported by this cluster'),
    );
    expect(await ask('http2', web2)).to.equal('hello');
    expect(other.closed).to.equal(false);
  });

  it('that the gateway refuses show in the metrics as what they are', async () => {
    const refused = relay.egress.counters.failures.get('tcp\tunknown service') ?? 0;
    relay.local.serve([]);
    const socket = await open(raw);
    socket.write('anybody?');
    await eventually('it ends', () => socket.closed || socket.readableEnded);
    await eventually(
      'it is counted',
      () => relay.egress.counters.failures.get('tcp\tunknown service') === refused + 1,
    );
    expect(relay.local.gateway.counters.failures.get('tcp\tunknown service')).to.equal(refused + 1);
  });

  describe('when the gateway is replaced', () => {
    let second: LocalGateway | undefined;
    afterEach(async () => second?.close());

    for (const [what, before, after] of [
      ['by one that can share connections', false, true],
      ['by one that cannot', true, false],
    ] as const)
      it(`${what}, requests and raw flows go the other way from then on`, async () => {
        await relay.close();
        relay = await startRelay({
          specs: specs(),
          services: [{ name: web }, { name: web2 }, { name: raw, port: 7, protocol: 'opaque' }],
          gateway: { streams: before },
        });
        const { local } = relay;
        const all = async () => {
          expect([await ask('http1'), await ask('http2', web2), await ask('http1', web2)]).to.deep.equal(
            Array.from({ length: 3 }, () => 'hello'),
          );
          const socket = await open(raw);
          const echoed = once(socket, 'data');
          socket.write('raw');
          expect(String((await echoed)[0])).to.equal('raw');
          socket.destroy();
        };
        await all();
        expect(streams().connections > 0).to.equal(before);
        await local.gateway.stop();
        second = await localGateway(specs(), {
          listen: { host: '127.0.0.1', port: local.port },
          identity: local.identity,
          streams: after,
        });
        await eventually('the old connections are gone', () => streams().connections === 0);
        // HTTP/2 first: it finds out what the gateway speaks in the middle of something else.
        expect(await ask('http2', web2)).to.equal('hello');
        await all();
        expect(streams().connections > 0).to.equal(after);
      });
  });

  describe('when the egress shuts down', () => {
    // The next request of a busy client is on its way while the connection looks idle: closing it at once
    // would lose that one.
    it('answers what is on its way on kept connections, and says that it was the last', async () => {
      await relay.close();
      relay = await startRelay({ specs: specs(), services: [{ name: web }], egress: { graceMs: 10_000 } });
      const socket = await open(web, 80);
      const request = `GET /hello HTTP/1.1\r\nHost: ${web}\r\n\r\n`;
      let heard = '';
      socket.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
      socket.write(request);
      await eventually('the first answer', () => heard.endsWith('hello'));
      expect(heard.toLowerCase()).not.to.contain('connection: close');
      heard = '';
      const stopped = relay.egress.stop();
      await new Promise((resolve) => setImmediate(resolve));
      const ended = once(socket, 'end');
      socket.write(request);
      await ended;
      socket.end();
      expect(heard).to.match(/^HTTP\/1.1 200 .*connection: close.*hello$/is);
      await stopped;
    });
  });

  describe('when the gateway shuts down', () => {
    let second: LocalGateway | undefined;
    afterEach(async () => second?.close());

    it('loses no request: those under way finish, new ones go to the next gateway', async () => {
      await relay.close();
      relay = await startRelay({
        specs: specs(),
        services: [{ name: web }, { name: web2 }, { name: raw, port: 7, protocol: 'opaque' }],
        gateway: { graceMs: 10_000, reusePort: true },
      });
      const { local } = relay;
      const tunnel = await open(raw);
      tunnel.write('x');
      await once(tunnel, 'data');
      const answers: string[] = [];
      const asking = new AbortController();
      const asker = async (kind: 'http1' | 'http2') => {
        while (!asking.signal.aborted) answers.push(await ask(kind, kind === 'http1' ? web : web2));
      };
      const askers = Promise.all([asker('http1'), asker('http1'), asker('http2'), asker('http2')]);
      await eventually('requests flow', () => answers.length > 50);
      // The same port, as a Service's address stays when its pods go; and the same identity.
      second = await localGateway(specs(), {
        listen: { host: '127.0.0.1', port: local.port },
        reusePort: true,
        identity: local.identity,
      });
      const stopped = local.gateway.stop();
      const before = answers.length;
      await eventually('requests flow on', () => answers.length > before + 200);
      asking.abort();
      await askers;
      expect(new Set(answers)).to.deep.equal(new Set(['hello']));
      expect(second.gateway.counters.client.numbers.opened).to.be.greaterThan(0);
      // The tunnel has stayed where it is.
      tunnel.write('still here');
      const [chunk] = (await once(tunnel, 'data')) as [Buffer];
      expect(String(chunk)).to.equal('still here');
      tunnel.end();
      await stopped;
      expect([...relay.egress.counters.failures]).to.deep.equal([]);
    });
  });
});

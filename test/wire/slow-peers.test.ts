import { expect } from 'chai';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import type tls from 'node:tls';
import type { SessionProtocol } from '../../src/proxy/http/messages.ts';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { FULL, heldBytes } from '../support/wire-memory.ts';

const BIG = 'big.demo.svc.cluster.local';
const SINK = 'sink.demo.svc.cluster.local';
const WEB = 'web.demo.svc.cluster.local';
const MB = 1024 * 1024;
const GB = 1024 * MB;
/** What is carried whole, through a reader that takes its time. */
const WHOLE = FULL ? GB : 64 * MB;
const MAX_GROWTH = 32 * MB;
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-length: ';

/** A block that is not the same everywhere, so that a lost or doubled piece changes the hash. */
const BLOCK = Buffer.alloc(64 * 1024, Array.from({ length: 251 }, (_, n) => n).join());
function hashOf(length: number): string {
  const hash = createHash('sha256');
  for (let left = length; left > 0; left -= BLOCK.length)
    hash.update(left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK);
  return hash.digest('hex');
}

/** Sends `length` bytes, as fast as they are taken. */
class Source {
  sent = 0;
  readonly #socket: net.Socket;
  readonly #length: number;

  constructor(socket: net.Socket, length: number) {
    this.#socket = socket;
    this.#length = length;
    socket.on('drain', () => this.#go());
    this.#go();
  }

  #go(): void {
    while (this.sent < this.#length && !this.#socket.destroyed) {
      const block =
        this.#length - this.sent < BLOCK.length ? BLOCK.subarray(0, this.#length - this.sent) : BLOCK;
      this.sent += block.length;
      if (!this.#socket.write(block)) return;
    }
  }
}

/**
 * A proxy stands between a fast and a slow side. If it reads what the other side does not take, one client on
 * a bad line (or one that means it) and a large download take all of the gateway's memory, and with it
 * everybody's connections.
 */
describe('slow clients and slow targets', function () {
  this.timeout(FULL ? 600_000 : 60_000);
  let gateway: WireGateway;
  let big: net.Server;
  let sink: net.Server;
  let origin: Origin;
  let sources: Source[] = [];
  const sinks: net.Socket[] = [];
  /** How much a target sends that is asked. */
  let length = GB;

  before(async () => {
    origin = await http1Origin();
    // Raw: sends at once. HTTP: answers its request.
    big = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (chunk) => {
        if (chunk.includes('HTTP/1.1')) socket.write(`${HEAD}${length}\r\n\r\n`);
        sources.push(new Source(socket, length));
      });
    });
    sink = net.createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined);
      sinks.push(socket);
    });
    for (const server of [big, sink]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    const port = (server: net.Server) => (server.address() as AddressInfo).port;
    gateway = await WireGateway.start([
      service(BIG, [port(big)]),
      service(SINK, [port(sink)]),
      service(WEB, [origin.port]),
    ]);
  });

  after(async () => {
    await gateway.close();
    origin.close();
    for (const server of [big, sink]) server.close();
    for (const socket of sinks) socket.destroy();
  });

  beforeEach(() => {
    sources = [];
    // What waits for them to read would wait for ever.
    for (const socket of sinks.splice(0)) socket.destroy();
  });

  /** A client that reads nothing until it is told to. */
  async function unread(name: string, protocol: SessionProtocol): Promise<tls.TLSSocket> {
    const socket = gateway.dial();
    await once(socket, 'secureConnect');
    socket.write(encodeTransportHeader({ name, port: 80, protocol }));
    return socket;
  }

  async function othersAreServed(): Promise<void> {
    const client = await gateway.open(WEB, 'http1');
    client.send('GET /hello HTTP/1.1\r\nconnection: close\r\n\r\n');
    expect(await client.whole()).to.match(/^HTTP\/1\.1 200 [^]*hello$/);
  }

  /** Waits until a number stands still. @returns it */
  async function settled(count: () => number): Promise<number> {
    let last = -1;
    let same = 0;
    await eventually(
      'nothing moves any more',
      () => {
        same = count() === last && last > 0 ? same + 1 : 0;
        last = count();
        return same >= 5;
      },
      { everyMs: 50 },
    );
    return last;
  }

  for (const protocol of ['http1', 'opaque'] as const) {
    const ask = protocol === 'http1' ? 'GET / HTTP/1.1\r\nhost: x\r\n\r\n' : 'go';

    it(`${protocol}: a client that reads nothing while a target sends 1 GB`, async () => {
      length = GB;
      const before = heldBytes();
      const client = await unread(BIG, protocol);
      client.write(ask);
      await eventually('the target sends', () => sources.length === 1);
      const sent = await settled(() => sources[0]?.sent ?? 0);
      const growth = heldBytes() - before;
      await othersAreServed();
      console.log(
        `        the target could send ${(sent / MB).toFixed(1)} MB; heap and buffers grew by ${(growth / MB).toFixed(1)} MB`,
      );
      // The kernel's buffers on both sides take some; the gateway itself must not.
      expect(growth).to.be.lessThan(MAX_GROWTH);
      expect(sent).to.be.lessThan(MAX_GROWTH);
      client.destroy();
    });

    it(`${protocol}: a target that reads nothing while a client uploads 1 GB`, async () => {
      const before = heldBytes();
      const client = await unread(SINK, protocol);
      if (protocol === 'http1') client.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${GB}\r\n\r\n`);
      const source = new Source(client, GB);
      const sent = await settled(() => source.sent);
      const growth = heldBytes() - before;
      await othersAreServed();
      console.log(
        `        the client could send ${(sent / MB).toFixed(1)} MB; heap and buffers grew by ${(growth / MB).toFixed(1)} MB`,
      );
      expect(growth).to.be.lessThan(MAX_GROWTH);
      expect(sent).to.be.lessThan(MAX_GROWTH);
      client.destroy();
    });

    it(`${protocol}: ${WHOLE / MB} MB through a slow reader arrive whole`, async () => {
      length = WHOLE;
      const before = heldBytes();
      const client = await unread(BIG, protocol);
      client.write(ask);
      const begun = performance.now();
      const { received, hash, peak } = await readSlowly(client, protocol === 'http1', before);
      const seconds = (performance.now() - begun) / 1000;
      console.log(
        `        ${(received / MB).toFixed(0)} MB in ${seconds.toFixed(1)} s; heap and buffers grew by at most ${(peak / MB).toFixed(1)} MB`,
      );
      expect(received).to.equal(WHOLE);
      expect(hash).to.equal(hashOf(WHOLE));
      expect(peak).to.be.lessThan(MAX_GROWTH);
      client.destroy();
    });
  }

  it(`opaque: ${WHOLE / MB} MB to a slow target arrive whole`, async () => {
    const client = await unread(SINK, 'opaque');
    const source = new Source(client, WHOLE);
    await eventually('the target is connected', () => sinks.length === 1);
    const [target] = sinks;
    if (target === undefined) throw new Error('there is no connection');
    const { received, hash } = await readSlowly(target, false, 0, WHOLE);
    expect(source.sent).to.equal(WHOLE);
    expect(received).to.equal(WHOLE);
    expect(hash).to.equal(hashOf(WHOLE));
    client.destroy();
  });

  /** Reads 4 MB, rests for a moment, and so on. */
  async function readSlowly(
    socket: net.Socket,
    http: boolean,
    before: number,
    wanted = WHOLE,
  ): Promise<{ received: number; hash: string; peak: number }> {
    const hash: Hash = createHash('sha256');
    let received = 0;
    let sinceRest = 0;
    let peak = 0;
    let head = http;
    await new Promise<void>((resolve, reject) => {
      socket.on('close', () => reject(new Error(`closed after ${received} bytes`)));
      socket.on('data', (chunk: Buffer) => {
        let body = chunk;
        if (head) {
          body = chunk.subarray(chunk.indexOf('\r\n\r\n') + 4);
          head = false;
        }
        hash.update(body);
        received += body.length;
        sinceRest += body.length;
        if (received >= wanted) return resolve();
        if (sinceRest < 4 * MB) return;
        sinceRest = 0;
        socket.pause();
        peak = Math.max(peak, heldBytes() - before);
        setTimeout(() => socket.resume(), 5);
      });
      socket.resume();
    });
    return { received, hash: hash.digest('hex'), peak };
  }

  it('a client that pipelines requests and reads no answer is made to wait', async () => {
    // Each answer is small, and was buffered without looking: memory grew by what the client asked for.
    const before = heldBytes();
    const client = await unread(WEB, 'http1');
    let asked = 0;
    const requests = Buffer.from('GET /bytes/20000 HTTP/1.1\r\n\r\n'.repeat(100));
    const more = () => {
      while (asked < 2000 && !client.destroyed) {
        asked += 100;
        if (!client.write(requests)) return;
      }
    };
    client.on('drain', more);
    const first = origin.count();
    more();
    const answered = (await settled(() => origin.count())) - first;
    const growth = heldBytes() - before;
    console.log(
      `        ${answered} answers were taken; heap and buffers grew by ${(growth / MB).toFixed(1)} MB`,
    );
    expect(growth).to.be.lessThan(MAX_GROWTH);
    expect(answered * 20_000).to.be.lessThan(MAX_GROWTH);
    await othersAreServed();
    // And when it reads at last, it gets them all.
    let received = 0;
    client.on('data', (chunk: Buffer) => (received += chunk.length));
    client.resume();
    await eventually('all are answered', () => received > asked * 20_000, { timeoutMs: 60_000 });
    client.destroy();
  });

  it('a client that asks for what is refused and reads no answer is made to wait', async () => {
    const before = heldBytes();
    const client = await unread('secret.demo.svc.cluster.local', 'http1');
    let asked = 0;
    const requests = Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(1000));
    const source = () => {
      while (asked < 64 * MB && !client.destroyed) {
        asked += requests.length;
        if (!client.write(requests)) return;
      }
    };
    client.on('drain', source);
    source();
    await settled(() => asked);
    const growth = heldBytes() - before;
    console.log(
      `        ${(asked / MB).toFixed(1)} MB of requests were taken; heap and buffers grew by ${(growth / MB).toFixed(1)} MB`,
    );
    expect(growth).to.be.lessThan(MAX_GROWTH);
    expect(asked).to.be.lessThan(MAX_GROWTH);
    await othersAreServed();
    client.destroy();
  });
});

import { expect } from 'chai';
import { once } from 'node:events';
import net from 'node:net';
import type tls from 'node:tls';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';

const WEB = 'web.demo.svc.cluster.local';
const GET = 'GET /hello HTTP/1.1\r\nhost: x\r\n\r\n';
/** Requests of the honest client, of which half go over one connection and half over a new one each. */
const REQUESTS = 60;

/**
 * One client attacks, with whatever it can reach the port with; others must not fail for it. How much slower
 * they get is printed only: it depends on the machine, and the attackers run in this process, too.
 */
describe('while one client attacks, others are served', () => {
  let gateway: WireGateway;
  let origin: Origin;
  let quiet: number;

  before(async () => {
    origin = await http1Origin();
    gateway = await WireGateway.start([service(WEB, [origin.port])], { detectTimeoutMs: 1000 });
    await honest();
    quiet = await honest();
  });

  after(async () => {
    await gateway.close();
    origin.close();
  });

  /** @returns median latency, milliseconds; throws when a request fails */
  async function honest(): Promise<number> {
    const times: number[] = [];
    const kept = await gateway.open(WEB, 'http1');
    let answers = 0;
    for (let n = 0; n < REQUESTS; n++) {
      const begun = performance.now();
      if (n % 2 === 0) {
        answers++;
        kept.send(GET);
        expect(await kept.hearsTimes('hello', answers)).not.to.match(/HTTP\/1\.1 [^2]/);
      } else {
        const client = await gateway.open(WEB, 'http1');
        await client.send(GET).hears(/^HTTP\/1\.1 200 [^]*hello$/);
        client.socket.destroy();
      }
      times.push(performance.now() - begun);
    }
    kept.socket.destroy();
    return times.toSorted((a, b) => a - b)[REQUESTS / 2] ?? 0;
  }

  /** Keeps `width` attacks going until it is told to stop. */
  class Attack {
    made = 0;
    #over = false;
    readonly #running: Promise<void>[];

    constructor(width: number, once: () => Promise<void>) {
      this.#running = Array.from({ length: width }, async () => {
        while (!this.#over) {
          await once().catch(() => undefined);
          this.made++;
        }
      });
    }

    async stop(): Promise<void> {
      this.#over = true;
      await Promise.all(this.#running);
    }
  }

  const closed = async (socket: net.Socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    if (!socket.destroyed) await once(socket, 'close');
  };
  async function inside(send: (socket: tls.TLSSocket) => void): Promise<void> {
    const socket = gateway.dial({ allowHalfOpen: false });
    await once(socket, 'secureConnect');
    send(socket);
    await closed(socket);
  }
  const http1 = encodeTransportHeader({ name: WEB, port: 80, protocol: 'http1' });
  const plain = () => net.connect({ port: gateway.port, host: '127.0.0.1' });

  const attacks: readonly [story: string, width: number, once: () => Promise<void>][] = [
    [
      'handshakes, one after the other',
      4,
      () =>
        inside((socket) => {
          socket.destroy();
        }),
    ],
    ['handshakes without a certificate', 4, () => closed(gateway.dial({ cert: '', key: '' }))],
    [
      'noise instead of handshakes',
      8,
      () => {
        const socket = plain();
        socket.write(Buffer.alloc(100, 7));
        return closed(socket);
      },
    ],
    ['connections that say nothing', 100, () => closed(plain())],
    [
      'transport headers that trickle',
      50,
      () =>
        inside((socket) => {
          let at = 0;
          const timer = setInterval(() => socket.write(http1.subarray(at, ++at)), 50);
          socket.once('close', () => clearInterval(timer));
        }),
    ],
    ['transport headers that are none', 4, () => inside((socket) => socket.write('GET / HTTP/1.1\r\n\r\n'))],
    [
      'heads that are none',
      4,
      () => inside((socket) => socket.write(Buffer.concat([http1, Buffer.from('GET\r\n\r\n')]))),
    ],
    [
      'heads as long as can be',
      2,
      () =>
        inside((socket) =>
          socket.write(
            Buffer.concat([
              http1,
              Buffer.from(`GET / HTTP/1.1\r\nx: ${'y'.repeat(65_000)}`),
              Buffer.alloc(1000, 'y'),
            ]),
          ),
        ),
    ],
    [
      'chunks of one byte',
      2,
      () =>
        inside((socket) => {
          socket.write(http1);
          socket.write('POST /facts HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n');
          socket.write('1;x=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\na\r\n'.repeat(2000));
          socket.end('0\r\n\r\n');
        }),
    ],
    [
      'services that do not exist',
      4,
      () =>
        inside((socket) => {
          const name = `s${Math.floor(Math.random() * 1e9)}.demo.svc.cluster.local`;
          socket.write(encodeTransportHeader({ name, port: 80, protocol: 'http1' }));
          socket.write('GET / HTTP/1.1\r\nconnection: close\r\n\r\n');
        }),
    ],
  ];
  for (const [story, width, once] of attacks) {
    it(story, async () => {
      const attack = new Attack(width, once);
      const loud = await honest();
      await attack.stop();
      console.log(
        `        ${attack.made} attacks; the others' median request took ${loud.toFixed(1)} ms, ${(loud / quiet).toFixed(1)} times the quiet ${quiet.toFixed(1)} ms`,
      );
      expect(attack.made).to.be.greaterThan(0);
      // Nothing is left of it.
      await eventually('the connections are gone', () => gateway.gateway.counters.client.numbers.open === 0);
      expect(Object.keys(Object.fromEntries(gateway.gateway.balancers))).to.deep.equal([`${WEB}:80`]);
    });
  }
});

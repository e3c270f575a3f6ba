import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { residentBytes } from '../support/resident-bytes.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

const WEB = 'web.demo.svc.cluster.local';
const HANDSHAKES = 50;
const FLOOD = 2000;
/** What so many silent connections cost when all of them are held is about 34 MiB on Node. */
const MAX_GROWTH = 20 * 1024 * 1024;
/** After which it must have stopped growing. */
const MAX_WAVES = 4;

/**
 * The gateway's port is open to whoever reaches the load balancer. Connections that never say a word were
 * held for 10 s each, up to 100,000 of them: 25,000 took all the memory that the chart allows, and the kernel
 * killed the gateway with every flow on it.
 */
for (const runtime of RUNTIMES) {
  describe(`silent connections to a gateway on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-flood-'));
    const sockets = new Set<net.Socket>();
    let origin: Origin;
    let gateway: GatewayProcess;
    let client: MeshClient;

    before(async () => {
      const issuer = await createIssuer(await createAnchor({}), {});
      const identity = await issueLeaf(issuer, { identity: 'client.east' });
      origin = await http1Origin();
      gateway = await GatewayProcess.start({
        runtime,
        dir,
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: [{ name: WEB, ports: [origin.port] }],
        flags: ['--max-handshakes', String(HANDSHAKES), '--max-connections', '200'],
      });
      client = new MeshClient({ port: gateway.port, gatewayIdentity: 'gateway.west', identity });
      await served();
    });
    afterEach(async () => {
      for (const socket of sockets) socket.destroy();
      await eventually('the silent ones are gone', () => sockets.size === 0);
    });
    after(async () => {
      await gateway.kill();
      origin.close();
      rmSync(dir, { recursive: true });
    });

    const served = async () =>
      expect((await client.request('http1', WEB, { path: '/hello' })).status).to.equal(200);
    /** A client that says `first` and nothing more. @param localAddress where it comes from */
    const connect = async (localAddress: string, first = ''): Promise<net.Socket> => {
      const socket = net.connect({ host: '127.0.0.1', port: gateway.port, localAddress });
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
      socket.resume();
      await once(socket, 'connect');
      if (first !== '') socket.write(Buffer.from(first, 'latin1'));
      return socket;
    };
    const flood = async (first = '', count = 8 * HANDSHAKES) => {
      for (let n = 0; n < count; n += 50)
        await Promise.all(Array.from({ length: 50 }, () => connect('127.0.0.1', first)));
    };
    const evicted = async () =>
      Number(
        /^inbound_tcp_errors_total\{[^}]*error="handshake evicted"[^}]*\} (\d+)/m.exec(
          await gateway.metrics(),
        )?.[1] ?? 0,
      );

    it('are as many as there is room for, cost no more memory, and are counted', async () => {
      const wave = async () => {
        await flood('', FLOOD);
        await eventually('the others are gone', () => sockets.size <= HANDSHAKES);
        return residentBytes(gateway.pid);
      };
      // The first ones make what a process keeps anyway, room for garbage; what is lost with each wave never
      // ends.
      let before = await wave();
      let growth = Number.POSITIVE_INFINITY;
      let waves = 1;
      for (; growth >= MAX_GROWTH && waves <= MAX_WAVES; waves += 1) {
        const after = await wave();
        growth = after - before;
        before = after;
      }
      expect(growth, `after ${waves} waves`).to.be.below(MAX_GROWTH);
      // A few may have ended by their time before their turn came.
      expect(await evicted()).to.be.within((waves - 1) * FLOOD, waves * FLOOD);
    });

    it('do not keep out a client of the same address: a whole cluster may come from one', async () => {
      await flood();
      await served();
      await flood('\x16\x03\x01');
      await served();
    });

    it('of one address do not cost a slow client of another its place', async () => {
      const slow = await connect('127.0.0.2', '\x16');
      await flood();
      await eventually('the others are gone', () => sockets.size <= HANDSHAKES);
      expect(slow.destroyed).to.equal(false);
      slow.destroy();
    });
  });
}

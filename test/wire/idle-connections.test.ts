import { expect } from 'chai';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { residentBytes } from '../support/resident-bytes.ts';
import { useTempDir } from '../support/temp-dir.ts';
import { FULL } from '../support/wire-memory.ts';

const WEB = 'web.demo.svc.cluster.local';
const CONNECTIONS = FULL ? 5000 : 500;
/** Handshakes at the same time. */
const WIDTH = 20;
/** Far above what is seen (about 50 kB), far below what would take a gateway down. */
const MAX_PER_CONNECTION = 200 * 1024;

/**
 * Every proxy of the other clusters keeps a connection to each service it has called lately. They are idle
 * nearly always, and must cost next to nothing.
 */
for (const runtime of RUNTIMES) {
  describe(`${CONNECTIONS} idle connections to one gateway process on ${runtime}`, function () {
    this.timeout(FULL ? 300_000 : 60_000);
    const dir = useTempDir();
    let origin: Origin;
    let gateway: GatewayProcess;
    const sockets: Socket[] = [];

    after(async () => {
      for (const socket of sockets) socket.destroy();
      await gateway.kill();
      origin.close();
    });

    it('are held, cost little, and the next client is served', async () => {
      const issuer = await createIssuer(await createAnchor({}), {});
      const own = await issueLeaf(issuer, { identity: 'gateway.west' });
      const identity = await issueLeaf(issuer, { identity: 'client.east' });
      origin = await http1Origin();
      gateway = await GatewayProcess.start({
        runtime,
        dir: dir(),
        identity: own,
        targets: [{ name: WEB, ports: [origin.port] }],
      });
      const client = new MeshClient({ port: gateway.port, gatewayIdentity: 'gateway.west', identity });
      const served = async () =>
        expect((await client.request('http1', WEB, { path: '/hello' })).status).to.equal(200);
      const secureContext = tls.createSecureContext({
        cert: identity.cert,
        key: identity.key,
        ca: identity.ca,
      });
      const connect = async () => {
        const socket = tls.connect({
          host: '127.0.0.1',
          port: gateway.port,
          servername: 'gateway.west',
          ALPNProtocols: ['transport.l5d.io/v1'],
          secureContext,
          checkServerIdentity: () => undefined,
        });
        sockets.push(socket);
        await once(socket, 'secureConnect');
        // One request each, as of a client that has been there and may come again.
        socket.write(encodeTransportHeader({ name: WEB, port: 80, protocol: 'http1' }));
        socket.write('GET /hello HTTP/1.1\r\nhost: x\r\n\r\n');
        await once(socket, 'data');
      };
      // Warm: what the process needs anyway does not count.
      for (let n = 0; n < 50; n++) await connect();
      await served();
      const before = residentBytes(gateway.pid);
      const begun = performance.now();
      let left = CONNECTIONS - 50;
      await Promise.all(
        Array.from({ length: WIDTH }, async () => {
          while (left-- > 0) await connect();
        }),
      );
      const seconds = (performance.now() - begun) / 1000;
      const each = (residentBytes(gateway.pid) - before) / (CONNECTIONS - 50);
      await eventually('all are counted', async () => {
        const open = /^(?:\w+_)?tcp_open_connections\{[^}]*peer="src"[^}]*\} (\d+)/m.exec(
          await gateway.metrics(),
        );
        return Number(open?.[1] ?? 0) >= CONNECTIONS;
      });
      await served();
      expect(sockets.every((socket) => !socket.destroyed)).to.equal(true);
      console.log(
        `        ${(each / 1024).toFixed(1)} kB of resident memory each; ${((CONNECTIONS - 50) / seconds).toFixed(0)} handshakes with a request per second`,
      );
      expect(each).to.be.lessThan(MAX_PER_CONNECTION);
      client.close();
    });
  });
}

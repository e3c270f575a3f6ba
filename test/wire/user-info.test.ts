import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { http1Origin, http2Origin, type Origin } from '../support/origins.ts';
import { RawHttp2 } from '../support/raw-http2.ts';
import type { ServiceClient } from '../support/service-client.ts';
import { WireClient } from '../support/wire-client.ts';

/** By what the target speaks: requests are passed on as they are, or translated. */
const H1 = 'web1.demo.svc.cluster.local';
const H2 = 'web2.demo.svc.cluster.local';
const HTTP2: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  [':authority', [[':authority', 'user@a.b']]],
  [':authority with a password', [[':authority', 'user:pw@a.b:80']]],
  ['Host', [['host', 'user@a.b']]],
];

// Whoever is named in front of an authority's "@" must not be said to the next hop (RFC 9113 section 8.3.1).
// An egress passed it on, the gateway refused it, and the client got 502: as if the gateway were at fault.
for (const runtime of ['node', 'bun'] as const)
  describe(`User information in an authority, on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-user-info-'));
    let origins: readonly Origin[];
    let gateway: GatewayProcess;
    let egress: EgressProcess;
    let mesh: MeshClient;
    const ways: Record<string, () => ServiceClient> = { gateway: () => mesh, egress: () => egress.client };

    before(async () => {
      const issuer = await createIssuer(await createAnchor({}), {});
      const [h1, h2] = (origins = [await http1Origin(), await http2Origin()]) as [Origin, Origin];
      gateway = await GatewayProcess.start({
        runtime,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: [
          { name: H1, ports: [h1.port], protocol: 'http1' },
          { name: H2, ports: [h2.port], protocol: 'http2' },
        ],
      });
      egress = await EgressProcess.start({
        runtime,
        dir: path.join(dir, 'egress'),
        identity: await issueLeaf(issuer, { identity: 'egress.east' }),
        gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' },
        services: [{ name: H1 }, { name: H2 }],
      });
      mesh = new MeshClient({
        port: gateway.port,
        gatewayIdentity: 'gateway.west',
        identity: await issueLeaf(issuer, { identity: 'client.east' }),
      });
    });
    after(async () => {
      mesh.close();
      await egress.kill();
      await gateway.kill();
      for (const origin of origins) origin.close();
      rmSync(dir, { recursive: true });
    });

    const asked = () => origins.reduce((sum, origin) => sum + origin.count(), 0);

    for (const way of Object.keys(ways))
      for (const name of [H1, H2]) {
        const connect = (protocol: 'http1' | 'http2') => ways[way]?.().connect(name, 80, protocol);
        for (const [what, said] of HTTP2)
          it(`${what} over HTTP/2 to ${name} is 400 at the ${way}, and the connection goes on`, async () => {
            const socket = await connect('http2');
            if (socket === undefined) throw new Error('no connection');
            const client = new RawHttp2(socket);
            const before = asked();
            const rest = RawHttp2.get().filter(([field]) => field !== ':authority');
            client.send(client.head(1, true, [...rest, ...said]));
            expect(await client.hears(/^(HEADERS|RST) 1/)).to.match(/^HEADERS 1 400/);
            expect(asked()).to.equal(before);
            client.send(client.head(3));
            await client.hears(/^HEADERS 3 200/);
            socket.destroy();
          });

        for (const [what, head] of [
          ['Host', 'GET /hello HTTP/1.1\r\nhost: user@a.b'],
          ['Host with a password', 'GET /hello HTTP/1.1\r\nhost: user:pw@a.b:80'],
          ['Host beside an absolute target', 'GET http://a.b/hello HTTP/1.1\r\nhost: user@a.b'],
          ['Host with a blank', 'GET /hello HTTP/1.1\r\nhost: a b'],
          ['an absolute target with two "@"', 'GET http://user@pw@a.b/hello HTTP/1.1\r\nhost: a.b'],
        ] as const)
          it(`${what} over HTTP/1 to ${name} is 400 at the ${way}`, async () => {
            const socket = await connect('http1');
            if (socket === undefined) throw new Error('no connection');
            const before = asked();
            const client = new WireClient(socket as never).send(`${head}\r\n\r\n`);
            expect(await client.whole()).to.match(/^HTTP\/1\.1 400 [^]*\r\nconnection: close\r\n/);
            expect(asked()).to.equal(before);
          });

        it(`is taken off an absolute target to ${name} at the ${way}`, async () => {
          const socket = await connect('http1');
          if (socket === undefined) throw new Error('no connection');
          const client = new WireClient(socket as never);
          const head = 'GET http://user:pw@a.b/facts HTTP/1.1\r\nhost: a.b\r\nconnection: close\r\n\r\n';
          expect(await client.send(head).whole())
            .to.match(/^HTTP\/1\.1 200 /)
            .and.to.not.include('user');
        });
      }
  });

import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { rawOrigin } from '../support/origins.ts';
import { RawHttp2 } from '../support/raw-http2.ts';
import { WireClient } from '../support/wire-client.ts';

const RAW = 'raw.demo.svc.cluster.local';

/**
 * The end of the grace is the end: a gateway was there until it was killed when a raw connection to a silent
 * target was open, ten seconds for a client that had not shaken hands, and the whole grace for an HTTP/2
 * client that answers no PING.
 */
describe('A gateway that has been told to end', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-grace-'));
  after(() => rmSync(dir, { recursive: true }));

  for (const [what, grace, open] of [
    [
      'a raw connection is open',
      '1',
      async (mesh: MeshClient) => {
        const client = new WireClient(await mesh.connect(RAW, 80, 'opaque'));
        await client.hears(/hi/);
      },
    ],
    [
      'a client has not shaken hands',
      '1',
      async (_: MeshClient, port: number) => {
        await once(
          net.connect(port, '127.0.0.1').on('error', () => undefined),
          'connect',
        );
      },
    ],
    [
      'a client of HTTP/2 without requests answers nothing',
      '3600',
      async (mesh: MeshClient) => {
        const client = new RawHttp2(await mesh.connect(RAW, 80, 'http2'));
        await client.hears(/^SETTINGS/);
      },
    ],
  ] as const)
    it(`ends although ${what}`, async () => {
      const target = await rawOrigin('hi');
      const issuer = await createIssuer(await createAnchor({}), {});
      const gateway = await GatewayProcess.start({
        runtime: 'node',
        dir: path.join(dir, what.replaceAll(/[ /]/g, '-')),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: [{ name: RAW, ports: [target.port] }],
        flags: ['--grace', grace],
      });
      const mesh = new MeshClient({
        port: gateway.port,
        gatewayIdentity: 'gateway.west',
        identity: await issueLeaf(issuer, { identity: 'front.east' }),
      });
      try {
        await open(mesh, gateway.port);
        gateway.terminate();
        expect(await gateway.ended()).to.equal(0);
      } finally {
        mesh.close();
        await gateway.kill();
        target.close();
      }
    });
});

import { expect } from 'chai';
import { once } from 'node:events';
import http from 'node:http';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { services } from '../../src/api/kubernetes/resource.ts';
import { change, removeAll } from '../support/cluster-objects.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { apply } from '../support/linked-clusters.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

/**
 * The gateway as a process of its own finds what it serves in a real API server: labels, slices and ports as
 * they change.
 */
for (const runtime of RUNTIMES) {
  describe(`A gateway on ${runtime} at a real API server`, () => {
    const dir = useTempDir();
    let west: Cluster;
    let ns: string;
    let gateway: GatewayProcess;
    let client: MeshClient;
    const servers: net.Server[] = [];

    beforeEach(async () => {
      ({ west } = await sharedClusters());
      ns = await createNamespace(west, `gateway-${runtime}`);
      for (const n of [17, 18]) servers.push(await webServer(n), await echoServer(n));
      const kubeconfig = path.join(dir(), 'kubeconfig');
      writeFileSync(kubeconfig, west.kubeconfig);
      const issuer = await createIssuer(await createAnchor({}), {});
      gateway = await GatewayProcess.start({
        runtime,
        dir: dir(),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        flags: ['--kubeconfig', kubeconfig],
      });
      const identity = await issueLeaf(issuer, { identity: 'client.east' });
      client = new MeshClient({ port: gateway.port, gatewayIdentity: 'gateway.west', identity });
    });

    afterEach(async () => {
      // Exports of a namespace that east lacks would show on every other Link to west.
      await removeAll(west, services, ns);
      client.close();
      await gateway.kill();
      for (const server of servers.splice(0)) {
        if (server instanceof http.Server) server.closeAllConnections();
        server.close();
      }
    });

    const service = (labels: object) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: ns, labels },
      spec: {
        ports: [
          { name: 'http', port: 80, targetPort: 18_080 },
          { name: 'raw', port: 7, targetPort: 'echo', appProtocol: 'tcp' },
        ],
      },
    });
    const slice = (...ready: [number, boolean][]) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'web-1',
        namespace: ns,
        labels: {
          'kubernetes.io/service-name': 'web',
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
      },
      addressType: 'IPv4',
      endpoints: ready.map(([n, is]) => ({ addresses: [address(n)], conditions: { ready: is } })),
      ports: [
        { name: 'http', port: 18_080, protocol: 'TCP' },
        { name: 'raw', port: 18_007, protocol: 'TCP' },
      ],
    });
    const name = () => `web.${ns}.svc.cluster.local`;
    const ask = async (kind: 'http1' | 'http1-upgraded' = 'http1') => {
      const { status, body } = await client.request(kind, name(), { path: '/' });
      return `${status} ${String(body).trim()}`;
    };

    it('serves what is exported, as it changes, and ends raw connections to what is no longer', async () => {
      await apply(west, service({}), slice([17, true], [18, true]));
      expect(await ask()).to.match(/^404 .* is not exported/);
      await change(
        west,
        services,
        { namespace: ns, name: 'web' },
        { metadata: { labels: { 'mirror.linkerd.io/exported': 'true' } } },
      );
      const answers = new Set<string>();
      await eventually('both endpoints answer, over both protocols', async () => {
        answers.add(await ask()).add(await ask('http1-upgraded'));
        return ['200 from 17', '200 from 18'].every((one) => answers.has(one));
      });

      await apply(west, slice([17, false], [18, true]));
      await eventually('only the ready endpoint is left', async () => {
        const seen = await Promise.all(Array.from({ length: 10 }, () => ask()));
        return seen.every((one) => one === '200 from 18');
      });

      const raw = await client.connect(name(), 7, 'opaque');
      raw.write('hello');
      expect(String((await once(raw, 'data'))[0])).to.equal('18: hello');

      await apply(west, slice([17, false], [18, false]));
      await eventually('nobody is ready', async () => {
        expect(await ask()).to.match(/^504 no ready endpoints for web\..* \(2 known, 0 ready\)$/);
        return true;
      });
      expect(raw.destroyed).to.equal(false);

      await change(
        west,
        services,
        { namespace: ns, name: 'web' },
        { metadata: { labels: { 'mirror.linkerd.io/exported': null } } },
      );
      raw.resume();
      await eventually('it ends', () => raw.readableEnded || raw.destroyed);
      expect(await ask()).to.match(/^404 /);
    });
  });
}

async function webServer(n: number): Promise<net.Server> {
  const server = http.createServer((_, response) => response.end(`from ${n}`));
  server.listen(18_080, address(n));
  await once(server, 'listening');
  return server;
}

/** Says who it is before what it gives back. */
async function echoServer(n: number): Promise<net.Server> {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => socket.write(`${n}: ${chunk.toString()}`));
  });
  server.listen(18_007, address(n));
  await once(server, 'listening');
  return server;
}

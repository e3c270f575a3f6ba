import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import net from 'node:net';
import { READABLE_NAMESPACES } from '../../src/api/names.ts';
import { secrets } from '../../src/api/kubernetes/resource.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  change,
  ensureNamespace,
  findAddresses,
  findCondition,
  findService,
  findSlices,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const PORT = 14_191;

/**
 * Linkerd believes in gateways that were dead when it started, and takes 9 s to see one die: for all that
 * time a dead cluster gets traffic.
 */
describe('a gateway that is probed', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;
  const servers = new Map<string, net.Server>();

  const addresses = () => findAddresses(east, ns, 'web-west');
  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const alive = async () => (await findCondition(east, links, 'west', 'GatewayAlive'))?.status;

  const sockets = new Set<net.Socket>();
  const open = async (ip: string, server: net.Server) => {
    servers.set(ip, server);
    server.on('connection', (socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(PORT, ip, resolve));
  };
  const answering = (): Server => createServer((_, response) => response.end('ready\n'));
  const close = async (ip: string) => {
    const server = servers.get(ip);
    servers.delete(ip);
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  };

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'probes');
    await ensureNamespace(east, ns);
    await exportService(west, ns, 'web', { test: ns });
    const probeSpec = {
      path: '/ready',
      port: String(PORT),
      period: '3s',
      timeout: '30s',
      failureThreshold: '3',
    };
    const gatewayAddress = `${address(19)},${address(20)}`;
    await apply(
      east,
      ...linkObjects(west, links, 'west', { gatewayAddress, probeSpec, ...ownSelectors(ns) }),
    );
  });

  after(async () => {
    await controller.stop();
    for (const ip of servers.keys()) await close(ip);
  });

  it('and is dead at the start gets no traffic', async () => {
    controller = startController(east, { namespace: links });
    await settled('the condition says so', async () => (await alive()) === 'False');
    await settled('the mirror is made', async () => (await findSlices(east, ns, 'web-west')).length > 0);
    expect(await addresses()).to.deep.equal([]);
    // As Linkerd does: they are to be seen, not ready, and why.
    const [slice] = await findSlices(east, ns, 'web-west');
    expect(slice?.endpoints?.map((one) => [one.addresses[0], one.conditions])).to.deep.equal(
      [address(19), address(20)].map((ip) => [ip, { ready: false, serving: false, terminating: false }]),
    );
    expect(slice?.metadata?.annotations).to.include({ 'linkspan.dev/not-ready': 'GatewayDead' });
    await settled('the condition names the address', async () =>
      (await findCondition(east, links, 'west', 'GatewayAlive'))?.message?.includes(
        `${address(19)}: ProbeRefused`,
      ),
    );
  });

  it('is used at each address as soon as that one answers', async () => {
    await open(address(19), answering());
    await settled('one is used', async () => (await addresses()).join() === address(19));
    await open(address(20), answering());
    await settled('both are used', async () => (await addresses()).length === 2);
    await settled('the condition says so', async () => (await alive()) === 'True');
  });

  it('loses an address that refuses within seconds, and only that one', async () => {
    await close(address(20));
    await settled('one is left', async () => (await addresses()).join() === address(19));
    expect(await alive()).to.equal('True');
    await settled('it is named', async () =>
      (await findCondition(east, links, 'west', 'GatewayAlive'))?.message.includes(address(20)),
    );
  });

  it('loses an address that accepts and stays silent', async () => {
    await close(address(19));
    // The other one answers meanwhile, so that the silent one is seen to go alone.
    await open(address(20), answering());
    await settled('the other is used', async () => (await addresses()).join() === address(20));
    await close(address(20));
    await open(
      address(20),
      net.createServer((socket) => socket.on('error', () => socket.destroy())),
    );
    await settled('none is left', async () => (await addresses()).length === 0);
    await close(address(20));
  });

  it('keeps its endpoints over a restart of the controller, without a write', async () => {
    await open(address(19), answering());
    await settled('it is used', async () => (await addresses()).join() === address(19));
    const version = async () => (await findService(east, ns, 'web-west'))?.metadata?.resourceVersion;
    const before = await version();
    await controller.stop();
    controller = startController(east, { namespace: links });
    await settled(
      'it is known to be alive',
      () => controller.runs.get(`${links}/west`)?.peer?.gateway?.facts.path === 'alive',
    );
    await settled('everything was looked at', () => controller.runs.get(`${links}/west`)?.peer?.depth === 0);
    expect(await addresses()).to.deep.equal([address(19)]);
    expect(await version()).to.equal(before);
  });

  // A Link whose credentials or fields went wrong had no probes: the gateway that died meanwhile went on
  // getting traffic.
  it('is probed, too, where the Link itself cannot be used, and over a restart', async () => {
    const secret = { namespace: links, name: 'cluster-credentials-west' };
    const kubeconfig = (text: string) => ({ data: { kubeconfig: Buffer.from(text).toString('base64') } });
    const link = (annotations: object) =>
      change(east, linkResource, { namespace: links, name: 'west' }, { metadata: { annotations } });
    const says = async (reason: string) => {
      await settled(`the condition says ${reason}`, async () => {
        const condition = await findCondition(east, links, 'west', 'CredentialsValid');
        return condition?.reason === reason;
      });
    };
    const diesAndComesBack = async () => {
      await close(address(19));
      await settled('it gets no traffic', async () => (await addresses()).length === 0);
      await settled('the condition says so', async () => (await alive()) === 'False');
      await open(address(19), answering());
      await settled('it is used again', async () => (await addresses()).join() === address(19));
      await settled('the condition says so', async () => (await alive()) === 'True');
    };

    await change(east, secrets, secret, kubeconfig(''));
    await says('InvalidCredentials');
    expect(await addresses()).to.deep.equal([address(19)]);
    await diesAndComesBack();
    await controller.stop();
    controller = startController(east, { namespace: links });
    await diesAndComesBack();

    await change(east, secrets, secret, kubeconfig(readFileSync(west.kubeconfigFile, 'utf8')));
    await says('Accepted');
    await link({ [READABLE_NAMESPACES]: 'no_name' });
    await says('InvalidLink');
    await diesAndComesBack();
    await link({ [READABLE_NAMESPACES]: null });
    await says('Accepted');
    expect(await addresses()).to.deep.equal([address(19)]);
  });
});

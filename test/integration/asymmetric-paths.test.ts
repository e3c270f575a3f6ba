import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { TrunkReport } from '../../src/api/answers/trunk-report.ts';
import { endpointSlices } from '../../src/api/kubernetes/resource.ts';
import { factsOf } from '../../src/api/mirror/slice-facts.ts';
import { readyAddresses } from '../../src/controllers/objects/mirrored-endpoints.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { askedEgress } from '../support/asked-egress.ts';
import { closedIn } from '../support/closed-in.ts';
import { ensureNamespace, find, findCondition, findSlices } from '../support/cluster-objects.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { exportService } from '../support/exports.ts';
import { installCrd, startController } from '../support/linked-clusters.ts';
import { localGateway } from '../support/local-gateway.ts';
import { http1Origin } from '../support/origins.ts';
import { TcpWay } from '../support/tcp-way.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 100 };

// Probes go to another port than data, and from another pod. With the one open and the other shut, mirrors
// led clients to a gateway that no egress pod could reach, and nothing ever said so.
describe('a gateway that answers probes', function () {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let links: string;
  let egress: EgressProcess;
  /** The way of data to the gateway, which stands at another port. */
  let way: TcpWay;
  const closed = closedIn(after);

  const condition = async () => {
    const found = await findCondition(east, links, 'west', 'GatewayAlive');
    return `${found?.status ?? ''} ${found?.reason ?? ''}`;
  };
  const isSaid = (text: string) => eventually(text, async () => (await condition()) === text, wait);
  const endpoints = async () => readyAddresses(await findSlices(east, ns, 'web-west'));
  const trunk = async () => {
    const answer = await fetch(`http://127.0.0.1:${egress.admin}/trunks`);
    return ((await answer.json()) as TrunkReport[])[0];
  };

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    ns = await createNamespace(west, 'app');
    await ensureNamespace(east, ns);
    links = await createNamespace(east, 'links');
    const origin = await http1Origin();
    closed(origin, (one) => one.close());
    const gateway = await localGateway([
      { name: 'web.demo.svc.cluster.local', port: 80, endpoints: [{ host: '127.0.0.1', port: origin.port }] },
    ] as never);
    closed(gateway, (one) => one.close());
    way = await TcpWay.to({ host: '127.0.0.1', port: gateway.port }, address(18));
    closed(way, (one) => one.shut());
    const dir = await mkdtemp(path.join(tmpdir(), 'linkspan-test-'));
    closed(dir, (one) => rm(one, { recursive: true, force: true }));
    egress = await EgressProcess.start({
      runtime: 'node',
      dir,
      identity: await issueLeaf(gateway.issuer, { identity: 'egress.east' }),
      gateway: { addresses: [way.host], port: way.port, identity: 'gateway.west' },
      services: [{ name: 'web.demo.svc.cluster.local', protocol: 'http1' }],
      adminHost: '0.0.0.0',
    });
    closed(egress, (one) => one.kill());
    const { admin } = egress;
    closed(await askedEgress({ east, west, ns, links, admin, gatewayPort: way.port }), (one) => one.close());
    await exportService(west, ns, 'web', { test: ns, federated: true });
    closed(startController(east, { namespace: links, dataPath: 'relay' }), (one: MirrorController) =>
      one.stop(),
    );
    await isSaid('True ProbesAnswered');
    await eventually('the mirror leads somewhere', async () => (await endpoints()).length > 0, wait);
  });

  const request = () =>
    egress.client.request('http1', 'web.demo.svc.cluster.local', { path: '/hello' }).catch(() => undefined);

  it('and that the egress reaches is alive', async () => {
    await request();
    await eventually('it is tried', async () => (await trunk())?.state === 'alive', wait);
    expect(await condition()).to.equal('True ProbesAnswered');
  });

  it('is dead when the egress cannot reach it, which the Link, the slices and the facts say', async () => {
    way.shut();
    await isSaid('False EgressCannotReach');
    expect((await findCondition(east, links, 'west', 'GatewayAlive'))?.message).to.contain(
      'probes are answered, the egress cannot reach it',
    );
    await eventually('the mirror leads nowhere', async () => (await endpoints()).length === 0, wait);
    const name = 'web-federated-west-linkspan-ipv4';
    const slice = () => find(east, endpointSlices, { namespace: ns, name });
    // Another Service than the mirror: it is written by itself.
    const said = async () => {
      const found = await slice();
      return found !== undefined && factsOf([found])?.path === 'dead';
    };
    await eventually('the facts say so', said, wait);
  });

  it('is alive again when the egress has found out by itself that it can', async () => {
    await way.open();
    await isSaid('True ProbesAnswered');
    await eventually('the mirror leads there again', async () => (await endpoints()).length > 0, wait);
  });

  it('is judged by its probes alone while no egress pod says anything', async () => {
    way.shut();
    await isSaid('False EgressCannotReach');
    await egress.kill();
    await isSaid('True ProbesAnswered');
  });
});

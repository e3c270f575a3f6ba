import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { EGRESS_DEMAND_PAGE } from '../../src/api/answers/demand-report.ts';
import { FAILOVER_POLICY } from '../../src/api/failover/failover-names.ts';
import { endpointSlices, services } from '../../src/api/kubernetes/resource.ts';
import { factsOf } from '../../src/api/mirror/slice-facts.ts';
import type { GroupRow } from '../../src/cli/queries/failover-rows.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { publishFailoverMetrics } from '../../src/controllers/failover-metrics.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { systemClock } from '../../src/base/clock.ts';
import { createRegistry } from '../../src/telemetry/registry.ts';
import { askedEgress } from '../support/asked-egress.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, ensureNamespace, eventReasonsIn, find, findService } from '../support/cluster-objects.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { exportService } from '../support/exports.ts';
import { installCrd, startController } from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { localGateway } from '../support/local-gateway.ts';
import { http1Origin } from '../support/origins.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 100 };
const FEDERATED = 'web-federated';
/** A minute without a failure, and what it takes to see it. */
const CALM = { everyMs: 100, timeoutMs: 180_000 };

// A Service that was scaled down for the night was short of capacity until its window was over, and an alert
// woke people up, although nobody had asked for more.
describe('capacity that is short by endpoints', function () {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let links: string;
  let egress: EgressProcess;
  let controller: MirrorController;
  const closed = closedIn(after);

  const condition = async () => {
    const service = await findService(east, ns, FEDERATED);
    const found = service?.status?.conditions?.find(({ type }) => type === 'linkspan.dev/CapacityShort');
    return `${found?.status ?? ''} ${found?.reason ?? ''}`;
  };
  const isSaid = (text: string, patience = wait) =>
    eventually(text, async () => (await condition()) === text, patience);
  const facts = async () => {
    const name = `${FEDERATED}-west-linkspan-ipv4`;
    const slice = await find(east, endpointSlices, { namespace: ns, name });
    return slice && factsOf([slice]);
  };
  const metric = async (name: string, label = '') => {
    const registry = createRegistry();
    publishFailoverMetrics(registry, controller.failover, systemClock);
    const line = new RegExp(`^${name}\\{.*service="${ns}/${FEDERATED}".*${label}\\} (\\d)`, 'm');
    return line.exec(await registry.metrics())?.[1];
  };
  const failover = async (...args: string[]) => {
    const where = ['-n', ns, '--kubeconfig', east.kubeconfigFile, '--controller-namespace', links];
    const { code, stdout, stderr } = await keptLinkspan('failover', ...args, ...where);
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const demand = async () =>
    EGRESS_DEMAND_PAGE.read(await (await fetch(`http://127.0.0.1:${egress.admin}/demand`)).json());
  const request = async (path: '/hello' | '/status/503', name = FEDERATED) =>
    (await egress.client.request('http1', name, { path })).status;
  /** So many pods of the Service are ready. */
  const scale = (ready: number) => {
    const endpoints = Array.from({ length: ready }, (_, at) => ({
      addresses: [`10.200.7.${at + 1}`],
      conditions: { ready: true },
    }));
    return exportService(west, ns, 'web', { test: ns, as: 'nothing', federated: true, endpoints });
  };

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    ns = await createNamespace(west, 'app');
    await ensureNamespace(east, ns);
    links = await createNamespace(east, 'links');
    const origin = await http1Origin();
    closed(origin, (one) => one.close());
    const endpoints = [{ host: '127.0.0.1', port: origin.port, ready: true }];
    const gateway = await localGateway([
      { name: FEDERATED, port: 80, endpoints },
      { name: 'plain', port: 80, endpoints },
    ] as never);
    closed(gateway, (one) => one.close());
    const dir = await mkdtemp(path.join(tmpdir(), 'linkspan-test-'));
    closed(dir, (one) => rm(one, { recursive: true, force: true }));
    const to = { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' };
    egress = await EgressProcess.start({
      runtime: 'node',
      dir,
      identity: await issueLeaf(gateway.issuer, { identity: 'egress.east' }),
      gateway: to,
      services: [
        { name: FEDERATED, namespace: ns, members: { west: to } },
        { name: 'plain', namespace: ns },
      ],
      adminHost: '0.0.0.0',
    });
    closed(egress, (one) => one.kill());
    const { admin } = egress;
    closed(await askedEgress({ east, west, ns, links, admin, gatewayPort: 4143 }), (one) => one.close());
    await scale(4);
    controller = startController(east, { namespace: links, dataPath: 'relay' });
    closed(controller, (one) => one.stop());
    await eventually('four are expected', async () => (await facts())?.ready === 4, wait);
    const annotations = { [FAILOVER_POLICY]: 'overprovision=1' };
    await change(east, services, { namespace: ns, name: FEDERATED }, { metadata: { annotations } });
    await isSaid('False CapacitySuffices');
  });

  it('is not short while the egress says that no request fails or waits', async () => {
    await eventually('the egress is heard', () => controller.failover.demandOf(`${ns}/${FEDERATED}`), wait);
    await scale(1);
    await isSaid('False DemandMet');
    expect(await metric('linkspan_failover_capacity_short')).to.equal('0');
    expect(await metric('linkspan_failover_demand', 'demand="met"')).to.equal('1');
    expect(await failover()).to.match(
      /CapacityShort: no \(25\.00% of what is expected, but no request fails/,
    );
    expect(await eventReasonsIn(east, ns)).not.to.include('CapacityShort');
  });

  it('is not short where requests to another Service fail, whose path has no group', async () => {
    const before = await demand();
    for (let count = 0; count < 20; count++) expect(await request('/status/503', 'plain')).to.equal(503);
    expect(await demand()).to.deep.equal(before);
    expect(await request('/hello')).to.equal(200);
    await eventually(
      'the egress counts it',
      async () => (await demand()).rows[0]?.requests === (before.rows[0]?.requests ?? 0) + 1,
      wait,
    );
    expect(await condition()).to.equal('False DemandMet');
  });

  it('is short when requests fail, which the status, an Event, metrics and the table say', async () => {
    await eventually(
      'the egress is strained',
      async () => {
        expect(await request('/status/503')).to.equal(503);
        return (await condition()) === 'True DemandUnmet';
      },
      wait,
    );
    await eventually('Event', async () => (await eventReasonsIn(east, ns)).includes('CapacityShort'), wait);
    expect(await metric('linkspan_failover_capacity_short')).to.equal('1');
    expect(await metric('linkspan_failover_demand', 'demand="strained"')).to.equal('1');
    expect(await failover()).to.contain('CapacityShort: 25.00% of what is asked, and requests fail or wait');
    const [row] = JSON.parse(await failover('-o', 'json')) as GroupRow[];
    expect(row).to.include({ demand: 'strained', capacityShort: true, endpointsShort: true });
  });

  it('is short no more when none has failed for a minute, with as few endpoints', async () => {
    expect(await request('/hello')).to.equal(200);
    await isSaid('False DemandMet', CALM);
    expect(await facts()).to.include({ ready: 1, expected: 4 });
    expect(await metric('linkspan_failover_capacity_short')).to.equal('0');
  });

  it('is a matter of endpoints alone where no egress pod says anything', async () => {
    await egress.kill();
    await isSaid('True CapacityShort');
    expect(await metric('linkspan_failover_demand', 'demand="unheard"')).to.equal('1');
  });
});

import { expect } from 'chai';
import { factsOf } from '../../src/api/mirror/slice-facts.ts';
import { clusterOf } from '../../src/api/mirror/mirror-labels.ts';
import { publishMirrorMetrics } from '../../src/controllers/controller-metrics.ts';
import { readyAddresses } from '../../src/controllers/objects/mirrored-endpoints.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { createRegistry } from '../../src/telemetry/registry.ts';
import { closedIn } from '../support/closed-in.ts';
import { ensureNamespace, eventReasonsIn, findCondition, findSlices } from '../support/cluster-objects.ts';
import { egressObjects } from '../support/egress-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import {
  apply,
  installCrd,
  linkObjects,
  probedEachSecond,
  startController,
} from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { ProbedGateways } from '../support/probed-gateways.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { timeoutMs: 30_000, everyMs: 50 };
const CLUSTERS = ['north', 'west'] as const;
const REASON = 'OwnNetworkSuspected';

// When every gateway falls silent at once, it is rarely all of them that have failed, and an empty Service
// makes a doubt about the network an outage. Each part was tested by itself; this is what clients and people
// see of it.
describe('gateways that all die in one moment', function () {
  this.timeout(120_000);
  const gateways = new ProbedGateways();
  const closed = closedIn(after);
  let east: Cluster;
  let ns: string;
  let links: string;
  let controller: MirrorController;

  const led = async (service: string) => readyAddresses(await findSlices(east, ns, service)).length > 0;
  const isLed = (service: string, is: boolean) =>
    eventually(
      `${service} ${is ? 'leads somewhere' : 'is empty'}`,
      async () => (await led(service)) === is,
      wait,
    );
  const gatewayIs = (cluster: string, text: string) =>
    eventually(
      `gateway of ${cluster} is ${text}`,
      async () => {
        const found = await findCondition(east, links, cluster, 'GatewayAlive');
        return `${found?.status ?? ''} ${found?.reason ?? ''}` === text;
      },
      wait,
    );
  const pathOf = async (cluster: string) => {
    const slices = await findSlices(east, ns, 'web-federated');
    return factsOf(slices.filter((slice) => clusterOf(slice) === cluster))?.path;
  };
  const metric = async () => {
    const registry = createRegistry();
    publishMirrorMetrics(registry, controller);
    return /^linkspan_own_network_suspected (\d)/m.exec(await registry.metrics())?.[1];
  };
  const failover = async () => {
    const where = ['-n', ns, '--kubeconfig', east.kubeconfigFile, '--controller-namespace', links];
    const { code, stdout, stderr } = await keptLinkspan('failover', ...where);
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const told = async () => (await eventReasonsIn(east, links)).filter((reason) => reason === REASON);

  before(async () => {
    const shared = await sharedClusters();
    east = shared.east;
    const { west } = shared;
    await installCrd(east);
    ns = await createNamespace(west, 'app');
    await ensureNamespace(east, ns);
    links = await createNamespace(east, 'links');
    closed(gateways, (one) => one.close());
    await apply(east, ...egressObjects(links, '10.200.0.17'));
    for (const cluster of CLUSTERS) {
      const probeSpec = probedEachSecond(await gateways.port(cluster));
      const spec = { gatewayAddress: gateways.host, probeSpec, ...ownSelectors(ns) };
      await apply(east, ...linkObjects(west, links, cluster, spec));
    }
    await exportService(west, ns, 'web', { test: ns, federated: true });
    controller = closed(startController(east, { namespace: links, dataPath: 'relay' }), (one) => one.stop());
    for (const service of ['web-west', 'web-north', 'web-federated']) await isLed(service, true);
    for (const cluster of CLUSTERS)
      await eventually('facts', async () => (await pathOf(cluster)) === 'alive', wait);
  });

  it('are no suspicion while one of them is left', async () => {
    gateways.kill('west');
    await gatewayIs('west', 'False ProbesFailed');
    await isLed('web-west', false);
    expect(await metric()).to.equal('0');
    expect(await failover()).not.to.contain(REASON);
    await gateways.open('west');
    await isLed('web-west', true);
  });

  it('make the own network suspected, which the Links, an Event, the metric and the table say', async () => {
    gateways.kill(...CLUSTERS);
    for (const cluster of CLUSTERS) await gatewayIs(cluster, `False ${REASON}`);
    expect(await metric()).to.equal('1');
    expect(await failover()).to.contain(`${REASON}: north, west died in one moment`);
    await eventually('Event', async () => (await told()).length > 0, wait);
  });

  it('leave endpoints that nobody else could stand in for, and facts that say what is seen', async () => {
    for (const cluster of CLUSTERS)
      await eventually('facts', async () => (await pathOf(cluster)) === 'dead', wait);
    // Those whose gateway died a moment before the other's are withdrawn, and come back with the suspicion.
    for (const service of ['web-west', 'web-north', 'web-federated']) await isLed(service, true);
  });

  it('are told of once', async () => {
    expect(await told()).to.deep.equal([REASON]);
  });

  it('are believed to be dead again when one of them answers', async () => {
    await gateways.open('north');
    await gatewayIs('north', 'True ProbesAnswered');
    await gatewayIs('west', 'False ProbesFailed');
    await isLed('web-west', false);
    await isLed('web-north', true);
    await isLed('web-federated', true);
    expect(await metric()).to.equal('0');
    expect(await failover()).not.to.contain(REASON);
  });
});

import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { FAILOVER_POLICY, FAILOVER_TIERS } from '../../src/api/failover/failover-names.ts';
import { endpointSlices, services } from '../../src/api/kubernetes/resource.ts';
import { factsOf } from '../../src/api/mirror/slice-facts.ts';
import type { GroupRow } from '../../src/cli/queries/failover-rows.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, ensureNamespace, eventReasonsIn, find, findService } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import {
  apply,
  installCrd,
  linkObjects,
  startController,
  probedEachSecond,
} from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { ProbedGateways } from '../support/probed-gateways.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

// The facts of two clusters, what is decided by them, and what people are told of it, were each tested by
// itself: this is the whole way, from a gateway that dies to the table and back.
describe('a federated Service whose first cluster is lost and comes back', function () {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let links: string;
  const gateways = new ProbedGateways();
  const closed = closedIn(after);

  const federated = () => ({ namespace: ns, name: 'web-federated' });
  const facts = async (cluster: string) => {
    const name = `web-federated-${cluster}-linkspan-ipv4`;
    const slice = await find(east, endpointSlices, { namespace: ns, name });
    return slice === undefined ? undefined : factsOf([slice]);
  };
  const condition = async (type: string) => {
    const service: V1Service | undefined = await findService(east, ns, 'web-federated');
    return service?.status?.conditions?.find((one) => one.type === `linkspan.dev/${type}`);
  };
  const failover = async (...args: string[]) => {
    const where = ['-n', ns, '--kubeconfig', east.kubeconfigFile, '--controller-namespace', links];
    const { code, stdout, stderr } = await keptLinkspan('failover', ...args, ...where);
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const shares = async () => {
    const [row] = JSON.parse(await failover('-o', 'json')) as GroupRow[];
    return Object.fromEntries((row?.backends ?? []).map(({ name, share }) => [name, share]));
  };
  const isShared = (west: number, north: number) =>
    eventually(
      `west has ${west}, north ${north}`,
      async () => {
        const is = await shares();
        return is['west'] === west && is['north'] === north;
      },
      wait,
    );

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    ns = await createNamespace(west, 'app');
    await ensureNamespace(east, ns);
    links = await createNamespace(east, 'links');
    for (const cluster of ['west', 'north']) {
      const probeSpec = probedEachSecond(await gateways.port(cluster));
      const spec = { gatewayAddress: gateways.host, probeSpec, ...ownSelectors(ns) };
      await apply(east, ...linkObjects(west, links, cluster, spec));
    }
    await exportService(west, ns, 'web', { test: ns, as: 'nothing', federated: true });
    closed(startController(east, { namespace: links, dataPath: 'relay' }), (one: MirrorController) =>
      one.stop(),
    );
    for (const cluster of ['west', 'north'])
      await eventually(`facts of ${cluster}`, async () => (await facts(cluster))?.path === 'alive', wait);
    await change(east, services, federated(), {
      metadata: { annotations: { [FAILOVER_TIERS]: 'west; north', [FAILOVER_POLICY]: 'delay=2s ramp=2s' } },
    });
  });
  after(() => gateways.close());

  it('is well, and says so', async () => {
    await isShared(1, 0);
    await eventually('conditions', async () => (await condition('FailoverReady'))?.status === 'True', wait);
    expect(await condition('FailoverActive')).to.include({ status: 'False' });
    expect(await failover()).to.match(/web-federated +0 +west +100\.00%/);
    expect(await failover('plan', '--without', 'west')).to.contain('Every Service would have enough.');
    expect(await failover('plan', '--without', 'west,north')).to.contain('nobody could serve');
  });

  it('is served by the other one, which the status, an Event and the table say', async () => {
    gateways.kill('west');
    await isShared(0, 1);
    const lost = await facts('west');
    expect(lost).to.include({ path: 'dead', usableSince: null });
    // Where the machine stood still, probes may have been missed before.
    expect(lost?.flaps).to.be.at.least(1);
    await eventually(
      'condition',
      async () => (await condition('FailoverActive'))?.reason === 'PathDead',
      wait,
    );
    await eventually('Event', async () => (await eventReasonsIn(east, ns)).includes('Failover'), wait);
    expect(await failover()).to.match(/west +0\.00% +\S+ +dead +Withdrawn \(PathDead\)/);
  });

  it('tells a slip once, and what held before holds on', async () => {
    await change(east, services, federated(), {
      metadata: { annotations: { [FAILOVER_TIERS]: 'north; ?' } },
    });
    const wrong = async () => (await condition('FailoverReady'))?.reason === 'AnnotationInvalid';
    await eventually('condition', wrong, wait);
    await eventually(
      'Event',
      async () => (await eventReasonsIn(east, ns)).includes('AnnotationInvalid'),
      wait,
    );
    await change(east, services, federated(), {
      metadata: { annotations: { [FAILOVER_TIERS]: 'west; north' } },
    });
    await eventually('condition', async () => (await condition('FailoverReady'))?.status === 'True', wait);
  });

  it('comes back after the hold and the ramp, which the status and an Event say', async () => {
    await gateways.open('west');
    await eventually('facts', async () => (await facts('west'))?.path === 'alive', wait);
    await isShared(1, 0);
    await eventually('condition', async () => (await condition('FailoverActive'))?.status === 'False', wait);
    await eventually('Event', async () => (await eventReasonsIn(east, ns)).includes('FailBack'), wait);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { FAILOVER_POLICY } from '../../src/api/failover/failover-names.ts';
import { services } from '../../src/api/kubernetes/resource.ts';
import { REMOTE_DISCOVERY } from '../../src/api/names.ts';
import { readyAddresses } from '../../src/controllers/objects/mirrored-endpoints.ts';
import { clusterOf } from '../../src/api/mirror/mirror-labels.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { closedIn } from '../support/closed-in.ts';
import {
  change,
  ensureNamespace,
  findCondition,
  findService,
  findSlices,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import {
  apply,
  installCrd,
  linkObjects,
  probedEachSecond,
  startController,
} from '../support/linked-clusters.ts';
import { ProbedGateways } from '../support/probed-gateways.ts';
import { TcpWay } from '../support/tcp-way.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { timeoutMs: 60_000, everyMs: 50 };
const CLUSTERS = ['north', 'west'] as const;

// A lost cluster stayed in federated Services that no egress serves for ever. Who is believed, and for how
// long, was tested with facts; these are the witnesses themselves: probes, and requests to an API server.
for (const flatEndpoints of [false, true])
  describe(`a federated Service without an egress, ${flatEndpoints ? 'flat' : 'resolved by Linkerd'}`, function () {
    this.timeout(240_000);
    const gateways = new ProbedGateways();
    const apis = new Map<string, TcpWay>();
    const closed = closedIn(after);
    let east: Cluster;
    let ns: string;
    let links: string;
    let controller: MirrorController;

    /** The clusters that requests go to. */
    const members = async () => {
      if (flatEndpoints) {
        const slices = await findSlices(east, ns, 'web-federated');
        const led = slices.filter((slice) => readyAddresses([slice]).length > 0);
        return [...new Set(led.map((slice) => clusterOf(slice) ?? ''))].sort().join();
      }
      const said = (await findService(east, ns, 'web-federated'))?.metadata?.annotations?.[REMOTE_DISCOVERY];
      return (said ?? '').replaceAll('web@', '').split(',').sort().join();
    };
    const are = (which: string) =>
      eventually(`members are ${which}`, async () => (await members()) === which, wait);
    const isSaid = (cluster: string, type: 'GatewayAlive' | 'APIReachable', status: string) =>
      eventually(
        `${type} of ${cluster} is ${status}`,
        async () => (await findCondition(east, links, cluster, type))?.status === status,
        wait,
      );
    const reason = (cluster: string) =>
      controller.runs.get(`${links}/${cluster}`)?.peer?.federated.reconciler.outcomes.get(`${ns}/web`)
        ?.reason;

    before(async () => {
      const shared = await sharedClusters();
      east = shared.east;
      const { west } = shared;
      await installCrd(east);
      ns = await createNamespace(west, 'app');
      await ensureNamespace(east, ns);
      links = await createNamespace(east, 'links');
      closed(gateways, (one) => one.close());
      const dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-test-')), (one) =>
        rmSync(one, { recursive: true, force: true }),
      );
      const server = new URL(west.server);
      for (const cluster of CLUSTERS) {
        const api = await TcpWay.to({ host: server.hostname, port: Number(server.port) });
        closed(api, (one) => one.shut());
        apis.set(cluster, api);
        const kubeconfigFile = path.join(dir, `${cluster}.kubeconfig`);
        const through = west.kubeconfig.replaceAll(west.server, `https://${api.host}:${api.port}`);
        writeFileSync(kubeconfigFile, through, { mode: 0o600 });
        const probeSpec = probedEachSecond(await gateways.port(cluster));
        const spec = { gatewayAddress: gateways.host, probeSpec, ...ownSelectors(ns) };
        await apply(east, ...linkObjects({ ...west, kubeconfigFile }, links, cluster, spec));
      }
      await exportService(west, ns, 'web', { test: ns, as: 'nothing', federated: true });
      controller = closed(startController(east, { namespace: links, flatEndpoints }), (one) => one.stop());
      await are('north,west');
      await change(
        east,
        services,
        { namespace: ns, name: 'web-federated' },
        { metadata: { annotations: { [FAILOVER_POLICY]: 'delay=1s' } } },
      );
      for (const cluster of CLUSTERS) await isSaid(cluster, 'GatewayAlive', 'True');
    });

    it('keeps a member whose API server alone is silent', async () => {
      apis.get('west')?.shut();
      await isSaid('west', 'APIReachable', 'False');
      expect(await members()).to.equal('north,west');
    });

    it('loses it when its gateway is silent, too', async () => {
      gateways.kill('west');
      await are('north');
      await eventually('why', () => reason('west') === 'ClusterLost', wait);
    });

    it('does not take it back by the word of one', async () => {
      await gateways.open('west');
      await isSaid('west', 'GatewayAlive', 'True');
      expect(await members()).to.equal('north');
    });

    it('takes it back when both answer', async () => {
      await apis.get('west')?.open();
      await are('north,west');
      await eventually('why', () => reason('west') === 'Mirrored', wait);
    });

    it('keeps the last one, whatever both say of it', async () => {
      gateways.kill(...CLUSTERS);
      for (const api of apis.values()) api.shut();
      for (const cluster of CLUSTERS) await isSaid(cluster, 'APIReachable', 'False');
      const left = await eventually(
        'one is left',
        async () => {
          const now = await members();
          return now.includes(',') ? undefined : now;
        },
        wait,
      );
      expect(CLUSTERS).to.include(left);
      // The other one's witnesses have said the same for at least as long when it has been looked at again.
      await change(
        east,
        services,
        { namespace: ns, name: 'web-federated' },
        { metadata: { annotations: { [FAILOVER_POLICY]: 'delay=0s' } } },
      );
      const other = CLUSTERS.find((cluster) => cluster !== left) ?? '';
      await eventually('why', () => reason(other) === 'ClusterLost', wait);
      expect(await members()).to.equal(left);
    });

    it('has both again when they are back', async () => {
      await Promise.all(CLUSTERS.map((cluster) => gateways.open(cluster)));
      for (const api of apis.values()) await api.open();
      await are('north,west');
    });
  });

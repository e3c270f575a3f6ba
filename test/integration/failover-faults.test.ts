import { expect } from 'chai';
import type { FailoverFacts } from '../../src/api/failover/failover-facts.ts';
import { FAILOVER_POLICY, FAILOVER_TIERS } from '../../src/api/failover/failover-names.ts';
import { endpointSlices, services } from '../../src/api/kubernetes/resource.ts';
import { factsOf } from '../../src/api/mirror/slice-facts.ts';
import type { GroupRow } from '../../src/cli/queries/failover-rows.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { change, ensureNamespace, find, findCondition, findSlices } from '../support/cluster-objects.ts';
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
import { bareCluster, createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };
const CLUSTERS = ['west', 'north'] as const;

// What is published about a federated Service decides who serves it, whoever is dead: so it must neither
// change by ignorance nor be lost with whoever has written it.
describe('what is published for failover, when something else is lost', function () {
  let east: Cluster;
  let target: Cluster;
  let ns: string;
  let links: string;
  let controller: MirrorController | undefined;
  const gateways = new ProbedGateways();

  const facts = async (cluster: string) => {
    const name = `web-federated-${cluster}-linkspan-ipv4`;
    const slice = await find(east, endpointSlices, { namespace: ns, name });
    return slice === undefined ? undefined : factsOf([slice]);
  };
  const factsAre = (cluster: string, is: (facts: FailoverFacts) => boolean) =>
    eventually(
      `facts of ${cluster}`,
      async () => {
        const found = await facts(cluster);
        return found !== undefined && is(found) ? found : undefined;
      },
      wait,
    );
  const shares = async () => {
    const where = ['-n', ns, '--kubeconfig', east.kubeconfigFile, '--controller-namespace', links];
    const { code, stdout, stderr } = await keptLinkspan('failover', ...where, '-o', 'json');
    expect(code, stderr).to.equal(0);
    const [row] = JSON.parse(stdout) as GroupRow[];
    return Object.fromEntries((row?.backends ?? []).map(({ name, share }) => [name, share]));
  };
  const start = () => {
    controller = startController(east, { namespace: links, dataPath: 'relay' });
  };
  const stop = async () => {
    await controller?.stop();
    controller = undefined;
  };
  const policyIs = async (policy: string) => {
    const annotations = { [FAILOVER_TIERS]: 'west; north', [FAILOVER_POLICY]: policy };
    const federated = { namespace: ns, name: 'web-federated' };
    await change(east, services, federated, { metadata: { annotations } });
  };

  before(async () => {
    ({ east } = await sharedClusters());
    target = await bareCluster('target');
    await installCrd(east);
    ns = await createNamespace(target, 'app');
    await ensureNamespace(east, ns);
    links = await createNamespace(east, 'links');
    for (const cluster of CLUSTERS) {
      const probeSpec = probedEachSecond(await gateways.port(cluster));
      const spec = { gatewayAddress: gateways.host, probeSpec, ...ownSelectors(ns) };
      await apply(east, ...linkObjects(target, links, cluster, spec));
    }
    await exportService(target, ns, 'web', { test: ns, as: 'nothing', federated: true });
    start();
    for (const cluster of CLUSTERS) await factsAre(cluster, ({ path }) => path === 'alive');
  });
  after(async () => {
    await stop();
    gateways.close();
    await target.stop();
  });

  it('stays when API servers are silent and gateways answer', async () => {
    await policyIs('delay=1h');
    const before = await Promise.all(CLUSTERS.map(facts));
    target.signal('kube-apiserver', 'SIGSTOP');
    try {
      await eventually(
        'it is known that nothing is heard',
        async () => (await findCondition(east, links, 'west', 'APIReachable'))?.status === 'False',
        { ...wait, timeoutMs: 90_000 },
      );
      expect(await Promise.all(CLUSTERS.map(facts))).to.deep.equal(before);
      expect(await shares()).to.deep.equal({ west: 1, north: 0 });
      // A gateway that dies meanwhile is found all the same.
      gateways.kill('west');
      await factsAre('west', ({ path }) => path === 'dead');
    } finally {
      target.signal('kube-apiserver', 'SIGCONT');
    }
    await gateways.open('west');
    await factsAre('west', ({ path }) => path === 'alive');
  });

  it('stays with all controllers dead, and is the memory of the next one', async () => {
    await policyIs('delay=1h');
    gateways.kill('west');
    await factsAre('west', ({ path }) => path === 'dead');
    await gateways.open('west');
    await factsAre('west', ({ usableSince }) => usableSince !== null);
    await stop();
    // What stands there when nobody writes any more; a machine that stood still may have cost a withdrawal.
    const held = await factsAre('west', ({ usableSince }) => usableSince !== null);
    expect(held.flaps).to.be.at.least(2);
    expect(await shares(), 'held, with nobody to hold it').to.deep.equal({ west: 0, north: 1 });
    start();
    await eventually('the next one looks after it', () => controller?.runs.get(`${links}/west`)?.peer, wait);
    gateways.kill('north');
    await factsAre('north', ({ path }) => path === 'dead');
    const now = await facts('west');
    expect(now?.flaps, 'it goes on').to.be.at.least(held.flaps);
    if (now?.flaps === held.flaps) expect(now.usableSince).to.equal(held.usableSince);
    await gateways.open('north');
    await factsAre('north', ({ path }) => path === 'alive');
  });

  it('lets the one that returns serve at once where nobody else can, however long it would be held', async () => {
    await policyIs('delay=1h');
    gateways.kill(...CLUSTERS);
    for (const cluster of CLUSTERS) await factsAre(cluster, ({ path }) => path === 'dead');
    await eventually(
      'nobody is led there',
      async () => (await findSlices(east, ns, 'web-federated')).every(({ endpoints }) => !endpoints?.length),
      wait,
    );
    await gateways.open('north');
    await factsAre('north', ({ usableSince }) => usableSince !== null);
    expect(await shares()).to.deep.equal({ west: 0, north: 1 });
    await gateways.open('west');
  });
});

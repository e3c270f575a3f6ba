import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import {
  FAILOVER_BASE_WEIGHTS,
  FAILOVER_CONTROLLED_BY,
  FAILOVER_POLICY,
} from '../../src/api/failover/failover-names.ts';
import { endpointSlices, type KubeObject } from '../../src/api/kubernetes/resource.ts';
import { WEIGHTS_MANAGER } from '../../src/controllers/weights/weights-verdict.ts';
import { kubeconfigAs } from '../support/account-client.ts';
import { chartAccounts } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  eventReasonsIn,
  find,
  findService,
  findSlices,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportObjects, exportService, ownSelectors } from '../support/exports.ts';
import { freePort } from '../support/free-port.ts';
import {
  apply,
  installCrd,
  linkObjects,
  startController,
  probedEachSecond,
} from '../support/linked-clusters.ts';
import { installKinds, linkerdKind } from '../support/linkerd-objects.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster, createNamespace, sharedClusters } from '../testbed/shared.ts';
import { httpRoutes, trafficSplits } from '../support/routing-resources.ts';

type Weighted = KubeObject & { readonly spec?: unknown };
const splits = trafficSplits<Weighted>();
const routes = httpRoutes<Weighted>();

// linkerd-failover's own example: a TrafficSplit with its label and annotation, unchanged but for the names.
// It wrote 0 and 1, all 0 when nobody was ready (linkerd2#10533), and knew nothing of a gateway that is dead.
describe('weights for sidecars', () => {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  let gateway: Server;
  let port: number;
  const closed = closedIn(after);

  const open = () =>
    new Promise<void>((resolve) => {
      gateway = createServer((_, response) => response.end('ready\n'));
      gateway.listen(port, address(18), resolve);
    });
  const kill = () => {
    gateway.closeAllConnections();
    gateway.close();
  };
  const split = () => find(east, splits, { namespace: ns, name: 'web' });
  const weights = async () => {
    const spec = (await split())?.spec as { backends: { service: string; weight: number }[] } | undefined;
    return Object.fromEntries((spec?.backends ?? []).map(({ service, weight }) => [service, weight]));
  };
  const ruleWeights = async () => {
    const route = await find(east, routes, { namespace: ns, name: 'web' });
    const spec = route?.spec as { rules: { backendRefs: { weight?: number }[] }[] } | undefined;
    return (spec?.rules ?? []).map(({ backendRefs }) => backendRefs.map(({ weight }) => weight));
  };
  const become = (web: number, west_: number) =>
    eventually(`web has ${web}, west ${west_}`, async () => {
      expect(await weights()).to.deep.equal({ web, 'web-west': west_ });
      return true;
    });
  const ready = (...conditions: boolean[]) =>
    change(
      east,
      endpointSlices,
      { namespace: ns, name: 'web-1' },
      {
        endpoints: conditions.map((one, n) => ({ addresses: [address(12 + n)], conditions: { ready: one } })),
      },
    );

  before(async () => {
    ({ west } = await sharedClusters());
    east = closed(await bareCluster('weights'), (one) => one.stop());
    await installCrd(east);
    ns = await createNamespace(west, 'weights');
    await ensureNamespace(east, ns);
    await ensureNamespace(east, 'links');
    port = await freePort();
    await open();
    closed({}, kill);
    const probeSpec = probedEachSecond(port);
    const spec = { gatewayAddress: address(18), probeSpec, ...ownSelectors(ns) };
    await apply(east, ...linkObjects(west, 'links', 'west', spec));
    await exportService(west, ns, 'web', {
      test: ns,
      endpoints: [1, 2].map((n) => ({ addresses: [address(14 + n)], conditions: { ready: true } })),
    });
    // The clusters' own Service; the controller looks at its slices only.
    await apply(east, ...exportObjects(ns, 'web', { test: 'own', as: 'nothing' }));
    await ready(true, true);
    // With the rights that the chart gives it: its Events were forbidden wherever it was installed.
    await east.apply(await chartAccounts('links'));
    await east.apply(mayReadCredentials('links', 'west'));
    const dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-test-')), (one) =>
      rmSync(one, { recursive: true }),
    );
    const kubeconfigFile = path.join(dir, 'kubeconfig');
    await kubeconfigAs(east, { namespace: 'links', name: 'linkspan-controller' }, kubeconfigFile);
    const weightsOf = { controllers: [], clusterDomain: 'cluster.local', scoped: false, lookMs: 1000 };
    const controller = startController(
      east,
      { namespace: 'links', weights: { enabled: true, ...weightsOf } },
      { kubeconfigFile },
    );
    closed(controller, (one) => one.stop());
    await eventually('the mirror', () => findService(east, ns, 'web-west'));
    await installKinds(east, [
      linkerdKind(splits.group, splits.kind, splits.plural, splits.version),
      linkerdKind(routes.group, routes.kind, routes.plural, routes.version),
    ]);
    await east.apply([
      {
        apiVersion: 'split.smi-spec.io/v1alpha2',
        kind: 'TrafficSplit',
        metadata: {
          name: 'web',
          namespace: ns,
          annotations: {
            'failover.linkerd.io/primary-service': 'web',
            [FAILOVER_POLICY]: 'delay=1s ramp=1s',
          },
          labels: { [FAILOVER_CONTROLLED_BY]: 'linkerd-failover' },
        },
        spec: {
          service: 'web',
          backends: [
            { service: 'web', weight: 1 },
            { service: 'web-west', weight: 0 },
          ],
        },
      },
      {
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'HTTPRoute',
        metadata: { name: 'web', namespace: ns, labels: { [FAILOVER_CONTROLLED_BY]: 'linkspan' } },
        spec: {
          parentRefs: [{ group: 'core', kind: 'Service', name: 'web', port: 80 }],
          rules: [
            {
              backendRefs: [
                { name: 'web', port: 80 },
                { name: 'web-west', port: 80 },
              ],
            },
          ],
        },
      },
    ] as object[] as Parameters<typeof east.apply>[0]);
  });

  it('are written when the kinds come while the controller runs, and linkerd-failover does not', async () => {
    await become(10_000, 0);
    await eventually('the route', async () => {
      expect(await ruleWeights()).to.deep.equal([[1_000_000, 1]]);
      return true;
    });
  });

  it('go to the mirror when the Service here has no endpoint, which an Event says', async () => {
    await ready(false, false);
    await become(0, 10_000);
    await eventually('Event', async () => (await eventReasonsIn(east, ns)).includes('Failover'));
    await eventually('the route', async () => {
      expect(await ruleWeights()).to.deep.equal([[0, 1_000_000]]);
      return true;
    });
  });

  it('come back after the hold and the ramp', async () => {
    await ready(true, true);
    await become(10_000, 0);
    await eventually('Event', async () => (await eventReasonsIn(east, ns)).includes('FailBack'));
  });

  // A drain of one Service took its part away from clients of the egress only: sidecars went on.
  it('follow a drain that their Service says for itself', async () => {
    const place = ['cluster', 'local', '--service', `${ns}/web`];
    const where = ['--kubeconfig', east.kubeconfigFile, '--controller-namespace', 'links'];
    const run = async (verb: 'drain' | 'undrain', ...flags: string[]) => {
      const { code, stderr } = await keptLinkspan(verb, ...place, ...where, ...flags);
      expect(code, stderr).to.equal(0);
    };
    // What is drained is not even a standby, as one that is held after an outage is.
    const routeGives = (what: string, holds: (web: number) => boolean) =>
      eventually(`the route gives web ${what}`, async () => {
        const [[web = 0] = []] = await ruleWeights();
        return holds(web);
      });
    await routeGives('requests, or has it for a standby', (web) => web > 0);
    await run('drain', '--ramp', '0s', '--until', '1h');
    try {
      await become(0, 10_000);
      await routeGives('nothing', (web) => web === 0);
    } finally {
      await run('undrain');
    }
    await become(10_000, 0);
    await routeGives('requests, or has it for a standby, again', (web) => web > 0);
  });

  // Seen on real clusters: weights stayed for as long as pods took to end, 10 s later than they should have
  // gone, and requests in hand ended with the pods.
  it('go to the mirror when all pods here are about to go, though they still serve', async () => {
    const going = { ready: false, serving: true, terminating: true };
    const endpoints = [12, 13].map((n) => ({ addresses: [address(n)], conditions: going }));
    await change(east, endpointSlices, { namespace: ns, name: 'web-1' }, { endpoints });
    await become(0, 10_000);
    await ready(true, true);
    await become(10_000, 0);
  });

  it('are graded when half of the endpoints are gone', async () => {
    await ready(true, false);
    await become(7000, 3000);
  });

  it('go before the endpoints of a mirror do, which sidecars would wait for', async () => {
    kill();
    const slices = () => findSlices(east, ns, 'web-west');
    const emptied = await eventually('it has no endpoints', async () => {
      const [slice] = await slices();
      const isEmpty = (slice?.endpoints ?? []).every(({ conditions }) => conditions?.ready === false);
      return isEmpty ? slice : undefined;
    });
    expect(await weights()).to.deep.equal({ web: 10_000, 'web-west': 0 });
    // Both are revisions of one etcd.
    const [weighed, lost] = [(await split())?.metadata?.resourceVersion, emptied.metadata?.resourceVersion];
    expect(Number(weighed)).to.be.lessThan(Number(lost));
    await open();
    await ready(true, true);
    await eventually('it is back', async () => {
      const [slice] = await slices();
      return (slice?.endpoints ?? []).some(({ conditions }) => conditions?.ready !== false);
    });
    await become(10_000, 0);
  });

  it('leave the mirror when its gateway is dead, before the Service here is needed', async () => {
    kill();
    await eventually('the standby is none', async () => {
      expect(await ruleWeights()).to.deep.equal([[1_000_000, 0]]);
      return true;
    });
    await ready(false, false);
    // Nobody can be used: by the last step of all, those that have somebody, or had.
    await eventually('somebody has them', async () => {
      const { web, 'web-west': mirror } = (await weights()) as Record<string, number>;
      return Number(web) + Number(mirror) === 10_000;
    });
    await ready(true, true);
    await open();
    await become(10_000, 0);
  });

  it('are left to another who puts his own back', async () => {
    for (let times = 0; times < 3; times++) {
      await eventually('ours are there', async () => (await weights())['web'] === 10_000);
      await clientOf(east).patch(
        splits,
        { namespace: ns, name: 'web' },
        {
          spec: {
            backends: [
              { service: 'web', weight: 3 },
              { service: 'web-west', weight: 4 },
            ],
          },
        },
        { type: 'merge', fieldManager: 'argocd-controller' },
      );
    }
    await eventually('Event', async () => (await eventReasonsIn(east, ns)).includes('OtherController'));
    expect(await weights()).to.deep.equal({ web: 3, 'web-west': 4 });
  });

  it('are put back when the label goes', async () => {
    await change(east, routes, { namespace: ns, name: 'web' }, {
      metadata: { labels: { [FAILOVER_CONTROLLED_BY]: null } },
    } as never);
    await eventually('the route', async () => {
      expect(await ruleWeights()).to.deep.equal([[undefined, undefined]]);
      return true;
    });
    const route = await find(east, routes, { namespace: ns, name: 'web' });
    expect(route?.metadata?.annotations ?? {}).not.to.have.property(FAILOVER_BASE_WEIGHTS);
    expect(route?.metadata?.managedFields?.map(({ manager }) => manager)).to.include(WEIGHTS_MANAGER);
  });
});

/** What the signer makes of a Link: its controller may read the Secret that it names. */
function mayReadCredentials(namespace: string, link: string): object {
  const resourceNames = [`cluster-credentials-${link}`];
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'linkspan-controller-credentials', namespace },
    rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames, verbs: ['get', 'list', 'watch'] }],
  };
}

import { createServer } from 'node:http';
import type { V1Lease } from '@kubernetes/client-node';
import { expect } from 'chai';
import { readBackendFacts } from '../../src/api/failover/backend-facts.ts';
import {
  FAILOVER_BACKEND_FACTS,
  FAILOVER_CONTROLLED_BY,
  FAILOVER_POLICY,
  FAILOVER_PRIMARY_SERVICE,
} from '../../src/api/failover/failover-names.ts';
import { endpointSlices, type KubeObject, leases } from '../../src/api/kubernetes/resource.ts';
import { WEIGHTS_LEASE_NAME } from '../../src/api/lease-names.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, ensureNamespace, find, findService } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportObjects, exportService, ownSelectors } from '../support/exports.ts';
import { freePort } from '../support/free-port.ts';
import {
  apply,
  installCrd,
  linkObjects,
  probedEachSecond,
  startController,
} from '../support/linked-clusters.ts';
import { installKinds, linkerdKind } from '../support/linkerd-objects.ts';
import { LinkspanController } from '../support/linkspan-controller.ts';
import { ObjectVersions, type Version } from '../support/object-versions.ts';
import { httpRoutes, trafficSplits } from '../support/routing-resources.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster, createNamespace, sharedClusters } from '../testbed/shared.ts';

type Weighted = KubeObject & { readonly spec?: unknown };
const splits = trafficSplits<Weighted>();
const routes = httpRoutes<Weighted>();
const wait = { everyMs: 50 };
const LEASE_MS = 5000;
const DELAY_MS = 1000;
/** A Lease that has run out twice would still leave a part of it to the other replica. */
const RAMP_MS = 30_000;
const SPLIT_SCALE = 10_000;
const ROUTE_SCALE = 1_000_000;

/** What somebody who follows the weights has seen: of the Service here, and of the mirror. */
interface Seen {
  readonly own: number;
  readonly mirror: number;
  readonly revision: number;
  readonly heardAt: number;
}

// Each replica's part was tested by itself with a clock of the test's: that a ramp is what is published and
// the time, and no memory of whoever wrote it, has to be seen with two processes of which one is killed.
describe('weights in the middle of a ramp, when the replica that writes them is killed', () => {
  const closed = closedIn(after);
  let east: Cluster;
  let ns: string;
  let killed: LinkspanController;
  let seenSplits: ObjectVersions<Weighted>;
  let seenRoutes: ObjectVersions<Weighted>;
  let seenLeases: ObjectVersions<V1Lease>;
  /** The last version that the killed one has written, and what was published in it. */
  let last: { readonly revision: number; readonly facts: string };

  const web = () => ({ namespace: ns, name: 'web' });
  const holder = async () =>
    (await find(east, leases, { namespace: 'links', name: WEIGHTS_LEASE_NAME }))?.spec?.holderIdentity;
  const ready = (...conditions: boolean[]) => {
    const endpoints = conditions.map((one, n) => ({
      addresses: [address(12 + n)],
      conditions: { ready: one },
    }));
    return change(east, endpointSlices, { namespace: ns, name: 'web-1' }, { endpoints });
  };

  function splitWeights({ object, revision, heardAt }: Version<Weighted>): Seen {
    const { backends } = object.spec as { backends: { weight: number }[] };
    const [own = 0, mirror = 0] = backends.map(({ weight }) => weight);
    return { own, mirror, revision, heardAt };
  }

  function routeWeights({ object, revision, heardAt }: Version<Weighted>): Seen {
    const { rules } = object.spec as { rules: { backendRefs: { weight?: number }[] }[] };
    const [own = 0, mirror = 0] = (rules[0]?.backendRefs ?? []).map(({ weight }) => weight ?? 1);
    return { own, mirror, revision, heardAt };
  }

  const bothSeen = (): readonly [name: string, seen: readonly Seen[], scale: number][] => [
    ['TrafficSplit', seenSplits.of(web()).map(splitWeights), SPLIT_SCALE],
    ['HTTPRoute', seenRoutes.of(web()).map(routeWeights), ROUTE_SCALE],
  ];
  /** Waits until the last of each is as it should be. */
  const become = (what: string, test: (seen: Seen, scale: number) => boolean) =>
    eventually(
      what,
      () =>
        bothSeen().every(([, seen, scale]) =>
          test(seen.at(-1) ?? { own: -1, mirror: -1, revision: 0, heardAt: 0 }, scale),
        ),
      wait,
    );
  const factsOf = (object: Weighted | undefined) => {
    const facts = readBackendFacts(object?.metadata?.annotations?.[FAILOVER_BACKEND_FACTS]).get('web');
    return JSON.stringify([facts?.usableSince, facts?.flaps]);
  };

  before(async () => {
    const { west } = await sharedClusters();
    east = closed(await bareCluster('weights'), (one) => one.stop());
    await installCrd(east);
    ns = await createNamespace(west, 'handover');
    await ensureNamespace(east, ns);
    await ensureNamespace(east, 'links');
    await installKinds(east, [
      linkerdKind(splits.group, splits.kind, splits.plural, splits.version),
      linkerdKind(routes.group, routes.kind, routes.plural, routes.version),
    ]);
    const port = await freePort();
    const gateway = createServer((_, response) => response.end('ready\n'));
    await new Promise<void>((resolve) => gateway.listen(port, address(18), resolve));
    closed(gateway, (one) => {
      one.closeAllConnections();
      one.close();
    });
    const spec = { gatewayAddress: address(18), probeSpec: probedEachSecond(port), ...ownSelectors(ns) };
    await apply(east, ...linkObjects(west, 'links', 'west', spec));
    // As many as here: else what is back is needed, and does not wait.
    const endpoints = [15, 16].map((n) => ({ addresses: [address(n)], conditions: { ready: true } }));
    await exportService(west, ns, 'web', { test: ns, endpoints });
    await apply(east, ...exportObjects(ns, 'web', { test: 'own', as: 'nothing' }));
    await ready(true, true);
    const annotations = {
      [FAILOVER_PRIMARY_SERVICE]: 'web',
      [FAILOVER_POLICY]: `delay=${DELAY_MS / 1000}s ramp=${RAMP_MS / 1000}s`,
    };
    const metadata = {
      name: 'web',
      namespace: ns,
      annotations,
      labels: { [FAILOVER_CONTROLLED_BY]: 'linkspan' },
    };
    await apply(
      east,
      {
        apiVersion: `${splits.group}/${splits.version}`,
        kind: splits.kind,
        metadata,
        spec: {
          service: 'web',
          backends: [
            { service: 'web', weight: 1 },
            { service: 'web-west', weight: 0 },
          ],
        },
      },
      {
        apiVersion: `${routes.group}/${routes.version}`,
        kind: routes.kind,
        metadata,
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
    );
    seenSplits = closed(await ObjectVersions.follow(east, splits, ns), (one) => one.stop());
    seenRoutes = closed(await ObjectVersions.follow(east, routes, ns), (one) => one.stop());
    seenLeases = closed(await ObjectVersions.follow(east, leases, 'links'), (one) => one.stop());
    killed = closed(
      await LinkspanController.start({
        kubeconfig: east.kubeconfigFile,
        namespace: 'links',
        replica: 'killed',
        lease: `${LEASE_MS / 1000}s`,
        flags: ['--data-path', 'gateway'],
      }),
      (one) => one.kill(),
    );
    await eventually('it writes weights', async () => (await holder()) === 'killed', wait);
    await eventually('the mirror', () => findService(east, ns, 'web-west'), wait);
    await become('all is well', ({ own }, scale) => own === scale);
    const other = { enabled: true, controllers: [], clusterDomain: 'cluster.local', scoped: false };
    closed(
      startController(
        east,
        { namespace: 'links', leaseMs: LEASE_MS, weights: { ...other, lookMs: 300 } },
        { replica: 'other' },
      ),
      (one) => one.stop(),
    );
  });

  it('go on where they were, by the other one, when it has the Lease', async () => {
    await ready(false, false);
    await become('the mirror has them', ({ own, mirror }, scale) => own === 0 && mirror === scale);
    await ready(true, true);
    await become('the ramp has begun', ({ own }) => own > 0);
    await killed.kill();
    // What it has written may not have been heard of yet.
    const published = await Promise.all([find(east, splits, web()), find(east, routes, web())]);
    const revision = Math.max(...published.map((one) => Number(one?.metadata?.resourceVersion)));
    last = { revision, facts: factsOf(published[0]) };
    await become('the ramp is over', ({ own, mirror }, scale) => own === scale && mirror <= 1);
    const taken = seenLeases
      .of({ namespace: 'links', name: WEIGHTS_LEASE_NAME })
      .find(({ object }) => object.spec?.holderIdentity === 'other');
    for (const [name, seen] of bothSeen()) {
      const after = seen.filter((one) => one.revision > revision);
      const parts = after.map(({ own }) => own);
      expect(after.length, `${name}: ${parts.join()}`).to.be.greaterThan(1);
      expect(after[0]?.revision, `${name} by who has no Lease`).to.be.greaterThan(
        taken?.revision ?? Infinity,
      );
    }
  });

  it('are never all zero, and never fall while the Service is coming back', () => {
    for (const [name, seen, scale] of bothSeen()) {
      const text = `${name}: ${seen.map(({ own, mirror }) => `${own}/${mirror}`).join(' ')}`;
      for (const { own, mirror } of seen) expect(own + mirror, text).to.be.greaterThan(0);
      const lost = seen.findIndex(({ own, mirror }) => own === 0 && mirror === scale);
      const coming = seen.slice(lost).map(({ own }) => own);
      expect(lost, text).to.be.greaterThan(-1);
      expect(coming, text).to.deep.equal(coming.toSorted((a, b) => a - b));
    }
  });

  it('are never further than the time since the Service is back', () => {
    const [usableSince = 0] = JSON.parse(last.facts) as number[];
    for (const [name, seen, scale] of bothSeen()) {
      const lost = seen.findIndex(({ own, mirror }) => own === 0 && mirror === scale);
      for (const { own, heardAt } of seen.slice(lost)) {
        const most = Math.min(1, Math.max(0, heardAt - usableSince - DELAY_MS) / RAMP_MS);
        // Rounded to basis points.
        expect(own / scale, `${name} after ${heardAt - usableSince} ms`).to.be.at.most(most + 0.0001);
      }
    }
  });

  // Each write came back by the watch, shares had moved on, and it was written again: 1,400 times in 30 s.
  it('are written once in 2 s, not as often as shares move', () => {
    for (const [name, seen, scale] of bothSeen()) {
      const lost = seen.findIndex(({ own, mirror }) => own === 0 && mirror === scale);
      // One for each 2 s of the ramp, its two ends, what is published of the return, and the new writer's
      // first.
      expect(seen.slice(lost).length, name).to.be.at.most(RAMP_MS / 2000 + 4);
    }
  });

  it('are by the same memory: it is not a second outage, nor a later return', () => {
    const after = seenSplits.of(web()).filter(({ revision }) => revision > last.revision);
    expect(last.facts).to.match(/^\[\d+,1\]$/);
    for (const { object } of after) expect(factsOf(object)).to.equal(last.facts);
  });
});

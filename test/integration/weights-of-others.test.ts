import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  FAILOVER_BASE_WEIGHTS,
  FAILOVER_CONTROLLED_BY,
  FAILOVER_POLICY,
  FAILOVER_PRIMARY_SERVICE,
} from '../../src/api/failover/failover-names.ts';
import {
  deployments,
  endpointSlices,
  events,
  type KubeObject,
  type Resource,
} from '../../src/api/kubernetes/resource.ts';
import { GATEWAY_API_GROUP, SPLIT_GROUP } from '../../src/api/routing/routing-kinds.ts';
import { WEIGHTS_MANAGER } from '../../src/controllers/weights/weights-verdict.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, clientOf, ensureNamespace, find, remove } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportObjects } from '../support/exports.ts';
import { apply, installCrd, startController } from '../support/linked-clusters.ts';
import { installKinds, routingKind } from '../support/linkerd-objects.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { address } from '../testbed/netns.ts';
import { bareCluster, createNamespace } from '../testbed/shared.ts';
import { httpRoutes, trafficSplits } from '../support/routing-resources.ts';

type Weighted = KubeObject & { readonly spec?: unknown };
interface Backend {
  readonly service: string;
  readonly weight: number;
}
const splits = trafficSplits<Weighted>();
const routes = httpRoutes<Weighted>();
const SPLITS = routingKind(SPLIT_GROUP, 'TrafficSplit', 'trafficsplits', ['v1alpha1', 'v1alpha2']);
const ROUTES = routingKind(GATEWAY_API_GROUP, 'HTTPRoute', 'httproutes', ['v1']);
/** So that nothing waits for what is back. */
const SHORT = 'delay=1s max-delay=1s ramp=1s';
const PROJECT = 'linkerd-failover';
/** linkerd-failover's own program, where somebody has built it: it does then what is done here else. */
const PROGRAM = process.env['LINKERD_FAILOVER'];

/**
 * Two who write the same weights move traffic to and fro. Other controllers do here what their sources do,
 * with the same kind of write under the name that they have for the API server: what they want beside, pods
 * that run, is not here. linkerd-failover itself can be run (`LINKERD_FAILOVER`), Flagger in
 * `npm run e2e -- --clusters`.
 */
describe('weights that another controller writes, too', () => {
  const closed = closedIn(after);
  const dir = useTempDir();
  let east: Cluster;
  let ns: string;

  const ready = async (service: string, ...conditions: boolean[]) => {
    const at = conditions.map((one, n) => ({ addresses: [address(12 + n)], conditions: { ready: one } }));
    await change(east, endpointSlices, { namespace: ns, name: `${service}-1` }, { endpoints: at });
    // What linkerd-failover reads.
    const those = (is: boolean) =>
      conditions.flatMap((one, n) => (one === is ? [{ ip: address(12 + n) }] : []));
    await apply(east, {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: {
        name: service,
        namespace: ns,
        labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
      },
      subsets: [{ addresses: those(true), notReadyAddresses: those(false), ports: [{ port: 8080 }] }],
    });
  };
  const split = async (name: string) => {
    const found = await find(east, splits, { namespace: ns, name });
    const { backends = [] } = (found?.spec ?? {}) as { backends?: readonly Backend[] };
    const { generation, annotations = {}, managedFields = [] } = found?.metadata ?? {};
    const weights = Object.fromEntries(backends.map(({ service, weight }) => [service, weight]));
    return { weights, generation, annotations, writers: managedFields.map(({ manager }) => manager) };
  };
  const become = (name: string, web: number, spare: number) =>
    eventually(`${name} is ${web}/${spare}`, async () => {
      expect((await split(name)).weights).to.deep.equal({ web, spare });
      return true;
    });
  /** @param times how often it has been said */
  const isLeft = (name: string, kind: string, times = 1) =>
    eventually(`an Event says that ${name} is left alone`, async () => {
      const { items } = await clientOf(east).list(events, { namespace: ns });
      const its = items.filter(
        ({ reason, involvedObject }) =>
          reason === 'OtherController' && involvedObject.name === name && involvedObject.kind === kind,
      );
      return its.reduce((sum, { count = 1 }) => sum + count, 0) >= times;
    });
  const splitOf = (name: string, controller: string, more: object = {}): object => ({
    apiVersion: `${SPLIT_GROUP}/v1alpha2`,
    kind: 'TrafficSplit',
    metadata: {
      name,
      namespace: ns,
      annotations: { [FAILOVER_PRIMARY_SERVICE]: 'web', [FAILOVER_POLICY]: SHORT },
      labels: { [FAILOVER_CONTROLLED_BY]: controller },
      ...more,
    },
    spec: {
      service: 'web',
      backends: [
        { service: 'web', weight: 1 },
        { service: 'spare', weight: 0 },
      ],
    },
  });
  /** A PUT of the whole object as it stands there with another spec, as client-go's `Update` does it. */
  const update = async (resource: Resource<Weighted>, name: string, manager: string, spec: object) => {
    const object = await clientOf(east).get(resource, { namespace: ns, name });
    const file = path.join(dir(), 'object.json');
    const { group, version, kind } = resource;
    const there = { ...object, apiVersion: `${group}/${version}`, kind };
    writeFileSync(file, JSON.stringify({ ...there, spec: { ...(object.spec as object), ...spec } }));
    await east.kubectl('replace', `--field-manager=${manager}`, '-f', file);
  };
  const backends = (web: number, spare: number) => ({
    backends: [
      { service: 'web', weight: web },
      { service: 'spare', weight: spare },
    ],
  });

  before(async () => {
    east = closed(await bareCluster('weights-of-others'), (one) => one.stop());
    await installCrd(east);
    ns = await createNamespace(east, 'weights-of-others');
    for (const name of ['links', PROJECT]) await ensureNamespace(east, name);
    for (const name of ['web', 'spare']) {
      await apply(east, ...exportObjects(ns, name, { test: 'own', as: 'nothing' }));
      await ready(name, true, true);
    }
    await installKinds(east, [SPLITS, ROUTES]);
    const weights = { controllers: [], clusterDomain: 'cluster.local', scoped: false, lookMs: 300 };
    const controller = startController(east, { namespace: 'links', weights: { enabled: true, ...weights } });
    closed(controller, (one) => one.stop());
    // What of ours says that it has seen the same as they have.
    await apply(east, splitOf('ours', 'linkspan'));
    await become('ours', 10_000, 0);
  });

  describe('which is linkerd-failover', () => {
    let running: ChildProcess | undefined;
    /** As its chart makes it, in a release and a namespace of its name, and as its pod's kubelet says. */
    const deploy = async () => {
      const labels = { 'linkerd.io/extension': 'failover' };
      const containers = [{ name: PROJECT, image: 'none' }];
      await apply(east, {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: PROJECT, namespace: PROJECT, labels },
        spec: {
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers } },
        },
      });
      const status = { replicas: 1, readyReplicas: 1, availableReplicas: 1 };
      const how = { type: 'merge', subresource: 'status' } as const;
      await clientOf(east).patch(deployments, { namespace: PROJECT, name: PROJECT }, { status }, how);
      if (PROGRAM === undefined) return;
      const selector = `${FAILOVER_CONTROLLED_BY}=${PROJECT}`;
      running = spawn(PROGRAM, ['--kubeconfig', east.kubeconfigFile, '--selector', selector], {
        stdio: 'inherit',
      });
    };
    after(() => running?.kill());
    /**
     * One look of it at the split: `controller/src/traffic_split.rs`, `update` and `mk_patch`. The primary
     * has 1 when it is ready, else all that are; a merge patch of the list, under `failover.linkerd.io`.
     */
    const looks = async (isReady: Readonly<Record<string, boolean>>) => {
      if (PROGRAM !== undefined) return;
      const object = await clientOf(east).get(splits, { namespace: ns, name: 'theirs' });
      const { backends: list } = object.spec as { backends: readonly Backend[] };
      const primary = object.metadata?.annotations?.[FAILOVER_PRIMARY_SERVICE] ?? '';
      const isActive = (service: string) =>
        isReady[primary] === true ? service === primary : isReady[service] === true;
      const wanted = list.map((one) => ({ ...one, weight: isActive(one.service) ? 1 : 0 }));
      const patch = {
        apiVersion: 'split.smi-spec.io/v1alpha2',
        kind: 'TrafficSplit',
        name: 'theirs',
        spec: { backends: wanted },
      };
      const how = { type: 'merge', fieldManager: 'failover.linkerd.io' } as const;
      if (wanted.some(({ weight }, nth) => weight !== list[nth]?.weight))
        await clientOf(east).patch(splits, { namespace: ns, name: 'theirs' }, patch, how);
    };

    before(async () => {
      await deploy();
      await apply(east, splitOf('theirs', PROJECT));
    });

    it('are its own while it runs', async () => {
      await isLeft('theirs', 'TrafficSplit');
      await ready('web', false, false);
      await looks({ web: false, spare: true });
      await become('theirs', 0, 1);
      await become('ours', 0, 10_000);
      const { weights, writers } = await split('theirs');
      expect(weights).to.deep.equal({ web: 0, spare: 1 });
      expect(writers).to.include('failover.linkerd.io').and.not.include(WEIGHTS_MANAGER);
    });

    it('are taken over when it is removed: by one write, and nobody gets other requests than before', async () => {
      const { generation = 0 } = await split('theirs');
      running?.kill();
      await remove(east, deployments, { namespace: PROJECT, name: PROJECT });
      await become('theirs', 0, 10_000);
      const after = await split('theirs');
      expect(after.generation).to.equal(generation + 1);
      // Its last weights are what is known of the author's.
      expect(JSON.parse(after.annotations[FAILOVER_BASE_WEIGHTS] ?? '')).to.deep.equal([
        [
          0,
          [
            ['web', 0, 0],
            ['spare', 1, 10_000],
          ],
        ],
      ]);
      await ready('web', true, true);
      await become('theirs', 10_000, 0);
    });

    it('are its own again when it comes back', async () => {
      await become('ours', 10_000, 0);
      await deploy();
      await isLeft('theirs', 'TrafficSplit', 2);
      await looks({ web: true, spare: true });
      await become('theirs', 1, 0);
      await ready('web', false, false);
      await looks({ web: false, spare: true });
      await become('theirs', 0, 1);
      await become('ours', 0, 10_000);
      expect((await split('theirs')).weights).to.deep.equal({ web: 0, spare: 1 });
      await ready('web', true, true);
      await become('ours', 10_000, 0);
    });
  });

  describe('which is Flagger', () => {
    const owner = {
      apiVersion: 'flagger.app/v1beta1',
      kind: 'Canary',
      name: 'web',
      uid: randomUUID(),
      controller: true,
      blockOwnerDeletion: true,
    };
    /** `pkg/router/smi_v1alpha2.go`, `SetRoutes`: an update of the whole object. */
    const setRoutes = (primary: number, canary: number) =>
      update(splits, 'canary', 'flagger', backends(primary, canary));

    it('stay as it moves them, step by step, whoever edits them in between', async () => {
      await apply(east, splitOf('canary', 'linkspan', { ownerReferences: [owner] }));
      await isLeft('canary', 'TrafficSplit');
      for (const canary of [10, 20, 50]) {
        await setRoutes(100 - canary, canary);
        await ready('web', canary !== 20, canary !== 20);
        await become('ours', canary === 20 ? 0 : 10_000, canary === 20 ? 10_000 : 0);
        expect((await split('canary')).weights).to.deep.equal({ web: 100 - canary, spare: canary });
      }
      const edit = { type: 'merge', fieldManager: 'kubectl-edit' } as const;
      await clientOf(east).patch(splits, { namespace: ns, name: 'canary' }, { spec: backends(60, 40) }, edit);
      await ready('web', false, false);
      await become('ours', 0, 10_000);
      const { weights, writers } = await split('canary');
      expect(weights).to.deep.equal({ web: 60, spare: 40 });
      expect(writers).not.to.include(WEIGHTS_MANAGER);
      await ready('web', true, true);
      await become('ours', 10_000, 0);
    });
  });

  describe('which is Argo Rollouts', () => {
    it('stay as it moves them in TrafficSplits, by merge patches', async () => {
      await apply(east, splitOf('rollout', 'linkspan'));
      await become('rollout', 10_000, 0);
      // `rollout/trafficrouting/smi/smi.go`, `patchTrafficSplit`.
      const how = { type: 'merge', fieldManager: 'rollouts-controller' } as const;
      await clientOf(east).patch(splits, { namespace: ns, name: 'rollout' }, { spec: backends(95, 5) }, how);
      await isLeft('rollout', 'TrafficSplit');
      await ready('web', false, false);
      await become('ours', 0, 10_000);
      expect((await split('rollout')).weights).to.deep.equal({ web: 95, spare: 5 });
      await ready('web', true, true);
      await become('ours', 10_000, 0);
    });

    it('stay as its plugin moves them in routes, until their author writes them again', async () => {
      const refs = (web?: number, spare?: number) => [
        { name: 'web', port: 80, ...(web === undefined ? {} : { weight: web }) },
        { name: 'spare', port: 80, ...(spare === undefined ? {} : { weight: spare }) },
      ];
      const weights = async () => {
        const found = await find(east, routes, { namespace: ns, name: 'web' });
        const spec = found?.spec as { rules: readonly { backendRefs: readonly { weight?: number }[] }[] };
        return spec.rules[0]?.backendRefs.map(({ weight }) => weight);
      };
      const rule = (web?: number, spare?: number) => ({ rules: [{ backendRefs: refs(web, spare) }] });
      await apply(east, {
        apiVersion: `${GATEWAY_API_GROUP}/v1`,
        kind: 'HTTPRoute',
        metadata: {
          name: 'web',
          namespace: ns,
          annotations: { [FAILOVER_POLICY]: SHORT },
          labels: { [FAILOVER_CONTROLLED_BY]: 'linkspan' },
        },
        spec: { parentRefs: [{ group: '', kind: 'Service', name: 'web', port: 80 }], ...rule() },
      });
      const standby = () => eventually('it is ours', async () => String(await weights()) === '1000000,1');
      await standby();
      // `pkg/plugin/httproute.go`, `setHTTPRouteWeight`: an update, by the process `gatewayAPI`.
      for (const canary of [10, 30]) await update(routes, 'web', 'gatewayAPI', rule(100 - canary, canary));
      await isLeft('web', 'HTTPRoute');
      await ready('web', false, false);
      await become('ours', 0, 10_000);
      expect(await weights()).to.deep.equal([70, 30]);
      await ready('web', true, true);
      await become('ours', 10_000, 0);
      await update(routes, 'web', 'kubectl-edit', rule(3, 1));
      await standby();
      const base = (await find(east, routes, { namespace: ns, name: 'web' }))?.metadata?.annotations;
      expect(base?.[FAILOVER_BASE_WEIGHTS]).to.contain('["web:80",3,1000000]');
    });
  });
});

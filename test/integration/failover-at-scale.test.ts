import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { writeFacts } from '../../src/api/failover/failover-facts.ts';
import {
  FAILOVER_BASE_WEIGHTS,
  FAILOVER_CONTROLLED_BY,
  FAILOVER_FACTS,
  FAILOVER_POLICY,
  FAILOVER_TIERS,
} from '../../src/api/failover/failover-names.ts';
import type { V1Lease, V1Service } from '@kubernetes/client-node';
import type { KubeObject } from '../../src/api/kubernetes/resource.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { MULTICLUSTER } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { DEFAULT_EGRESS_RANGE } from '../../src/api/egress/egress-ports.ts';
import {
  APEX_MEMBER,
  EGRESS_SHARDS,
  type EgressClaim,
  newShard,
  shardOf,
  writeEntry,
} from '../../src/api/egress/egress-record.ts';
import { APEXES_LEASE_NAME, WEIGHTS_LEASE_NAME } from '../../src/api/lease-names.ts';
import { MAX_APEX_PORTS } from '../../src/controllers/apexes/apex-verdict.ts';
import { FakeCluster } from '../support/fake-cluster.ts';
import { keptAuthority } from '../support/kept-authority.ts';
import type { LagLine } from '../support/lag-reporter.ts';
import { LinkspanController } from '../support/linkspan-controller.ts';
import { LinkspanEgress } from '../support/linkspan-egress.ts';
import type { RuntimeProcess } from '../support/runtime-process.ts';
import { address } from '../testbed/netns.ts';
import { ServedCluster } from '../support/served-cluster.ts';
import { healthy } from '../support/weighted.ts';

const NAMESPACES = 25;
/** Of each namespace: 10,000 objects in all. */
const EACH = { services: 120, splits: 140, routes: 140 } as const;
const GROUPS = {
  'split.smi-spec.io': ['v1alpha2', ['trafficsplits']],
  'gateway.networking.k8s.io': ['v1', ['httproutes', 'referencegrants']],
} as const;
const FIRST = path.join(import.meta.dirname, '../support/lag-reporter.ts');
/** What a container of 512 MiB leaves a Node process by default. */
const HEAP_MIB = 256;
/** Of what may be used of it after a start, megabytes. */
const MAX_HEAP_MIB = 160;
/** CPU of a start with all of them, milliseconds. */
const MAX_CPU_MS = 20_000;
/**
 * The longest work without a break, milliseconds of CPU: Leases want to be renewed, and requests served. A
 * controller that starts is measured once, on whatever machine: 113 ms where this was written.
 */
const MAX_LAG_MS = 300;
const MAX_EGRESS_LAG_MS = 75;
const NODE = [`--max-old-space-size=${HEAP_MIB}`];

const namespaceOf = (at: number) => `shop-${at}`;
const namespaces = Array.from({ length: NAMESPACES }, (_, at) => namespaceOf(at));
const failover = (at: number) => ({
  [FAILOVER_TIERS]: at % 2 === 0 ? 'web; web-west' : 'web-west; web',
  [FAILOVER_POLICY]: `delay=${(at % 9) + 1}s ramp=1m min-healthy=${at % 90}%`,
});

/** What tenants have written: Services without selector, splits and routes about them, and managed ones. */
function put(cluster: FakeCluster): void {
  for (let ns = 0; ns < NAMESPACES; ns++) {
    const namespace = namespaceOf(ns);
    cluster.put('namespaces', { metadata: { name: namespace, uid: namespace } });
    backends(cluster, namespace);
    for (let at = 0; at < EACH.services; at++)
      cluster.put('services', apexService(namespace, at, serviceTexts(at)));
    for (let at = 0; at < EACH.splits; at++)
      cluster.put('trafficsplits', {
        apiVersion: 'split.smi-spec.io/v1alpha2',
        kind: 'TrafficSplit',
        metadata: { ...named(namespace, `split-${at}`, 't'), ...written(at) },
        spec: {
          service: subjectOf(at),
          backends: [
            { service: 'web', weight: 90 },
            { service: 'web-west', weight: 10 },
          ],
        },
      } as KubeObject);
    for (let at = 0; at < EACH.routes; at++)
      cluster.put('httproutes', {
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'HTTPRoute',
        metadata: { ...named(namespace, `route-${at}`, 'r'), generation: 1, ...written(at) },
        spec: {
          parentRefs: [{ group: '', kind: 'Service', name: subjectOf(at) }],
          rules: [
            {
              matches: [{ path: { type: 'PathPrefix', value: `/of/${at}` } }],
              backendRefs: [
                { name: 'web', port: 80, weight: 9 },
                { name: 'web-west', port: 80, weight: 1 },
              ],
            },
          ],
        },
      } as KubeObject);
  }
}

const named = (namespace: string, name: string, kind: string) => ({
  namespace,
  name,
  uid: `${kind}-${namespace}-${name}`,
  creationTimestamp: new Date(0),
});

/**
 * Of each namespace a few Services lead elsewhere, and of others only something is said that holds for none.
 */
const APEXES = 4;
const MANAGED = 2;
const subjectOf = (at: number) => (at % 2 === 0 && at < APEXES ? `apex-${at}` : 'web');
const serviceTexts = (at: number): Record<string, string> =>
  at < APEXES ? failover(at) : { [FAILOVER_POLICY]: `ramp=${at}s` };

/** All say something of failover; a few are ours to manage, most are somebody else's. */
function written(at: number): object {
  const controller = at < 2 * MANAGED ? 'linkspan' : 'somebody';
  const labels = at % 2 === 0 ? {} : { labels: { [FAILOVER_CONTROLLED_BY]: controller } };
  return { ...labels, annotations: failover(at) };
}

/** A Service with two pods, and a mirror of another cluster's. */
function backends(cluster: FakeCluster, namespace: string): void {
  const ports = [{ port: 80, appProtocol: 'http', protocol: 'TCP' }];
  cluster.put('services', {
    metadata: named(namespace, 'web', 's'),
    spec: { selector: { app: 'web' }, ports },
  } as KubeObject);
  cluster.put('endpointslices', {
    metadata: {
      ...named(namespace, 'web-1', 'e'),
      labels: {
        'kubernetes.io/service-name': 'web',
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    },
    addressType: 'IPv4',
    endpoints: [1, 2].map((n) => ({ addresses: [`10.0.0.${n}`], conditions: { ready: true } })),
    ports: [{ port: 8080, protocol: 'TCP' }],
  } as KubeObject);
  const labels = { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' };
  cluster.put('services', {
    metadata: { ...named(namespace, 'web-west', 's'), labels },
    spec: { clusterIP: '10.96.1.2', ports },
  } as KubeObject);
  mirrorSlice(cluster, namespace, true);
}

function mirrorSlice(cluster: FakeCluster, namespace: string, isAlive: boolean): void {
  const facts = isAlive ? healthy(2) : { ...healthy(2), path: 'dead' as const, usableSince: null, flaps: 1 };
  cluster.put('endpointslices', {
    metadata: {
      ...named(namespace, 'web-west-linkspan-ipv4', 'e'),
      labels: {
        'kubernetes.io/service-name': 'web-west',
        'mirror.linkerd.io/mirrored-service': 'true',
        'mirror.linkerd.io/cluster-name': 'west',
        'endpointslice.kubernetes.io/managed-by': 'linkspan.dev',
      },
      annotations: { [FAILOVER_FACTS]: writeFacts(facts) },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.1.1'], conditions: { ready: true } }],
    ports: [{ port: 10_000, protocol: 'TCP' }],
  } as KubeObject);
}

async function measured(program: RuntimeProcess): Promise<LagLine> {
  const lines = () => program.log.split('\n').filter((line) => line.startsWith('{"lagMs"'));
  const before = lines().length;
  program.signal('SIGUSR2');
  const line = await eventually('it says how it is', () => lines()[before]);
  return JSON.parse(line) as LagLine;
}

describe('10,000 Services, splits and routes about which tenants have written failover', () => {
  const closed = closedIn(after);
  const cluster = new FakeCluster();
  const served = new ServedCluster(cluster, GROUPS);
  let dir: string;
  let kubeconfig: string;

  before(async () => {
    put(cluster);
    // kube's own controller has put the egress there.
    cluster.put('endpointslices', {
      metadata: {
        ...named(MULTICLUSTER, 'linkspan-egress-1', 'e'),
        labels: {
          'kubernetes.io/service-name': 'linkspan-egress',
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.9.9'], conditions: { ready: true } }],
      ports: [{ name: 'groups', port: 4193, protocol: 'TCP' }],
    } as KubeObject);
    const server = await served.start();
    closed(served, (one) => one.close());
    dir = closed(mkdtempSync(path.join(tmpdir(), 'linkspan-scale-')), (one) =>
      rmSync(one, { recursive: true }),
    );
    kubeconfig = path.join(dir, 'kubeconfig');
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'c', cluster: { server } }],
        users: [],
        contexts: [{ name: 'c', context: { cluster: 'c' } }],
        'current-context': 'c',
      }),
    );
    await writePemFiles(dir, identityFiles(await keptAuthority.leaf('egress.east')), { force: true });
  });

  /** Writes of each object since then. Leases are renewed, and Events told at a pace of their own. */
  function writesSince(before: ReadonlyMap<string, number>): Map<string, number> {
    const more = [...served.writes].map(([what, count]) => [what, count - (before.get(what) ?? 0)] as const);
    return new Map(more.filter(([what, count]) => count > 0 && !/^(leases|events) /.test(what)));
  }
  const kindsOf = (writes: ReadonlyMap<string, number>) => {
    const counts: Record<string, number> = {};
    for (const [what, count] of writes) {
      const kind = what.split(' ')[0] ?? '';
      counts[kind] = (counts[kind] ?? 0) + count;
    }
    return counts;
  };

  /** Starts it with nothing answered, so that what it loads is not counted. */
  async function started<T extends RuntimeProcess>(start: () => Promise<T>): Promise<T> {
    const open = served.hold();
    const program = closed(await start(), (one) => one.kill());
    await eventually('it asks', () => served.waiting > 0);
    await measured(program);
    open();
    return program;
  }
  const startController = (replica: string) =>
    started(() =>
      LinkspanController.start({
        kubeconfig,
        namespace: MULTICLUSTER,
        replica,
        lease: '30s',
        flags: ['--data-path', 'relay', '--no-learn-ranges'],
        node: NODE,
        first: FIRST,
      }),
    );
  const managed = (namespace: string) =>
    Array.from({ length: MANAGED }, (_, nth) => 2 * nth + 1).flatMap((at) => [
      cluster.find('trafficsplits', { namespace, name: `split-${at}` }),
      cluster.find('httproutes', { namespace, name: `route-${at}` }),
    ]);
  /** Whether all in a namespace is as it is to be when the mirror's cluster is lost. */
  const isLost = (namespace: string) =>
    managed(namespace).every((object) => {
      const { backends, rules } = (object as { spec?: Weighted }).spec ?? {};
      return (backends ?? rules?.[0]?.backendRefs ?? []).at(-1)?.weight === 0;
    });
  const areTold = () =>
    namespaces.every((namespace) =>
      Array.from({ length: APEXES }, (_, at) => `apex-${at}`).every((name) =>
        (cluster.find('services', { namespace, name }) as V1Service | undefined)?.status?.conditions?.some(
          ({ type }) => type === 'linkspan.dev/FailoverReady',
        ),
      ),
    );
  /** Waits until nothing is written any more. */
  async function quiet(): Promise<void> {
    let last = -1;
    const all = () => [...writesSince(new Map())].reduce((sum, [, count]) => sum + count, 0);
    await eventually('nothing more is written', () => last === (last = all()), { everyMs: 500 });
  }
  const heldBy = (replica: string) =>
    [WEIGHTS_LEASE_NAME, APEXES_LEASE_NAME].every(
      (name) =>
        (cluster.find('leases', { namespace: MULTICLUSTER, name }) as V1Lease | undefined)?.spec
          ?.holderIdentity === replica,
    );
  const ofNamespace = (writes: ReadonlyMap<string, number>, namespace: string) =>
    [...writes.keys()].filter((what) => !what.includes(` ${namespace}/`));

  let controller: LinkspanController;

  it('are taken in by the controller, which writes what is its own to write, and little else', async () => {
    controller = await startController('one');
    const isWritten = () =>
      namespaces.flatMap(managed).every((object) => object?.metadata?.annotations?.[FAILOVER_BASE_WEIGHTS]);
    await eventually('weights are written', isWritten, { everyMs: 300 });
    await eventually('apexes are told', areTold, { everyMs: 300 });
    await quiet();
    const { lagMs, heapMiB, cpuMs } = await measured(controller);
    expect(lagMs).to.be.at.most(MAX_LAG_MS);
    expect(heapMiB).to.be.at.most(MAX_HEAP_MIB);
    expect(cpuMs).to.be.at.most(MAX_CPU_MS);
    const writes = writesSince(new Map());
    // Weights, once more with facts of pods here, and a try of each that came too late.
    expect([...writes].filter(([what, count]) => count > 4 && !what.startsWith('configmaps '))).to.deep.equal(
      [],
    );
    const kinds = kindsOf(writes);
    expect(kinds['configmaps']).to.be.at.most(APEXES * NAMESPACES + EGRESS_SHARDS);
    expect(kinds['endpointslices']).to.equal(APEXES * NAMESPACES);
  });

  it('cost writes of those alone that lead to a cluster when it is lost for one namespace', async () => {
    const before = new Map(served.writes);
    mirrorSlice(cluster, 'shop-0', false);
    await eventually('weights', () => isLost('shop-0'));
    await quiet();
    const writes = writesSince(before);
    expect(ofNamespace(writes, 'shop-0')).to.deep.equal([]);
    expect([...writes].filter(([, count]) => count > 2)).to.deep.equal([]);
  });

  it('cost a controller that starts anew no write', async () => {
    controller.terminate();
    await controller.ended();
    const before = new Map(served.writes);
    const next = await startController('two');
    await eventually('it writes', () => heldBy('two'));
    mirrorSlice(cluster, 'shop-1', false);
    await eventually('weights', () => isLost('shop-1'));
    await quiet();
    await next.kill();
    expect(ofNamespace(writesSince(before), 'shop-1')).to.deep.equal([]);
  });

  it('hold up no request at an egress when all clusters are lost, and are there soon after its start', async () => {
    lead(cluster);
    const egress = await started(() =>
      LinkspanEgress.start({
        dir,
        kubeconfig,
        address: address(13),
        flags: ['--clients', 'off'],
        node: NODE,
        first: FIRST,
      }),
    );
    await eventually('it is ready', async () => (await egress.ready()) === 200);
    const start = await measured(egress);
    expect(start.heapMiB).to.be.at.most(MAX_HEAP_MIB);
    expect(start.cpuMs).to.be.at.most(MAX_CPU_MS);
    const part = async () =>
      /^linkspan_failover_share{service="shop-7\/apex-1",backend="web-west"[^}]*} (\S+)/m.exec(
        await egress.metrics(),
      )?.[1];
    const seen: number[] = [];
    for (const isAlive of [false, true, false]) {
      await measured(egress);
      for (let ns = 0; ns < NAMESPACES; ns++) mirrorSlice(cluster, namespaceOf(ns), isAlive);
      await eventually('shares', async () => (await part()) === (isAlive ? '1' : '0'), { everyMs: 200 });
      seen.push((await measured(egress)).lagMs);
    }
    // What is slow each time is no accident.
    expect(Math.min(...seen), seen.join()).to.be.at.most(MAX_EGRESS_LAG_MS);
  });
});

/** As an API server has it, of kinds that have weights. */
interface Weighted {
  readonly backends?: readonly { readonly weight: number }[];
  readonly rules?: readonly { readonly backendRefs: readonly { readonly weight: number }[] }[];
}

/** As many Services lead elsewhere as may, by the record that a controller has written. */
function lead(cluster: FakeCluster): void {
  // Nobody listens there: what is divided is decided all the same.
  cluster.put('links', {
    metadata: named(MULTICLUSTER, 'west', 'l'),
    spec: {
      targetClusterName: 'west',
      targetClusterDomain: 'cluster.local',
      clusterCredentialsSecret: 'west',
      gatewayAddress: address(18),
      gatewayPort: '1',
      gatewayIdentity: 'gateway.west',
      selector: {},
    },
  } as KubeObject);
  for (const namespace of namespaces) mirrorSlice(cluster, namespace, true);
  const each = MAX_APEX_PORTS.all / NAMESPACES;
  for (let ns = 0; ns < NAMESPACES; ns++)
    for (let at = 0; at < each; at++) cluster.put('services', apexService(namespaceOf(ns), at, failover(at)));
  const { first } = DEFAULT_EGRESS_RANGE;
  for (let shard = 0; shard < EGRESS_SHARDS; shard++) {
    const data: Record<string, string> = {};
    for (let n = shard; n < MAX_APEX_PORTS.all; n += EGRESS_SHARDS) {
      const mirror = `${namespaceOf(n % NAMESPACES)}/apex-${Math.floor(n / NAMESPACES)}`;
      data[String(first + n)] = writeEntry({ mirror, member: APEX_MEMBER, port: 80 }) ?? '';
    }
    for (let ns = 0; ns < NAMESPACES; ns++) {
      const port = first + MAX_APEX_PORTS.all + ns;
      if (shardOf(port) === shard) data[String(port)] = writeEntry(mirrorClaim(namespaceOf(ns))) ?? '';
    }
    cluster.put('configmaps', newShard(MULTICLUSTER, shardOf(first + shard), data));
  }
}

function mirrorClaim(namespace: string): EgressClaim {
  return {
    mirror: `${namespace}/web-west`,
    port: 80,
    export: `${namespace}/web`,
    link: `${MULTICLUSTER}/west`,
    cluster: 'west',
    target: `web.${namespace}.svc.cluster.local`,
  };
}

function apexService(namespace: string, at: number, annotations: Record<string, string>): KubeObject {
  return {
    metadata: { ...named(namespace, `apex-${at}`, 's'), annotations },
    spec: { clusterIP: '10.96.1.1', ports: [{ port: 80, appProtocol: 'http', protocol: 'TCP' }] },
  } as KubeObject;
}

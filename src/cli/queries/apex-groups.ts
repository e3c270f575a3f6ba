import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { APEX_MEMBER } from '../../api/egress/egress-record.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { isFederated, memberClusters, memberEgressPortsOf } from '../../api/mirror/federated-members.ts';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import { factsOf } from '../../api/mirror/slice-facts.ts';
import { DEFAULT_CLUSTER_DOMAIN, LOCAL } from '../../api/names.ts';
import { sleep, systemClock } from '../../base/clock.ts';
import type { LinksFailover } from '../../discovery/failover-links.ts';
import { KubeRouting } from '../../discovery/kube-routing.ts';
import { leafKey, type RoutedSpec } from '../../discovery/target-spec.ts';
import { isHandMade } from '../../exports/slice-makers.ts';
import { sliceService } from '../../exports/slices-by-service.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import {
  apexDrains,
  backendName as memberBackendName,
  withServiceDrain,
} from '../../policy/failover/federated-group.ts';
import { demandStated } from '../../policy/failover/demand.ts';
import { localFacts } from '../../policy/failover/local-facts.ts';
import type { WeighedBackend } from '../../policy/failover/weighed-group.ts';
import { type ApexGroup, groupNames } from '../../policy/routing/apex-group.ts';
import { backendName, ruleGroup } from '../../policy/routing/rule-group.ts';
import { createLogger } from '../../telemetry/log.ts';
import { readClusterDomain } from './cluster-domain.ts';
import { type MirrorObjects, readMirrorObjects } from './mirror-objects.ts';

/** What is known of mirrors. */
export interface KnownMirrors extends MirrorObjects {
  /** The namespace that they are of; default: they are of all. */
  readonly namespace?: string | undefined;
  /** Namespaces whose mirrors could not be read; default none. */
  readonly hidden?: ReadonlySet<string>;
  readonly said: LinksFailover;
}

/** How long what is written about Services is waited for, and how often it is looked at, milliseconds. */
const PATIENCE_MS = 10_000;
const LOOK_MS = 20;

/** Rules that lead elsewhere, and what could not be read that may hold more of them. */
export interface ApexGroups {
  readonly groups: readonly ApexGroup[];
  /** A kind, or a namespace, that the account may not see or nobody answered for, and why; one line each. */
  readonly unread: readonly string[];
}

/**
 * The rules of Services without selector that lead elsewhere, and about federated ones, read as the egress
 * reads them.
 * @param installation namespace of the egress
 */
export async function readApexGroups(
  client: KubeClient,
  objects: KnownMirrors,
  installation: string,
): Promise<ApexGroups> {
  const own = objects.slices.filter((slice) => clusterOf(slice) === APEX_MEMBER);
  const apexes = new Set(own.flatMap(sliceService));
  const federated = objects.services.filter(isRelayedGroup);
  if (apexes.size + federated.length === 0) return { groups: [], unread: [] };
  const routing = new KubeRouting({
    client,
    clock: systemClock,
    random: Math.random,
    log: createLogger({ name: 'cli', level: 'silent' }),
    clusterDomain: DEFAULT_CLUSTER_DOMAIN,
    profileDomain: await readClusterDomain(client, installation),
    follow: 'all',
    statusAs: undefined,
    failover: true,
    view: { zone: undefined, meshEndpoint: () => undefined },
    served: (_, slices) => slices.filter((slice) => !isHandMade(slice)),
    onChange: () => undefined,
  });
  try {
    routing.start();
    routing.keep(apexes);
    await settled(routing);
    const kept = [...apexes].sort().map((key) => routing.kept(key));
    const users = kept.flatMap((one) => (one === undefined || one === 'unknown' ? [] : [one.service]));
    const all = [...users, ...federated];
    // The first look says which namespaces backends are in.
    for (const service of all) routing.of(service);
    await settled(routing);
    const routed = all.map((service) => ({ service, ports: routing.of(service).ports }));
    const { unread, ...known } = await withOthers(client, objects, routed.flatMap(namespacesOf));
    const groups = routed.flatMap(({ service, ports }) => groupsOf(service, ports, known));
    return { groups, unread: [...routing.unread, ...unread] };
  } finally {
    await routing.stop();
  }
}

async function settled(routing: KubeRouting): Promise<void> {
  const until = systemClock.monotonic() + PATIENCE_MS;
  while (!routing.settled && systemClock.monotonic() < until) await sleep(systemClock, LOOK_MS);
}

interface Routed {
  readonly service: V1Service;
  readonly ports: ReadonlyMap<number, RoutedSpec>;
}

/** The namespaces of its backends, which need not be its own. */
function namespacesOf({ ports }: Routed): string[] {
  const rules = [...ports.values()].flatMap(({ routing }) => routing.rules);
  return rules.flatMap(({ backends }) => backends.map(({ namespace }) => namespace));
}

/** With the mirrors of further namespaces, where those of one alone are known. */
async function withOthers(
  client: KubeClient,
  objects: KnownMirrors,
  namespaces: readonly string[],
): Promise<KnownMirrors & Pick<ApexGroups, 'unread'>> {
  const hidden = new Set<string>();
  const unread: string[] = [];
  if (objects.namespace === undefined) return { ...objects, unread };
  let { services, slices } = objects;
  for (const namespace of new Set(namespaces)) {
    if (namespace === objects.namespace) continue;
    try {
      const found = await readMirrorObjects(client, namespace);
      services = [...services, ...found.services];
      slices = [...slices, ...found.slices];
    } catch (error) {
      hidden.add(namespace);
      unread.push(`mirrors of the namespace ${namespace}: ${messageOf(error)}`);
    }
  }
  return { ...objects, services, slices, hidden, unread };
}

/** Whether clients of a federated Service come to the egress, which follows what is written about it. */
function isRelayedGroup(service: V1Service): boolean {
  const ports = memberClusters(service).flatMap((member) =>
    Object.keys(memberEgressPortsOf(service, member)),
  );
  return isFederated(service) && ports.length > 0;
}

/** What is known of mirrors, by their keys. */
export interface MirrorIndex extends Pick<KnownMirrors, 'hidden' | 'said'> {
  readonly services: ReadonlyMap<string, V1Service>;
  readonly slices: ReadonlyMap<string, readonly V1EndpointSlice[]>;
}

export function indexMirrors({ services, slices, hidden, said }: KnownMirrors): MirrorIndex {
  return {
    services: new Map(services.map((service) => [keyOf(service), service])),
    slices: Map.groupBy(slices, (slice) => sliceService(slice)[0] ?? ''),
    ...(hidden === undefined ? {} : { hidden }),
    said,
  };
}

/** Who the backends of one list are, and what is known of them. */
export class KnownBackends {
  /** As `ApexGroup.clusters`. */
  readonly clusters = new Map<string, string>();
  /** As `ApexGroup.within`. */
  readonly within = new Map<string, string>();
  readonly #mirrors: MirrorIndex;
  readonly #drainsOf: readonly ReturnType<typeof apexDrains>[];

  /** @param subjects the Services that the list is about; each may say drains */
  constructor(subjects: readonly V1Service[], mirrors: MirrorIndex) {
    this.#mirrors = mirrors;
    this.#drainsOf = subjects.map(apexDrains);
  }

  /**
   * @param name of the backend in the list
   * @param key of its Service
   * @param here what is known of it where it is a Service of this cluster
   */
  of(name: string, key: string, here: () => FailoverFacts | undefined): WeighedBackend {
    const { services, slices, hidden, said } = this.#mirrors;
    // It may be a mirror, and is not taken for a Service of this cluster.
    if (hidden?.has(parseKey(key).namespace) === true) return {};
    const mirror = services.get(key);
    // The clusters of a federated Service have facts of their own, by which its part is divided.
    if (mirror !== undefined && isFederated(mirror)) {
      for (const member of memberClusters(mirror)) this.within.set(memberBackendName(member), key);
      return {};
    }
    const cluster = clusterOf(mirror) ?? LOCAL;
    this.clusters.set(name, cluster);
    const isHere = cluster === LOCAL;
    const facts = isHere ? here() : factsOf(slices.get(key) ?? []);
    let drains = isHere ? undefined : said.get(cluster)?.drains;
    for (const drainOf of this.#drainsOf) drains = withServiceDrain(drains, drainOf(cluster));
    return { facts, drains };
  }
}

/** The groups of one Service. Pure. */
export function groupsOf(
  service: V1Service,
  ports: ReadonlyMap<number, RoutedSpec>,
  objects: KnownMirrors,
): ApexGroup[] {
  const { namespace = '', name = '' } = service.metadata ?? {};
  const demand = demandStated(service.status?.conditions);
  const mirrors = indexMirrors(objects);
  return [...ports].flatMap(([port, { routing, leaves }]) => {
    const names = groupNames(name, {
      port,
      ports: ports.size,
      rules: routing.rules.length,
      isFederated: isFederated(service),
    });
    return routing.rules.map((rule, nth) => {
      const known = new KnownBackends([service], mirrors);
      const { backends, policy, placement, weighing } = ruleGroup(rule, (backend) => {
        const leaf = leaves[leafKey(backend)];
        const key = keyOf({ namespace: backend.namespace, name: backend.service });
        return known.of(backendName(rule, backend), key, () => leaf && localFacts(leaf.endpoints));
      });
      const { clusters, within } = known;
      const group = { backends, policy, placement, weighing };
      return { namespace, service: names[nth] ?? name, owner: service, group, demand, clusters, within };
    });
  });
}

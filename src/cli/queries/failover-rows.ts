import { LOCAL } from '../../api/names.ts';
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { FailoverReason, FailoverState } from '../../api/failover/failover-reasons.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import { type LinkObject, links } from '../../api/link/link-schema.ts';
import { isFederated, memberClusters } from '../../api/mirror/federated-members.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import { sliceService } from '../../exports/slices-by-service.ts';
import { linksFailover } from '../../discovery/failover-links.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { PathState } from '../../api/failover/failover-facts.ts';
import type { Figures } from '../../policy/failover/backend.ts';
import { type Demand, demandStated, isCapacityShort } from '../../policy/failover/demand.ts';
import { decide } from '../../policy/failover/decide.ts';
import type { ApexGroup } from '../../policy/routing/apex-group.ts';
import { indexMirrors, readApexGroups } from './apex-groups.ts';
import { readClusterDomain } from './cluster-domain.ts';
import { readAllManagedGroups, readManagedGroups } from './managed-groups.ts';
import { type MirrorObjects, readMirrorObjects } from './mirror-objects.ts';
import { type FederatedGroup, federatedGroup } from '../../policy/failover/federated-group.ts';

/** One backend of a group, for programs. */
export interface BackendRow {
  readonly name: string;
  readonly tier: number;
  /** The part of the requests that it gets, 0 to 1. */
  readonly share: number;
  /** Null where nothing is known. */
  readonly ready: number | null;
  readonly expected: number | null;
  readonly path: PathState | null;
  readonly state: FailoverState;
  readonly reason: FailoverReason;
  readonly flaps: number;
  /** Since when it can be used, milliseconds since the epoch; null: it cannot be, or nothing is known. */
  readonly usableSince: number | null;
  /** How long it waits after an outage, milliseconds. */
  readonly holdMs: number;
}

/** One federated Service, or a rule of a Service without selector that leads elsewhere, for programs. */
export interface GroupRow {
  readonly namespace: string;
  readonly service: string;
  readonly backends: readonly BackendRow[];
  /** Whether all together have too few endpoints, and nobody has said that no request fails or waits. */
  readonly capacityShort: boolean;
  /** Whether they have too few endpoints, however requests fare. */
  readonly endpointsShort: boolean;
  /** How requests fare at the egress, as the controller has written it last where endpoints are too few. */
  readonly demand: Demand;
  /** What all can bear, as part of what is asked of them. */
  readonly capacityRatio: number;
  readonly reason: FailoverReason;
  /** The part of the requests that nobody gets. */
  readonly refused: number;
  /** When shares change by themselves, milliseconds since the epoch; null: not by themselves. */
  readonly nextChangeAt: number | null;
  /** Members that no tier names. */
  readonly leftOut: readonly string[];
}

/** What stands in the cluster about failover. */
export interface FailoverObjects {
  readonly services: readonly V1Service[];
  readonly slices: readonly V1EndpointSlice[];
  readonly links: readonly LinkObject[];
  /** Rules of Services without selector that lead elsewhere; default none. */
  readonly apexes?: readonly ApexGroup[];
  /** Lists of managed weights, by which sidecars divide requests; default: nobody has looked. */
  readonly managed?: readonly ApexGroup[];
  /** What could not be read that may hold more of them (`ApexGroups.unread`); default: nothing. */
  readonly unread?: readonly string[];
}

/**
 * Reads it, and what is written about Services without selector.
 * @param namespace as `readFailover`
 * @param weighted whose managed weights are read, too: those of all Services, or of one of a user's, whatever
 * it is; default: nobody's
 */
export async function readAllFailover(
  client: KubeClient,
  namespace: string | undefined,
  installation: string,
  weighted?: V1Service | 'all',
): Promise<FailoverObjects> {
  const { mirrors, ...objects } = await readObjects(client, namespace, installation);
  const found = { ...mirrors, namespace, said: linksFailover(objects.links) };
  const { groups: apexes, unread } = await readApexGroups(client, found, installation);
  if (weighted === undefined || (weighted !== 'all' && isMirrored(weighted)))
    return { ...objects, apexes, unread };
  const clusterDomain = await readClusterDomain(client, installation);
  const around = { client, mirrors: indexMirrors(found), clusterDomain };
  // Also of one that leads elsewhere: the egress follows one object about it, and sidecars may another.
  const managed = await (weighted === 'all'
    ? readAllManagedGroups(around)
    : readManagedGroups(weighted, around));
  const unseen = [...new Set([...unread, ...managed.unread])];
  return { ...objects, apexes, managed: managed.groups, unread: unseen };
}

/** Reads it. @param namespace undefined: of all namespaces; @param installation where Links are */
export async function readFailover(
  client: KubeClient,
  namespace: string | undefined,
  installation: string,
): Promise<FailoverObjects> {
  const { mirrors: _mirrors, ...objects } = await readObjects(client, namespace, installation);
  return objects;
}

async function readObjects(
  client: KubeClient,
  namespace: string | undefined,
  installation: string,
): Promise<FailoverObjects & { readonly mirrors: MirrorObjects }> {
  const [mirrors, all] = await Promise.all([
    readMirrorObjects(client, namespace),
    client.list(links, { namespace: installation }),
  ]);
  const { slices } = mirrors;
  return { services: mirrors.services.filter(isFederated), slices, links: all.items, mirrors };
}

/**
 * What is decided about each federated Service, from what is published: the same as egress and controller do.
 * @param without clusters that are taken to be dead
 * @param now milliseconds since the epoch
 */
export function failoverRows(
  { services: all, slices, links: linkObjects, apexes = [] }: FailoverObjects,
  now: number,
  without: ReadonlySet<string> = new Set(),
): GroupRow[] {
  const said = linksFailover(linkObjects);
  const byService = Map.groupBy(slices, (slice) => sliceService(slice)[0] ?? '');
  // What would be without somebody nobody has measured.
  const measured = (demand: Demand) => (without.size === 0 ? demand : 'unheard');
  const federated = all.map((service) => {
    const group = federatedGroup(service, byService.get(keyOf(service)) ?? [], said);
    return groupRow(
      service.metadata ?? {},
      lacking(group, (name) => without.has(name)),
      { now, demand: measured(demandStated(service.status?.conditions)) },
    );
  });
  const led = apexes.map(({ namespace, service: name, group, demand, clusters }) => {
    const isGone = (backend: string) => without.has(clusters.get(backend) ?? '');
    return groupRow({ namespace, name }, lacking(group, isGone), { now, demand: measured(demand) });
  });
  return [...federated, ...led].sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
}

function idOf({ namespace, service }: GroupRow): string {
  return `${namespace}/${service}`;
}

/**
 * Names that are neither of a Link's cluster nor of a member: somebody has mistyped them, and what is planned
 * without them says nothing.
 */
export function unknownMembers(
  { services: all, links: linkObjects }: FailoverObjects,
  names: readonly string[],
): string[] {
  const clusters: unknown[] = linkObjects.map(({ spec }) => spec?.targetClusterName);
  const known = new Set<unknown>([LOCAL, ...clusters, ...all.flatMap(memberClusters)]);
  return names.filter((name) => !known.has(name));
}

/** The group as it is when some of it are gone: what is asked of all stays the same. */
function lacking(group: FederatedGroup, isGone: (name: string) => boolean): FederatedGroup {
  const backends = group.backends.map((backend) => {
    if (!isGone(backend.name)) return backend;
    const facts = backend.facts ?? { ready: 1, known: 1, expected: 1, flaps: 0, lastWord: 0 };
    return { ...backend, facts: { ...facts, path: 'dead', usableSince: null } as const };
  });
  return { ...group, backends };
}

function groupRow(
  { namespace = '', name = '' }: { readonly namespace?: string; readonly name?: string },
  group: FederatedGroup,
  { now, demand }: { readonly now: number; readonly demand: Demand },
): GroupRow {
  const decision = decide(group.backends, group.policy, now, group.weighing);
  return {
    namespace,
    service: name,
    backends: decision.backends.map(backendRow),
    capacityShort: isCapacityShort(decision, demand),
    endpointsShort: decision.short,
    demand,
    capacityRatio: decision.total,
    reason: decision.reason,
    refused: decision.refused / 10_000,
    nextChangeAt: decision.nextChangeAt ?? null,
    leftOut: group.placement.leftOut,
  };
}

function backendRow({
  backend,
  share,
  ready,
  expected,
  state,
  reason,
  holdMs,
}: Readonly<Figures>): BackendRow {
  const { facts } = backend;
  return {
    name: backend.name,
    tier: backend.tier,
    share: share / 10_000,
    ready: facts === undefined ? null : ready,
    expected: facts === undefined ? null : expected,
    path: facts?.path ?? null,
    state,
    reason,
    flaps: facts?.flaps ?? 0,
    usableSince: facts?.usableSince ?? null,
    holdMs,
  };
}

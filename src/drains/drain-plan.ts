import { LOCAL } from '../api/names.ts';
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { type AnnotationName, readAnnotation } from '../api/annotations.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { type FailoverDrain, readDrain, writeDrain } from '../api/failover/failover-drain.ts';
import { FAILOVER_DRAIN } from '../api/failover/failover-names.ts';
import { serviceDrain, serviceDrainKey } from '../api/mirror/service-drain.ts';
import { linkOfCluster } from '../api/link/link-of-cluster.ts';
import { keyOf } from '../api/kubernetes/resource.ts';
import type { LinkObject } from '../api/link/link-schema.ts';
import { federatedName, isFederated, memberClusters } from '../api/mirror/federated-members.ts';
import { addTo } from '../base/multimap.ts';
import { linksFailover } from '../discovery/failover-links.ts';
import { hasPodSelector } from '../exports/endpoint-slices.ts';
import { sliceService } from '../exports/slices-by-service.ts';
import {
  type DrainWish,
  endedDrain,
  isInEffect,
  newDrain,
  pausedDrain,
} from '../policy/failover/drain-change.ts';
import {
  type DrainEffect,
  drainEffects,
  type DrainedService,
  type DrainFinding,
  drainFindings,
} from '../policy/failover/drain-safety.ts';
import { backendName, federatedGroup } from '../policy/failover/federated-group.ts';
import type { ApexGroup } from '../policy/routing/apex-group.ts';

/** What stands in the cluster about failover. */
export interface DrainObjects {
  /** Federated Services. */
  readonly services: readonly V1Service[];
  /** Their slices. */
  readonly slices: readonly V1EndpointSlice[];
  readonly links: readonly LinkObject[];
  /** Rules of Services without selector, and about federated ones; default none. */
  readonly apexes?: readonly ApexGroup[];
  /**
   * Lists of managed weights, by which sidecars divide requests: those of the Service that is asked about, or
   * of all; default none.
   */
  readonly managed?: readonly ApexGroup[];
  /** What could not be read that may hold more of them, and why, one line each; default nothing. */
  readonly unread?: readonly string[] | undefined;
  /** The Service that is asked about by its name, whatever it is; default: nobody has looked. */
  readonly named?: V1Service | undefined;
}

/** Which cluster's traffic is meant: all of it, or that of one Service. */
export interface DrainPlace {
  /** Name of the cluster as its Link has it; `local` for this one, with `service` only. */
  readonly cluster: string;
  /**
   * `namespace/name` of a federated Service, or of its members, or of a Service without selector that leads
   * elsewhere, or of one that managed weights are about; undefined: all.
   */
  readonly service?: string | undefined;
}

/** The annotation to write, and on what. */
export interface DrainWrite {
  readonly on: LinkObject | V1Service;
  readonly kind: 'links' | 'services';
  readonly annotation: AnnotationName;
  readonly drain: FailoverDrain;
}

/** What a drain would do, what speaks against it, and what is to be written. */
export interface DrainPlan {
  readonly drain: FailoverDrain;
  /** The drain that is in effect until now, if one is. */
  readonly before: FailoverDrain | undefined;
  readonly effects: readonly DrainEffect[];
  readonly findings: readonly DrainFinding[];
  readonly write: DrainWrite;
  /** When it was planned, milliseconds since the epoch. */
  readonly at: number;
}

interface Place {
  readonly on: DrainWrite['on'];
  readonly kind: DrainWrite['kind'];
  readonly annotation: DrainWrite['annotation'];
  readonly drain: FailoverDrain | undefined;
}

/**
 * Plans a drain. Pure.
 * @param now milliseconds since the epoch, of the cluster's clock
 * @throws LinkspanError LINK_NOT_FOUND, DRAIN_NO_MEMBER, USAGE
 */
export function planDrain(objects: DrainObjects, where: DrainPlace, wish: DrainWish, now: number): DrainPlan {
  const place = findPlace(objects, where, { serves: true });
  const before = place.drain !== undefined && isInEffect(place.drain, now) ? place.drain : undefined;
  const drain = newDrain(wish, before, now);
  const said = linksFailover(objects.links);
  const only = where.service === undefined ? undefined : keyOf(place.on);
  const drained = new Set<string>();
  for (const [cluster, { drains }] of said)
    if (drains.some(({ until, to }) => now < until && to < 1)) drained.add(cluster);
  const clusters = objects.links.flatMap(({ spec }) => spec?.targetClusterName ?? []);
  const facts = {
    cluster: where.cluster,
    drain,
    services: groupsOf(objects, said, only),
    // This cluster counts, too. A drain of one Service makes no cluster a drained one.
    clusters: only === undefined ? [LOCAL, ...clusters] : [where.cluster, LOCAL, ...clusters],
    drained: only === undefined ? drained : new Set<string>(),
    // No rule decides about the clusters of a federated Service.
    unread: objects.services.some((one) => keyOf(one) === only) ? [] : (objects.unread ?? []),
    now,
  };
  const effects = drainEffects(facts);
  const { on, kind, annotation } = place;
  return {
    drain,
    before,
    effects,
    findings: drainFindings(facts, effects),
    write: { on, kind, annotation, drain },
    at: now,
  };
}

/**
 * Plans the end of a drain. Pure.
 * @returns undefined: there is none, or it has ended
 * @throws LinkspanError LINK_NOT_FOUND, DRAIN_NO_MEMBER, USAGE
 */
export function planUndrain(objects: DrainObjects, where: DrainPlace, now: number): DrainWrite | undefined {
  const { on, kind, annotation, drain: there } = findPlace(objects, where);
  const drain = there === undefined ? undefined : endedDrain(there, now);
  return drain === undefined ? undefined : { on, kind, annotation, drain };
}

/**
 * Plans that a drain goes no further. Pure.
 * @returns its `write` is undefined where there is none
 * @throws LinkspanError as above
 */
export function planPause(
  objects: DrainObjects,
  where: DrainPlace,
  now: number,
): { readonly write: DrainWrite | undefined } {
  const { on, kind, annotation, drain } = findPlace(objects, where);
  if (drain === undefined || now >= drain.until) return { write: undefined };
  return { write: { on, kind, annotation, drain: pausedDrain(drain, now) } };
}

/** The object that a drain of a place stands on. @throws LinkspanError as above */
export function placeOf(objects: DrainObjects, where: DrainPlace): Pick<DrainWrite, 'on' | 'kind'> {
  return findPlace(objects, where);
}

/** The drain that stands at a place now. @throws LinkspanError as above */
export function standingDrain(objects: DrainObjects, where: DrainPlace): FailoverDrain | undefined {
  return findPlace(objects, where).drain;
}

/** Services whose requests go to a cluster, and the names of their backends that lead there. */
export type ServicesThere = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * The Services (`namespace/name`) whose requests a drill of a cluster takes elsewhere at the egress, which
 * counts them: federated ones, and those without selector. Pure.
 */
export function servicesThere({ services, apexes = [] }: DrainObjects, cluster: string): ServicesThere {
  const found = new Map<string, Set<string>>();
  for (const service of services)
    if (memberClusters(service).some((member) => backendName(member) === cluster))
      found.set(keyOf(service), new Set([cluster]));
  for (const { owner, clusters } of apexes)
    for (const [name, leadsTo] of clusters) if (leadsTo === cluster) addTo(found, keyOf(owner), name);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The drain that stands on an object, as it is now; undefined: none, or there is no object any more. */
export function drainOn(
  object: DrainWrite['on'] | undefined,
  { annotation }: Pick<DrainWrite, 'annotation'>,
): FailoverDrain | undefined {
  return readDrain(readAnnotation(object?.metadata?.annotations, annotation));
}

/** The body of a patch that sets one annotation of the object that was read, and fails on any other. */
export function drainPatch({ on, annotation, drain }: DrainWrite): object {
  const { uid, resourceVersion } = on.metadata ?? {};
  return { metadata: { uid, resourceVersion, annotations: { [annotation]: writeDrain(drain) } } };
}

/**
 * @param serves whether the cluster has to serve the Service: a drain that stands there from when it did can
 * be ended all the same; default: where none stands
 */
function findPlace(
  objects: DrainObjects,
  where: DrainPlace,
  { serves = false }: { readonly serves?: boolean } = {},
): Place {
  if (where.service === undefined) return linkPlace(objects.links, where.cluster);
  const { service, assertServes } = servicePlace(objects, where.cluster, where.service);
  const annotation = serviceDrainKey(where.cluster);
  const drain = serviceDrain(service.metadata?.annotations, where.cluster);
  if (serves || drain === undefined) assertServes();
  return { on: service, kind: 'services', annotation, drain };
}

function linkPlace(links: readonly LinkObject[], cluster: string): Place {
  if (cluster === LOCAL)
    throw new LinkspanError(
      'USAGE',
      'this cluster has no Link on which a drain could stand; name a Service with --service',
    );
  const link = linkOfCluster(links, cluster);
  if (link === undefined)
    throw new LinkspanError('LINK_NOT_FOUND', `no Link names the cluster "${cluster}"`, {
      hint: 'Check the name (`linkspan links`), --controller-namespace, and that --context is the source cluster.',
    });
  const drain = readDrain(readAnnotation(link.metadata?.annotations, FAILOVER_DRAIN));
  return { on: link, kind: 'links', annotation: FAILOVER_DRAIN, drain };
}

/** @returns the Service that is meant, and what throws where the cluster has no part in it */
function servicePlace(
  objects: DrainObjects,
  cluster: string,
  name: string,
): { readonly service: V1Service; readonly assertServes: () => void } {
  const { services } = objects;
  const [namespace = '', short = ''] = name.split('/', 2);
  const federated = (key: string) => services.find((one) => keyOf(one) === key);
  const exact = federated(name);
  const rules = rulesOf(objects, name);
  const [owner] = rules.map((rule) => rule.owner);
  const service = exact ?? federated(`${namespace}/${federatedName(short)}`);
  // A Service without selector is called so itself; a federated one only by what is before its name's end,
  // and a member of one, which has a selector, has its name in common with it.
  const isOwn = owner !== undefined && (service === undefined || !hasPodSelector(owner));
  if (exact === undefined && isOwn)
    return { service: owner, assertServes: () => assertLeads(rules, cluster, name) };
  if (service !== undefined) return { service, assertServes: () => assertMember(service, cluster) };
  const { named, unread = [] } = objects;
  const refuse = (): never => {
    const why = unread.length === 0 ? '' : `, as far as could be read (not ${unread.join('; ')})`;
    throw new LinkspanError(
      'DRAIN_NO_MEMBER',
      `${name} is not federated here, nor a Service without selector that leads elsewhere, nor one with managed weights${why}`,
    );
  };
  // Its rules may have gone, and come again: until then nobody could end what stands there.
  if (named === undefined || keyOf(named) !== name) return refuse();
  return { service: named, assertServes: refuse };
}

/** @throws LinkspanError DRAIN_NO_MEMBER */
function assertMember(service: V1Service, cluster: string): void {
  const { backends } = federatedGroup(service, [], new Map());
  if (!backends.some(({ name }) => name === cluster))
    throw new LinkspanError('DRAIN_NO_MEMBER', `${cluster} serves no requests of ${keyOf(service)}`);
}

/** The rules of a user's Service. Of federated ones a drain is about their clusters only. */
function rulesOf(
  { apexes = [], managed = [] }: Pick<DrainObjects, 'apexes' | 'managed'>,
  name: string,
): ApexGroup[] {
  return [...apexes, ...managed].filter(({ owner }) => keyOf(owner) === name && !isFederated(owner));
}

/** @throws LinkspanError DRAIN_NO_MEMBER */
function assertLeads(rules: readonly ApexGroup[], cluster: string, name: string): void {
  if (rules.some(({ clusters }) => [...clusters.values()].includes(cluster))) return;
  const within = rules.map((rule) => rule.within.get(cluster)).find((one) => one !== undefined);
  if (within === undefined)
    throw new LinkspanError('DRAIN_NO_MEMBER', `no backend of ${name} leads to ${cluster}`);
  throw new LinkspanError(
    'DRAIN_NO_MEMBER',
    `${cluster} serves requests of ${name} only within ${within}, which divides its part by drains of its own`,
    { hint: `Drain that: --service ${within}; it holds for all who use it.` },
  );
}

/** @param only the one Service that should be drained */
function groupsOf(
  { services, slices, apexes = [], managed = [] }: DrainObjects,
  said: ReturnType<typeof linksFailover>,
  only: string | undefined,
): DrainedService[] {
  const byService = Map.groupBy(slices, (slice) => sliceService(slice)[0] ?? '');
  const federated = services.map((service) => {
    const name = keyOf(service);
    return { name, group: federatedGroup(service, byService.get(name) ?? [], said) };
  });
  const rules = only === undefined ? [...apexes, ...managed] : rulesOf({ apexes, managed }, only);
  const led = rules.map(({ namespace, service: name, group, clusters }) => ({
    name: keyOf({ namespace, name }),
    group,
    clusters,
  }));
  const asked = federated.filter(({ name }) => only === undefined || name === only);
  return [...asked, ...led].sort((a, b) => (a.name < b.name ? -1 : 1));
}

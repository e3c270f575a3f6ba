import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../api/annotations.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { type FailoverDrain, readDrain, writeDrain } from '../api/failover/failover-drain.ts';
import { FAILOVER_DRAIN } from '../api/failover/failover-names.ts';
import { serviceDrain, serviceDrainKey } from '../api/mirror/service-drain.ts';
import { byAge, keyOf } from '../api/kubernetes/resource.ts';
import type { LinkObject } from '../api/link/link-schema.ts';
import { federatedName } from '../api/mirror/federated-members.ts';
import { linksFailover } from '../discovery/failover-links.ts';
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
import { federatedGroup } from '../policy/failover/federated-group.ts';
import { type ApexGroup, clusterGroup } from '../policy/routing/apex-group.ts';
import { LOCAL } from '../policy/failover/placement.ts';

/** What stands in the cluster about failover. */
export interface DrainObjects {
  /** Federated Services. */
  readonly services: readonly V1Service[];
  /** Their slices. */
  readonly slices: readonly V1EndpointSlice[];
  readonly links: readonly LinkObject[];
  /** Rules of Services without selector that lead to mirrors; default none. */
  readonly apexes?: readonly ApexGroup[];
}

/** Which cluster's traffic is meant: all of it, or that of one Service. */
export interface DrainPlace {
  /** Name of the cluster as its Link has it; `local` for this one, with `service` only. */
  readonly cluster: string;
  /** `namespace/name` of a federated Service, or of its members; undefined: all. */
  readonly service?: string | undefined;
}

/** The annotation to write, and on what. */
export interface DrainWrite {
  readonly on: LinkObject | V1Service;
  readonly kind: 'links' | 'services';
  readonly annotation: string;
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
  readonly annotation: string;
  readonly drain: FailoverDrain | undefined;
}

/**
 * Plans a drain. Pure.
 * @param now milliseconds since the epoch, of the cluster's clock
 * @throws LinkspanError LINK_NOT_FOUND, DRAIN_NO_MEMBER, USAGE
 */
export function planDrain(objects: DrainObjects, where: DrainPlace, wish: DrainWish, now: number): DrainPlan {
  const place = findPlace(objects, where);
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
    services: groupsOf(objects, said).filter(({ name }) => only === undefined || name === only),
    // This cluster counts, too. A drain of one Service makes no cluster a drained one.
    clusters: only === undefined ? [LOCAL, ...clusters] : [where.cluster, LOCAL, ...clusters],
    drained: only === undefined ? drained : new Set<string>(),
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

/** The body of a patch that sets one annotation of the object that was read, and fails on any other. */
export function drainPatch({ on, annotation, drain }: DrainWrite): object {
  const { uid, resourceVersion } = on.metadata ?? {};
  return { metadata: { uid, resourceVersion, annotations: { [annotation]: writeDrain(drain) } } };
}

function findPlace(objects: DrainObjects, where: DrainPlace): Place {
  return where.service === undefined
    ? linkPlace(objects.links, where.cluster)
    : servicePlace(objects.services, where.cluster, where.service);
}

/** Of several Links of one cluster the oldest counts, as for everybody who reads them. */
function linkPlace(links: readonly LinkObject[], cluster: string): Place {
  if (cluster === LOCAL)
    throw new LinkspanError(
      'USAGE',
      'this cluster has no Link on which a drain could stand; name a Service with --service',
    );
  const [link] = links.filter(({ spec }) => spec?.targetClusterName === cluster).toSorted(byAge);
  if (link === undefined)
    throw new LinkspanError('LINK_NOT_FOUND', `no Link names the cluster "${cluster}"`, {
      hint: 'Check the name (`linkspan links`), --controller-namespace, and that --context is the source cluster.',
    });
  const drain = readDrain(readAnnotation(link.metadata?.annotations, FAILOVER_DRAIN));
  return { on: link, kind: 'links', annotation: FAILOVER_DRAIN, drain };
}

function servicePlace(services: readonly V1Service[], cluster: string, name: string): Place {
  const [namespace = '', short = ''] = name.split('/', 2);
  const names = [name, `${namespace}/${federatedName(short)}`];
  const service = names.map((one) => services.find((some) => keyOf(some) === one)).find(Boolean);
  if (service === undefined) throw new LinkspanError('DRAIN_NO_MEMBER', `${name} is not federated here`);
  const { backends } = federatedGroup(service, [], new Map());
  if (!backends.some((backend) => backend.name === cluster))
    throw new LinkspanError('DRAIN_NO_MEMBER', `${cluster} serves no requests of ${keyOf(service)}`);
  const drain = serviceDrain(service.metadata?.annotations, cluster);
  return { on: service, kind: 'services', annotation: serviceDrainKey(cluster), drain };
}

function groupsOf(
  { services, slices, apexes = [] }: DrainObjects,
  said: ReturnType<typeof linksFailover>,
): DrainedService[] {
  const byService = Map.groupBy(slices, (slice) => sliceService(slice)[0] ?? '');
  const federated = services.map((service) => {
    const name = keyOf(service);
    return { name, group: federatedGroup(service, byService.get(name) ?? [], said) };
  });
  const led = apexes.map((apex) => ({
    name: keyOf({ namespace: apex.namespace, name: apex.service }),
    group: clusterGroup(apex),
  }));
  return [...federated, ...led].sort((a, b) => (a.name < b.name ? -1 : 1));
}
